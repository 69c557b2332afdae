"""All images in one containerd folder that is filled once: a node starts with a copy of its index and reads it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kubernetes.node import binaries, cache, ray_image
from tests.kubernetes.node.archives import ImageConfig, write_archive
from tests.kubernetes.node.progress import stage

PAUSE = "localhost/pause:1"
OPERATOR = "quay.io/kuberay/operator:v1.6.1"  # as its own manifests name it
# Each is one program and no more; the user is a number, as pods say that it is not root.
PROGRAMS = (
    (binaries.PAUSE, ImageConfig(PAUSE, ("/pause",), user="65532:65532")),
    (binaries.KUBERAY, ImageConfig(OPERATOR, ("/manager",), user="65532:65532")),
)
CONTENT = "io.containerd.content.v1.content"
SNAPSHOTS = "io.containerd.snapshotter.v1.overlayfs"
INDEXES = ("io.containerd.metadata.v1.bolt/meta.db", f"{SNAPSHOTS}/metadata.db")
CONFIG = """
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "{state}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE a sandbox's process cannot have the score that Kubernetes wants.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{cni}"
"""


def config(root: str, state: str, cni: str) -> str:
    """Give containerd's configuration."""
    return CONFIG.format(root=root, state=state, cni=cni, pause=PAUSE)


def store() -> Path:
    """Give the containerd folder with all images, filled if need be: about a minute after they are built."""

    def fill(folder: Path) -> None:
        programs = [(binary.path(), image) for binary, image in PROGRAMS]
        ray = ray_image.archive()
        with _containerd(folder) as socket:
            for program, image in programs:
                _import_program(socket, folder, program, image)
            with stage("importing the Ray image", "1 minute"):
                _import(socket, ray)

    return cache.made("images", key(), fill)


def key() -> str:
    """Hash what is in it."""
    programs = [f"{binary.key()} {image}" for binary, image in PROGRAMS]
    return cache.key_of([CONFIG, *programs, ray_image.key()])


def _import_program(socket: str, folder: Path, program: Path, image: ImageConfig) -> None:
    rootfs, archive = folder / "rootfs", folder / "image.tar"
    rootfs.mkdir()
    shutil.copy2(program, rootfs / image.entrypoint[0].lstrip("/"))
    with stage(f"importing {image.name}"):
        write_archive(rootfs, image, archive)
        _import(socket, archive)
    shutil.rmtree(rootfs)
    archive.unlink()


def _import(socket: str, archive: Path) -> None:
    command = ["ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{archive} cannot be imported:\n{done.stdout}{done.stderr}")


@contextlib.contextmanager
def _containerd(folder: Path) -> Iterator[str]:
    """Run one without a node, in mounts of its own; give its socket."""
    state = Path(tempfile.mkdtemp(prefix="air-containerd-"))  # short: a socket's path has a limit
    (folder / "config.toml").write_text(config(str(folder), str(state), str(state)))
    with open(folder / "containerd.log", "w") as log:
        command = [
            "setpriv",
            "--pdeathsig=KILL",  # a build that is killed leaves nothing
            "unshare",
            "--mount",
            "--fork",
            "--kill-child",
            "containerd",
            "--config",
            str(folder / "config.toml"),
        ]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while "containerd successfully booted" not in (folder / "containerd.log").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"containerd does not start:\n{(folder / 'containerd.log').read_text()[-4000:]}")
            time.sleep(0.1)
        yield str(state / "containerd.sock")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(state, ignore_errors=True)
