"""When a task defers, and when it comes back: what all operators and sensors do alike."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import conf

DEFAULT_DEFERRABLE: bool = conf.getboolean("operators", "default_deferrable", fallback=False)

DEFAULT_GRACE_SECONDS = 20.0
"""How long a worker waits in place before it defers, where ``[air] deferral_grace_seconds`` says nothing."""

DEFAULT_SETTLE_SECONDS = 15.0
"""
How long after its deferral a task comes back at the earliest, where ``[air] deferral_settle_seconds`` says nothing.

Airflow 3.3.2 judges a task that is queued again before its first worker's exit is known "finished, but queued", and
fails its try: the scheduler hears of that exit from the executor, which on a busy machine takes it seconds.
"""

# Airflow's own deferral time-out is a backstop behind the deadline inside our triggers.
BACKSTOP_SECONDS = 120.0


def grace_seconds(own: float | None) -> float:
    """
    Give how long a worker waits in place before it defers.

    :param own: what the operator says, or None
    """
    return conf.getfloat("air", "deferral_grace_seconds", fallback=DEFAULT_GRACE_SECONDS) if own is None else own


def not_before() -> float:
    """Give the epoch seconds before which a task that is deferred now must not come back."""
    return time.time() + conf.getfloat("air", "deferral_settle_seconds", fallback=DEFAULT_SETTLE_SECONDS)


def backstop(deadline: float | None) -> timedelta | None:
    """Give Airflow's own time-out of a deferral whose trigger watches a deadline in epoch seconds."""
    return None if deadline is None else timedelta(seconds=deadline - time.time() + BACKSTOP_SECONDS)
