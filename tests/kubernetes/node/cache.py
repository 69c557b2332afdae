"""What is built once: a folder per thing, under the hash of what it is made from, there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.kubernetes.node.progress import say

UNUSED_SECONDS = 14 * 24 * 3600.0


def root() -> Path:
    """Give the folder of all that is kept between runs; ``XDG_CACHE_HOME`` moves it."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "airflow-provider-air" / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def key_of(parts: Iterable[str | bytes]) -> str:
    """Hash what a thing is made from."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def place(name: str, key: str) -> Path:
    """Say where a thing is, or would be."""
    return root() / f"{name}-{key}"


def made(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """Give the folder of a thing, which ``make`` fills if it is not there yet.

    :param make: called with an empty folder on the same file system; what it raises leaves nothing behind.
    """
    target = place(name, key)
    if not target.exists():
        with _alone(name):
            if not target.exists():
                _fill(target, make)
                _forget_unused(name)
    os.utime(target)
    return target


def _fill(target: Path, make: Callable[[Path], None]) -> None:
    scratch = target.with_name(f".{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    scratch.mkdir()
    try:
        make(scratch)
        scratch.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _forget_unused(name: str) -> None:
    for other in root().glob(f"{name}-*"):
        if time.time() - other.stat().st_mtime > UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    with open(root() / f".{name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"[kubernetes] {name}: another process builds it; waiting for that")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
