"""Deadlines, back-off and the only wait loops of synchronous code."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from airflow_provider_air.errors import AirError, DeadlineExceededError, UnavailableError

T = TypeVar("T")

# How long what does not answer is asked again before a worker leaves it to the next try.
PATIENCE_SECONDS = 45.0
# Where it was asked patiently already, or little time is left.
SHORT_PATIENCE_SECONDS = 5.0


def backoff_seconds(first: float, ceiling: float, factor: float = 2.0) -> Iterator[float]:
    """Yield growing pauses with 20 % jitter, so that many waiters do not knock in step."""
    pause = first
    while True:
        yield min(pause, ceiling) * random.uniform(0.8, 1.2)
        pause = min(pause * factor, ceiling)


def patiently(
    call: Callable[[], T],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    first_pause_seconds: float = 0.5,
    longest_pause_seconds: float = 5.0,
    on: type[AirError] = UnavailableError,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """
    Call again while it is unavailable, until the patience is over. Blocks.

    :param on: what is met with patience
    :param now, sleep: the time of a process, where it is not the system's
    :raises UnavailableError: it still was at the end; or what ``on`` says
    """
    end = now() + patience_seconds
    for pause in backoff_seconds(first_pause_seconds, longest_pause_seconds):
        try:
            return call()
        except on:
            if now() + pause > end:
                raise
        sleep(pause)
    raise AssertionError("unreachable")


def wait_until(
    check: Callable[[], T | None],
    *,
    what: str,
    timeout_seconds: float,
    poll_interval_seconds: float = 0.25,
    last_state: Callable[[], str] = lambda: "unknown",
) -> T:
    """
    Call ``check`` until it returns something other than None, and return that.

    Blocks: for workers and supervisors, never for the triggerer.

    :param what: what is waited for, for the error message
    :param last_state: describes what was seen last, for the error message
    :raises DeadlineExceededError: nothing came within ``timeout_seconds``
    """
    end = time.monotonic() + timeout_seconds
    while True:
        found = check()
        if found is not None:
            return found
        if time.monotonic() >= end:
            raise DeadlineExceededError(
                f"{what} did not happen within {timeout_seconds:g} s; last state: {last_state()}"
            )
        time.sleep(min(poll_interval_seconds, max(0.0, end - time.monotonic())))
