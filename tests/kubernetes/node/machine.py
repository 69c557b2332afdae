"""What this machine must have for a node, and what of it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kubernetes.node import binaries, cache

# Debian's package: what of it is looked for. `make kube` installs those that are missing.
DEBIAN = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iproute2": "ip",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nftables": "nft",
    "runc": "runc",
    "util-linux": "nsenter",
}

BUILD_BYTES = 15e9  # Go's caches are half of it
SPACES = ("--pid", "--net", "--mount", "--fork", "--mount-proc")


def missing() -> list[str]:
    """Say what is not here; empty where a node can be built and run."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        return ["Linux on x86_64"]
    needs = [] if os.geteuid() == 0 else ["root"]
    if sys.version_info[:2] != (3, 11):
        needs.append("Python 3.11 for the tests, which is the Ray image's")
    if not all(binary.is_built() for binary in binaries.ALL):
        needs += [] if shutil.which("go") else ["Go 1.25 or newer"]
        needs += [] if shutil.disk_usage(cache.root()).free > BUILD_BYTES else ["15 GB of free disk"]
    if not needs and subprocess.run(["unshare", *SPACES, "true"], capture_output=True, check=False).returncode:
        needs.append("the right to make namespaces, which an unprivileged container has not")
    return needs + ([f"apt install {' '.join(absent)}"] if (absent := missing_packages()) else [])


def missing_packages() -> list[str]:
    """Name Debian's packages of which something is not here."""
    return [package for package, what in DEBIAN.items() if not (shutil.which(what) or _is_file(what))]


def _is_file(what: str) -> bool:
    return Path(what).is_absolute() and Path(what).is_file()
