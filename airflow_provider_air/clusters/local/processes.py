"""Which processes belong to a cluster, and how to end every one of them, also those that left the family."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from airflow_provider_air.clusters.local.head import MARKER

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent dies, so that none escapes (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Get SIGTERM when the parent dies, even by SIGKILL (Linux only). Runs between fork and exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def reap(except_pid: int | None) -> None:
    """
    Collect dead children of this process, so that adopted orphans do not stay as zombies.

    :param except_pid: a child whose exit code somebody else collects
    """
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid == except_pid:
                return
            os.waitpid(found.si_pid, os.WNOHANG)


def of_cluster(folder: Path) -> list[psutil.Process]:
    """
    Find all processes of a cluster: those that carry its mark or work in its folder, and their descendants.

    Processes that rename themselves (Ray's agents) overwrite their environment as others see it; they are
    found by their working directory or their parent. The supervisor is among them, this process never.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real == os.getuid() and _belongs(process, folder):
                found[process.pid] = process
                found.update((child.pid, child) for child in process.children(recursive=True))
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _is_running(process)]


def _belongs(process: psutil.Process, folder: Path) -> bool:
    with contextlib.suppress(psutil.AccessDenied, OSError):
        if process.environ().get(MARKER) == str(folder):
            return True
    with contextlib.suppress(psutil.AccessDenied, OSError):
        working = process.cwd()
        return Path(working).is_relative_to(folder.resolve())
    return False


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_cluster(folder: Path, *, timeout_seconds: float = 20.0) -> list[int]:
    """
    Kill all processes of a cluster, again and again while new ones appear.

    :return: ids of those that are still there, usually none
    """
    end = time.monotonic() + timeout_seconds
    while victims := of_cluster(folder):
        if time.monotonic() > end:
            break
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        # Also collects the exit codes of those that are our own children.
        psutil.wait_procs(victims, timeout=2)
    return [victim.pid for victim in victims]
