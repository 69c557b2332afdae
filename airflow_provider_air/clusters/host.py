"""What the processes of one user on one host share: a private folder, and locks in it."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_provider_air.errors import ConfigurationError

LONGEST_BASE = 40
"""Ray adds about 65 characters for its sockets, and AF_UNIX paths end at 107 (Linux) or 103 (macOS)."""


def take_lock(path: Path, *, wait: bool) -> int | None:
    """
    Take the lock that a file stands for; closing the descriptor gives it back.

    :param wait: False gives None at once where somebody else holds it
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The holder before us may have removed the file: then ours is a lock on nothing.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def base_folder() -> Path:
    """
    Give the folder of all local clusters of this user: ``AIR_LOCAL_HOME``, or ``/tmp/air-<uid>``.

    :raises ConfigurationError: it is too long for Ray's sockets, or not a private folder of this user
    """
    base = Path(os.environ.get("AIR_LOCAL_HOME") or f"/tmp/air-{os.getuid()}")  # noqa: S108 - checked below
    hint = "Set AIR_LOCAL_HOME to a short absolute path of a folder that is yours alone (mode 0700)"
    if not base.is_absolute() or len(str(base)) > LONGEST_BASE:
        raise ConfigurationError(
            f"Local clusters cannot live in a path longer than {LONGEST_BASE} characters, or a relative one",
            where=str(base),
            hint=hint,
        )
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"No folder for local clusters: {error.strerror}", where=str(base), hint=hint
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError("Others could tamper with local clusters here", where=str(base), hint=hint)
    return base


@contextmanager
def lock_base(base: Path, what: str = "ports") -> Iterator[None]:
    """Hold a lock of the whole base folder, such as that two creators do not choose the same free ports."""
    lock = take_lock(base / f"{what}.lock", wait=True)
    assert lock is not None
    try:
        yield
    finally:
        os.close(lock)
