"""What is kept of an attempt for people: curves, trials, step times, resources; bounded, outlives the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

MOST_POINTS = 2000
"""Points of one series; more are thinned out evenly."""
MOST_LIVE_BYTES = 256 * 1024
"""JSON of an attempt's history while it lives."""
MOST_BYTES = 1024 * 1024
"""JSON of an attempt's history for good."""
CHUNK_BYTES = 48 * 1024
"""What one entry of Airflow's state store takes safely (soft limit 64 KB, 3.3)."""


class History(Protocol):
    """One attempt's history. For one thread or event loop."""

    def note_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in records, in order; those that were taken in before are passed over by their numbers."""

    def note_step(self, name: str, at: float) -> None:
        """Note when a step began, in epoch seconds: ``cluster``, ``submitted``, ``running`` or ``ended``."""

    def note_resources(self, at: float, values: Mapping[str, float]) -> None:
        """Note what the cluster has and uses at a moment."""

    def to_json(self, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
        """
        Give it as plain JSON without NaN, thinned out until it fits.

        ``{"version": 1, "next_record": n, "steps": {name: epoch}, "series": {metric: [[step, value], …]},
        "trials": [{…}], "resources": [[epoch, {…}], …], "checkpoints": [{…}], "cut": {…}}``
        """
