"""
What a person chose along with a clear: whether the task begins afresh or resumes.

The page in Airflow's UI writes it into the task's state store (key :data:`CHOICE_KEY`) before it has Airflow clear the
task: ``{"version": 1, "choice": "fresh" | "resume", "at": epoch seconds}``, or the bare word. The try that begins after
the clear reads it, and removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_air.runs.series import is_finite

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Store

CHOICE_KEY = "air_on_clear"


@dataclass(frozen=True)
class Choice:
    """
    One choice.

    :param at: tells it from others, in epoch seconds; None for a bare word
    """

    word: Literal["fresh", "resume"]
    at: float | None = None

    @classmethod
    def of(cls, store: Store) -> Choice | None:
        """Read it; None where there is none, or another word that this version does not know."""
        told = store.get(CHOICE_KEY)
        word, at = (told.get("choice"), told.get("at")) if isinstance(told, Mapping) else (told, None)
        if word not in ("fresh", "resume"):
            return None
        return cls(word, float(at) if is_finite(at) else None)
