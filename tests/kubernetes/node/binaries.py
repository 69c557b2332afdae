"""The programs that are built from Go modules: each module is a folder of ``modules`` with its versions pinned."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

from tests.kubernetes.node import cache
from tests.kubernetes.node.progress import stage

MODULES = Path(__file__).parent / "modules"
KUBERNETES = "v1.35.4"
_VERSION = "k8s.io/component-base/version"
FLAGS = (
    "-trimpath",
    "-ldflags",
    f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35",
)


@dataclasses.dataclass(frozen=True)
class Binary:
    """A program: its module's folder, the package in it, and how long two cores usually take for it."""

    name: str
    module: str
    package: str
    usually: str

    def path(self) -> Path:
        """Give the program, built if need be."""
        folder = cache.made(self.name, self.key(), self._build)
        return folder / self.name

    def key(self) -> str:
        """Hash the module: versions, sums, sources; and how it is built."""
        files = sorted(path for path in (MODULES / self.module).rglob("*") if path.is_file())
        return cache.key_of(
            [self.package, *FLAGS, *(part for file in files for part in (file.name, file.read_bytes()))]
        )

    def is_built(self) -> bool:
        """Say whether nothing has to be done for it."""
        return cache.place(self.name, self.key()).exists()

    def _build(self, folder: Path) -> None:
        with stage(f"building {self.name} from its Go module", self.usually):
            _go("build", *FLAGS, "-o", str(folder / self.name), self.package, module=self.module)


NODE = Binary("kubernetes", "kubernetes", ".", "8 minutes")
PAUSE = Binary("pause", "kubernetes", "./pause", "10 seconds")
COREDNS = Binary("coredns", "coredns", ".", "15 seconds")
KUBERAY = Binary("kuberay-operator", "kuberay", "github.com/ray-project/kuberay/ray-operator", "2 minutes")
# The longest first: what the others share is then built.
ALL = (NODE, COREDNS, KUBERAY, PAUSE)


def module_folder(module: str, path: str) -> Path:
    """Give the folder of a module that ``module`` requires, which holds its manifests; read-only.

    :raises RuntimeError: when Go cannot fetch it.
    """
    _go("mod", "download", path, module=module)
    return Path(_go("list", "-m", "-f", "{{.Dir}}", path, module=module).strip())


def _go(*arguments: str, module: str) -> str:
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    done = subprocess.run(
        ["go", *arguments], cwd=MODULES / module, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"go {arguments[0]} in {MODULES / module} failed:\n{done.stderr[-4000:]}")
    return done.stdout
