"""
A lock for all drivers of one cluster, kept in Ray's key-value store.

The store can create a key only if it is absent, and nothing more; that is enough. Each holder is one key with
the next number, and whoever creates it holds the lock. A holder proves that it lives by changing its value; one
that stops doing so, or whose job has ended, is overtaken by the next number. The last key always stays, so
that two who find the lock free always fight for the same number.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Callable, Iterator, Optional, Tuple

NAMESPACE = b"air-serve"
BEAT_SECONDS = 1.0
# A busy machine may delay a beat by seconds; a job that ended is noticed at once.
LEASE_SECONDS = 15.0
ASK_SECONDS = 1.0


class LockLostError(RuntimeError):
    """Somebody overtook this holder, having seen no sign of life from it."""


class LockTimeoutError(RuntimeError):
    """Another job held the lock for all the time that we were willing to wait."""


class Held:
    """A lock that is held; ``check`` before each write that it protects."""

    def __init__(self, store: Any, name: str, number: int, holder: str) -> None:
        self._store = store
        self._name = name
        self._number = number
        self._holder = holder
        self._ended = threading.Event()
        self._beats = 0
        threading.Thread(target=self._beat, daemon=True).start()

    def check(self) -> None:
        """:raises LockLostError: it is not ours any more."""
        top = _top(self._store, self._name)
        if top is not None and top[0] != self._number:
            raise LockLostError("another job took the lock %r from %s" % (self._name, self._holder))

    def release(self) -> None:
        """Leave it to the next; the empty key stays."""
        self._ended.set()
        with contextlib.suppress(Exception):
            self._write("")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._beats += 1
            with contextlib.suppress(Exception):  # the next beat may get through
                self._write("%s %d" % (self._holder, self._beats))

    def _write(self, text: str) -> None:
        self._store.internal_kv_put(_key(self._name, self._number), text.encode(), True, NAMESPACE)


@contextlib.contextmanager
def holding(
    store: Any,
    name: str,
    holder: str,
    *,
    timeout_seconds: float,
    has_ended: Callable[[str], bool] = lambda holder: False,
    on_wait: Callable[[str], None] = lambda holder: None,
    lease_seconds: float = LEASE_SECONDS,
) -> Iterator[Held]:
    """
    Hold the lock ``name`` for the block.

    :param store: Ray's GCS client
    :param holder: who we are: a submission id, without spaces
    :param has_ended: tells whether a holder is known to be dead
    :param on_wait: is told once who is in the way
    :raises LockTimeoutError: another holder lives on for ``timeout_seconds``
    """
    held = _acquire(store, name, holder, timeout_seconds, has_ended, on_wait, lease_seconds)
    try:
        yield held
    finally:
        held.release()


def _acquire(
    store: Any,
    name: str,
    holder: str,
    timeout_seconds: float,
    has_ended: Callable[[str], bool],
    on_wait: Callable[[str], None],
    lease_seconds: float,
) -> Held:
    end = time.monotonic() + timeout_seconds
    seen: Optional[Tuple[int, str]] = None
    seen_at, next_question = 0.0, time.monotonic() + ASK_SECONDS
    told = ""
    while True:
        top = _top(store, name)
        now = time.monotonic()
        if top != seen:
            seen, seen_at = top, now
        other = top[1].split(" ")[0] if top else ""
        free = not other or now - seen_at > lease_seconds
        if not free and now >= next_question:
            free, next_question = has_ended(other), now + ASK_SECONDS
        if free and _create(store, name, (top[0] if top else 0) + 1, holder):
            return Held(store, name, (top[0] if top else 0) + 1, holder)
        if other and other != told:
            told = other
            on_wait(other)
        if now > end:
            raise LockTimeoutError("%s held the lock %r for more than %d s" % (other, name, timeout_seconds))
        time.sleep(0.05 if free else 0.2)


def _create(store: Any, name: str, number: int, holder: str) -> bool:
    created: bool = store.internal_kv_put(_key(name, number), ("%s 0" % holder).encode(), False, NAMESPACE) == 1
    if created:
        for key in store.internal_kv_keys(_key(name, None), NAMESPACE):
            if key < _key(name, number):
                store.internal_kv_del(key, False, NAMESPACE)
    return created


def _top(store: Any, name: str) -> Optional[Tuple[int, str]]:
    keys = sorted(store.internal_kv_keys(_key(name, None), NAMESPACE))
    if not keys:
        return None
    value = store.internal_kv_get(keys[-1], NAMESPACE)
    return int(keys[-1].rsplit(b"/", 1)[1]), (value or b"").decode()


def _key(name: str, number: Optional[int]) -> bytes:
    return ("lock/%s/%s" % (name, "" if number is None else "%012d" % number)).encode()
