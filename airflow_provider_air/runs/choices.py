"""
What a person chose along with a clear: whether the task begins afresh or resumes.

The page in Airflow's UI writes it into the task's state store (key :data:`CHOICE_KEY`) before it has Airflow clear the
task: ``{"version": 1, "choice": "fresh" | "resume", "at": epoch seconds, "until": epoch seconds}``, or the bare word.
The try that begins after the clear reads it, and removes it.

A clear may fail, and a later one is another wish: a choice counts for a few minutes, until the page has heard that the
task is cleared. Then ``until`` is taken away, since a cleared task may wait for a worker for as long as it has to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_air.runs.series import is_finite

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Store

CHOICE_KEY = "air_on_clear"
UNHEARD_SECONDS = 300.0
"""For so long a choice counts of whose clear nobody has heard."""


@dataclass(frozen=True)
class Choice:
    """
    One choice.

    :param at: tells it from others, in epoch seconds; None for a bare word
    :param until: epoch seconds until which it counts; None: until the next clear
    """

    word: Literal["fresh", "resume"]
    at: float | None = None
    until: float | None = None

    @classmethod
    def of(cls, store: Store) -> Choice | None:
        """Read it; None where there is none, or another word that this version does not know."""
        stored = store.get(CHOICE_KEY)
        told = stored if isinstance(stored, Mapping) else {"choice": stored}
        word = told.get("choice")
        if word not in ("fresh", "resume"):
            return None
        at, until = (float(value) if is_finite(value := told.get(key)) else None for key in ("at", "until"))
        return cls(word, at, until)
