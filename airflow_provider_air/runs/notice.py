"""Says what a task waits for, and how long already: where that changes, and else ever more seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Clock, Log

# What is over by then needs no words.
FIRST_SECONDS = 5.0
LONGEST_SECONDS = 600.0
# A change is told so soon after the last line; one that changes without end is told like one that stays.
CHANGE_SECONDS = 5.0
MOST_CHANGES = 20


class WaitNotice:
    """
    The words about one wait in a task's log.

    :param since: epoch seconds at which it began; None: now
    """

    def __init__(self, log: Log, clock: Clock, since: float | None = None) -> None:
        self._log = log
        self._clock = clock
        self.waiting_for = ""
        """What was told last; empty where nothing was, or it is over."""
        self.since = clock.now() if since is None else since
        self._is_over = True

    def _begin(self) -> None:
        self._is_over = False
        self._change_at = self.since + FIRST_SECONDS
        self._again_at = float("inf")
        self._changes = 0
        self._pauses = backoff_seconds(30.0, LONGEST_SECONDS)

    def note(self, what: str, more: str = "") -> bool:
        """
        Take in what is waited for now, and say so where that is due.

        :param what: reads on from "Waiting for"
        :param more: what is told along, and is no reason to tell it
        :return: whether it was said
        """
        now = self._clock.now()
        if self._is_over:
            self._begin()
        is_other = what != self.waiting_for and self._changes < MOST_CHANGES
        if now < (self._change_at if is_other else self._again_at):
            return False
        self._changes += is_other
        self.waiting_for = what
        self._change_at, self._again_at = now + CHANGE_SECONDS, now + next(self._pauses)
        words = f"{what} ({more})" if more else what
        self._log.info("Waiting for %s, for %s so far", words, _span(now - self.since))
        return True

    def over(self) -> None:
        """Take in that nothing is waited for now; should it be again, that is another wait."""
        self.waiting_for, self.since, self._is_over = "", self._clock.now(), True


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
