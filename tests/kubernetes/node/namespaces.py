"""The namespaces that a node lives in: made with its first process, gone with it.

Inside, ``/run`` is empty but for the node's own folder (``/run/node``) and the cache (``/run/cache``), ``/var`` is
this machine's, written to a layer of its own, and the kernel's settings that kubelet insists on are files.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.kubernetes.node import cache, images
from tests.kubernetes.node.addresses import Addresses

PID_ONE = Path(__file__).with_name("pid_one.py")
# What kubelet would set for the whole machine (``--protect-kernel-defaults`` would have it refuse instead).
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# As seen from inside.
RUN = Path("/run/node")
CACHE = Path("/run/cache")
CONTAINERD = RUN / "containerd"


def start(folder: Path, addresses: Addresses, store: Path) -> tuple[int, subprocess.Popen[bytes]]:
    """Make them, and the first process in them; give its id on this machine, and its parent, to be waited for.

    :param folder: the node's own, where it keeps ``lock`` locked as long as the node is wanted.
    :param store: the containerd folder of :func:`tests.kubernetes.node.images.store`.
    """
    _prepare(folder, store)
    command = "\n".join([*_mounts(folder, store), f"exec {sys.executable} -I -S {shlex.quote(str(PID_ONE))}"])
    with open(folder / "pid_one.log", "ab") as log:
        made = subprocess.Popen(
            ["unshare", "--pid", "--net", "--mount", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/",
        )  # fmt: skip
    children = Path(f"/proc/{made.pid}/task/{made.pid}/children")
    _until(lambda: bool(children.read_text().split()), f"no namespaces: {folder / 'pid_one.log'}", made)
    first = int(children.read_text())
    _until(lambda: control_socket(first).exists(), f"no first process: {folder / 'pid_one.log'}", made)
    _connect(first, addresses)
    return first, made


def control_socket(first: int) -> Path:
    """Say where the first process is asked, seen from outside of its mounts."""
    return Path(f"/proc/{first}/root/run/control.sock")


def inside(first: int, command: Sequence[str]) -> list[str]:
    """Give the command that runs ``command`` in the node's namespaces."""
    return ["nsenter", "--target", str(first), "--mount", "--net", "--pid", "--wd=/", *command]


def run_inside(first: int, *command: str, seconds: float = 60) -> str:
    """Run it there; give what it printed.

    :raises RuntimeError: when it fails, with what it said.
    """
    done = subprocess.run(inside(first, command), capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def in_outside(first: int, command: Sequence[str]) -> list[str]:
    """Give the command that runs ``command`` where only the kube-apiserver is reached: files as here, network there."""
    return ["nsenter", f"--net=/proc/{first}/root/run/netns/outside", "--", *command]


def link_name(addresses: Addresses) -> str:
    """Give the name of the interface on this machine that leads to the node."""
    return f"air-kube-{addresses.slot}"


def _prepare(folder: Path, store: Path) -> None:
    for name in ("var", "var-work", "kernel", "log", "containerd", "etcd", "kubelet", "cni"):
        (folder / name).mkdir(exist_ok=True)
    for name, value in KERNEL_SETTINGS.items():
        (folder / "kernel" / name.replace("/", ".")).write_text(f"{value}\n")
    for index in images.INDEXES:
        copy = folder / "containerd" / index
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((store / index).read_bytes())


def _mounts(folder: Path, store: Path) -> list[str]:
    inner_store = CACHE / store.name
    lines = [
        "mount --make-rshared /",  # kubelet's mounts must show in the pods'
        "mount -t tmpfs -o mode=755 tmpfs /run",
        f"mkdir -p {RUN} {CACHE} /run/netns",
    ]
    # From here on /run is covered, so what is bound is named by descriptors that were opened before.
    binds = [f"exec 8<{shlex.quote(str(folder))} 9<{shlex.quote(str(cache.root()))}", *lines]
    binds += [f"mount -c --bind /proc/self/fd/8 {RUN}", f"mount -c --rbind /proc/self/fd/9 {CACHE}", "exec 8<&- 9<&-"]
    binds += [f"mount -t overlay overlay -o lowerdir=/var,upperdir={RUN}/var,workdir={RUN}/var-work /var"]
    for name in KERNEL_SETTINGS:
        binds += [f"mount --bind {RUN}/kernel/{name.replace('/', '.')} /proc/sys/{name}"]
    shared = [images.CONTENT, *(f"{images.SNAPSHOTS}/snapshots/{path.name}" for path in _snapshots(store))]
    for name in shared:
        binds += [
            f"mkdir -p {CONTAINERD}/{name}",
            f"mount --bind {inner_store}/{name} {CONTAINERD}/{name}",
            f"mount -o remount,ro,bind {CONTAINERD}/{name}",
        ]
    return binds


def _snapshots(store: Path) -> list[Path]:
    return sorted((store / images.SNAPSHOTS / "snapshots").iterdir())


def _connect(first: int, addresses: Addresses) -> None:
    """Link the node with this machine and with the namespace "outside", and let it route."""
    link = link_name(addresses)
    _ip(f"link add {link} type veth peer name host netns {first}")
    _ip(f"address add {addresses.host}/30 dev {link}")
    _ip(f"link set {link} up")
    script = f"""
    ip netns add outside
    ip link set lo up
    ip address add {addresses.host_peer}/30 dev host
    ip link set host up
    ip link add outside type veth peer name node netns outside
    ip address add {addresses.outside_peer}/30 dev outside
    ip link set outside up
    ip link add cni0 type bridge
    ip address add {addresses.node}/24 dev cni0
    ip link set cni0 up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
    ip -n outside link set lo up
    ip -n outside address add {addresses.outside}/30 dev node
    ip -n outside link set node up
    ip -n outside route add {addresses.node}/32 via {addresses.outside_peer}
    ip netns exec outside nft add table inet only
    ip netns exec outside nft 'add chain inet only output {{ type filter hook output priority 0; }}'
    ip netns exec outside nft add rule inet only output oif lo accept
    ip netns exec outside nft add rule inet only output ip daddr {addresses.node} tcp dport 6443 accept
    ip netns exec outside nft add rule inet only output reject
    """
    run_inside(first, "sh", "-ec", script)
    for network in (addresses.pods, addresses.services):
        _ip(f"route add {network} via {addresses.host_peer} src {addresses.host}")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def _until(met: Callable[[], bool], otherwise: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while not met():
        if process.poll() is not None or time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise RuntimeError(otherwise)
        time.sleep(0.02)
