"""
An attempt's history: curves, trials, step times, resources, thinned out to fit; see :mod:`contracts.history`.

It lives in an XCom while the attempt does, since a trigger can write no other place, and is kept for good in the task's
state store, in chunks (:func:`~airflow_provider_air.runs.ledger.keep`), by the step that ends the attempt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_provider_air.contracts.history import MOST_BYTES, MOST_LIVE_BYTES, MOST_POINTS
from airflow_provider_air.runs.values import LEAST_INT, MOST_INT, plain

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import Observation
    from airflow_provider_air.contracts.runs import Board, Clock
    from airflow_provider_air.runs.ledger import Attempt

HISTORY_KEY = "air_history"
"""Of the XCom while the attempt lives; and, with a number, of the state store's chunks."""
HISTORY_SECONDS = 10.0
MOST_TRIALS = 1000
MOST_SERIES = 200
MOST_OTHERS = 500


class Series:
    """One metric's points; every ``stride``-th once there were too many, and always the last."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._stride = 1
        self._seen = 0
        self._last: tuple[float, float] | None = None

    def add(self, step: float, value: float) -> None:
        """Take in the next point."""
        self._last = (step, value)
        if self._seen % self._stride == 0:
            self.points.append(self._last)
        self._seen += 1
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
            self._stride *= 2

    def shown(self, most: int) -> list[list[float]]:
        """Give at most so many points, evenly chosen, the last one among them."""
        points = self.points if not self._last or self.points[-1] == self._last else [*self.points, self._last]
        step = math.ceil(len(points) / most)
        chosen = points[::-step][::-1] if step > 1 else points
        return [[at, value] for at, value in chosen]


class RunHistory:
    """One attempt's history. For one thread or event loop."""

    def __init__(self) -> None:
        self.next_record = 0
        self._series: dict[str, Series] = {}
        self._trials: dict[str, dict[str, Any]] = {}
        self._steps: dict[str, float] = {}
        self._resources: list[tuple[float, dict[str, float]]] = []
        self._checkpoints: list[dict[str, Any]] = []
        self._left_out: dict[str, int] = {}

    def note_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in records, in order; those that were taken in before are passed over by their numbers."""
        for record in records:
            if record["seq"] < self.next_record:
                continue
            self.next_record = record["seq"] + 1
            if record["kind"] == "metric":
                self._note_metric(record)
            elif record["kind"] == "checkpoint":
                self._checkpoints.append({"at": record.get("t"), "uri": record.get("uri")})
                self._checkpoints = self._checkpoints[-MOST_OTHERS:]

    def _note_metric(self, record: Mapping[str, Any]) -> None:
        values = {str(k): v for k, v in (record.get("values") or {}).items() if _is_number(v)}
        trial = record.get("trial")
        if trial is not None:
            self._note_trial(str(trial), record, values)
            return
        for name, value in values.items():
            if name not in self._series and len(self._series) >= MOST_SERIES:
                self._left_out["series"] = self._left_out.get("series", 0) + 1
                continue
            step = record.get("step")
            self._series.setdefault(name, Series()).add(
                float(step) if _is_number(step) else float(record["seq"]), float(value)
            )

    def _note_trial(self, trial: str, record: Mapping[str, Any], values: Mapping[str, float]) -> None:
        if trial not in self._trials and len(self._trials) >= MOST_TRIALS:
            self._left_out["trials"] = self._left_out.get("trials", 0) + 1
            return
        row = self._trials.setdefault(trial, {"trial": trial})
        row |= {k: record[k] for k in ("config", "status", "step") if record.get(k) is not None}
        known = {**row.get("values", {}), **{k: float(v) for k, v in values.items()}}
        row["values"] = dict([*known.items()][:MOST_SERIES])

    def note_step(self, name: str, at: float) -> None:
        """Note when a step began, in epoch seconds."""
        self._steps.setdefault(name, at)

    def note_resources(self, at: float, values: Mapping[str, float]) -> None:
        """Note what the cluster has and uses at a moment."""
        self._resources = [*self._resources, (at, dict(values))][-MOST_OTHERS:]

    def to_json(self, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
        """Give it as plain JSON without NaN, thinned out until it fits."""
        points, rows = MOST_POINTS, MOST_TRIALS
        while True:
            shown: dict[str, Any] = plain(self._shown(points, rows))
            if points <= 1 or len(json.dumps(shown, separators=(",", ":"))) <= most_bytes:
                return shown
            points, rows = points // 2, max(1, rows // 2)

    def _shown(self, points: int, rows: int) -> dict[str, Any]:
        trials = list(self._trials.values())
        cut = {**self._left_out, **({"trials": len(trials) - rows} if len(trials) > rows else {})}
        others = min(MOST_OTHERS, points)
        return {
            "version": 1,
            "next_record": self.next_record,
            "steps": dict(self._steps),
            "series": {name: series.shown(points) for name, series in self._series.items()},
            "trials": trials[:rows],
            "resources": [[at, values] for at, values in self._resources[-others:]],
            "checkpoints": self._checkpoints[-others:],
            "cut": cut,
        }


def _is_number(value: Any) -> TypeGuard[float]:
    # Records of any driver's: an integer may be more than a float holds.
    is_whole = isinstance(value, int) and not isinstance(value, bool) and LEAST_INT <= value <= MOST_INT
    return is_whole or isinstance(value, float)


class LiveHistory:
    """Writes the history of a watched job on its board, every ten seconds at most; rebuilt from the first record."""

    def __init__(self, board: Board, clock: Clock, attempt: Attempt) -> None:
        self._board = board
        self._clock = clock
        self._history = RunHistory()
        for name, at in attempt.steps.items():
            self._history.note_step(name, at)
        self._next = clock.now() + HISTORY_SECONDS
        self._is_new = False

    async def note(self, seen: Observation) -> None:
        """Take in what is new, and write it where that is due."""
        self._history.note_records(seen.records)
        self._is_new = self._is_new or bool(seen.records)
        if self._is_new and self._clock.now() >= self._next:
            self._next = self._clock.now() + HISTORY_SECONDS
            self._is_new = False
            value = self._history.to_json(MOST_LIVE_BYTES)
            await self._clock.in_thread(self._board.write, HISTORY_KEY, value)
