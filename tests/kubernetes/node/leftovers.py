"""Which slots are free, and the end of what a killed run left in them; never touches what is not a node of ours."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.kubernetes.node.addresses import SLOTS, Addresses
from tests.kubernetes.node.namespaces import link_name
from tests.kubernetes.node.parts import cgroup
from tests.kubernetes.node.progress import say

# One for the whole machine, whoever's cache it is: addresses and control groups are the machine's.
NODES = Path("/var/lib/air-kube-tests")
STATE = "state.json"
CGROUPS = Path("/sys/fs/cgroup")
END_SECONDS = 90
# A lock of a process is lost when it closes any descriptor of the file, so its own are not looked at.
_held: dict[int, int] = {}


def folder(slot: int) -> Path:
    """Give the folder of the node in a slot."""
    return NODES / str(slot)


def take_slot() -> int:
    """Clean up after runs that are dead, and lock a free slot for as long as this process lives.

    :raises RuntimeError: when all are taken.
    """
    taken = None
    for slot in range(SLOTS):
        if (taken is None or folder(slot).exists()) and _lock(slot):
            if _comes_clean(slot) and taken is None:
                taken = slot
            else:
                _unlock(slot)
    if taken is None:
        raise RuntimeError(f"all {SLOTS} slots are taken: {NODES}")
    return taken


def release(slot: int) -> None:
    """Clean up a slot that this process has locked, and give it back."""
    clean(slot)
    _unlock(slot)


def write_state(slot: int, first: int) -> None:
    """Write down which process is the first of a node's, so that a later run knows it again."""
    (folder(slot) / STATE).write_text(json.dumps({"first": first, "born": born(first)}))


def first_process(slot: int) -> int | None:
    """Find a node's first process, if it is alive: not another that got its number."""
    try:
        state = json.loads((folder(slot) / STATE).read_text())
    except (OSError, ValueError):
        return None
    first: int = state["first"]
    return first if born(first) == state["born"] else None


def born(pid: int) -> str | None:
    """Say when a process was born, in ticks of this boot; None where there is none, or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{fields[19]} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def clean(slot: int) -> None:
    """End a node and remove all that it had on this machine.

    :raises RuntimeError: when something of it does not go.
    """
    place, addresses = folder(slot), Addresses(slot)
    first = first_process(slot)
    if first is not None:
        os.kill(first, signal.SIGKILL)  # and with it, by the kernel, all in its namespaces
        _until_gone(lambda: born(first) is None, f"process {first}")
    # It goes with the node's network. Where it stays it is another's, and so are the control groups.
    _until_gone(lambda: not Path("/sys/class/net", link_name(addresses)).exists(), link_name(addresses))
    for group in control_groups(slot):
        _until_gone(functools.partial(_removed, group), str(group))
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(Path(point).is_relative_to(place) for point in mounted):
        raise RuntimeError(f"something is mounted in {place}: it is not removed")
    for path in place.iterdir() if place.exists() else ():
        if path.name == "lock":
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def controllers() -> list[Path]:
    """Find the roots of the control groups: one per controller in version 1, one for all in version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [Path(fields[4]) for fields in lines if fields[fields.index("-") + 1] == "cgroup"]


def control_groups(slot: int) -> list[Path]:
    """Find the control groups of a node's pods."""
    groups = [root / cgroup(Addresses(slot)) for root in controllers()]
    return [group for group in groups if group.is_dir()]


def _comes_clean(slot: int) -> bool:
    try:
        clean(slot)
    except RuntimeError as error:
        say(f"[kubernetes] slot {slot} is left alone: {error}")
        return False
    return True


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(folder)
    return not group.exists()


def _until_gone(gone: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + END_SECONDS
    while not gone():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} of a node does not go")
        time.sleep(0.02)


def _lock(slot: int) -> bool:
    if slot in _held:
        return False
    folder(slot).mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder(slot) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _held[slot] = lock
    return True


def _unlock(slot: int) -> None:
    os.close(_held.pop(slot))
