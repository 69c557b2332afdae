"""A search's trials, as a history has them: a row each, and a curve each of the metric that they are compared by."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.runs.series import Series, is_finite
from airflow_provider_air.runs.values import plain

MOST_TRIALS = 1000
MOST_VALUES = 200
"""Of one trial's metrics."""
# Of all curves together, and of one.
MOST_CURVE_POINTS = 40_000
LEAST_POINTS, MOST_POINTS = 20, 500
# There may be a thousand of them; a row has the exact last value.
CURVE_DIGITS = 6
CONFIG_BYTES = 4096
ERROR_CHARACTERS = 500
# Counted by Tune itself.
COUNTER = "training_iteration"


class Trials:
    """One attempt's trials. For one thread or event loop."""

    def __init__(self) -> None:
        self.metric: str | None = None
        self.mode: str | None = None
        self._told: str | None = None
        self._rows: dict[str, dict[str, Any]] = {}
        self._curves: dict[str, Series] = {}
        self._sole: dict[str, Series] = {}
        self._left_out: set[str] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def compare_by(self, metric: Any, mode: Any) -> None:
        """Take in what they are compared by; curves of another metric are dropped."""
        if isinstance(metric, str) and metric != self._told:
            self.metric = self._told = metric
            self._curves = {}
        if mode in ("min", "max"):
            self.mode = mode

    def note_report(self, trial: str, record: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Take in a trial's metrics."""
        row = self._row(trial, record)
        if row is None:
            return
        step = record.get("step")
        at = float(step) if is_finite(step) else float(record["seq"])
        self._note_sole(at, values)
        row["values"] = dict([*{**row["values"], **{k: float(v) for k, v in values.items()}}.items()][:MOST_VALUES])
        if self.metric is None:
            self.metric = next((name for name in values if name != COUNTER), None)
        if self.metric is not None and self.metric in values:
            curve = self._curves.setdefault(trial, Series())
            most = min(MOST_POINTS, max(LEAST_POINTS, MOST_CURVE_POINTS // len(self._rows)))
            curve.add(at, float(values[self.metric]), most)

    def _note_sole(self, at: float, values: Mapping[str, float]) -> None:
        if len(self._rows) > 1:
            self._sole = {}
            return
        for name, value in values.items():
            if name in self._sole or len(self._sole) < MOST_VALUES:
                self._sole.setdefault(name, Series()).add(at, float(value))

    @property
    def series(self) -> Mapping[str, Series]:
        """All curves of the only trial, where there is but one: that is no search, and its metrics are the job's."""
        return self._sole if len(self._rows) == 1 else {}

    def note_state(self, trial: str, record: Mapping[str, Any]) -> None:
        """Take in that a trial began or ended."""
        row = self._row(trial, record)
        if row is None or record.get("trial_state") is None:
            return
        row["status"] = str(record["trial_state"])
        at = record.get("t")
        if is_finite(at):
            row.update({"began_at": at} if row["status"] == "running" else {"ended_at": at})
        if record.get("error"):
            row["error"] = shortened(str(record["error"]), ERROR_CHARACTERS)

    def _row(self, trial: str, record: Mapping[str, Any]) -> dict[str, Any] | None:
        if trial not in self._rows and len(self._rows) >= MOST_TRIALS:
            if len(self._left_out) < 100 * MOST_TRIALS:
                self._left_out.add(trial)
            return None
        row = self._rows.setdefault(trial, {"trial": trial, "values": {}})
        row |= {k: plain(record[k]) for k in ("status", "step") if record.get(k) is not None}
        if isinstance(record.get("config"), Mapping):
            row["config"] = _bounded(plain(record["config"]))
        return row

    def rows(self, most: int) -> list[dict[str, Any]]:
        """Give at most so many rows in the order in which they began; where some must go, the best ones stay."""
        rows = list(self._rows.values())
        if len(rows) > most:
            best = {row["trial"] for row in sorted(rows, key=self._rank)[:most]}
            rows = [row for row in rows if row["trial"] in best]
        return [plain(row) for row in rows]

    def _rank(self, row: Mapping[str, Any]) -> float:
        value = row["values"].get(self.metric, math.nan)
        if not math.isfinite(value):
            return math.inf
        return -value if self.mode == "max" else float(value)

    def curves(self, points: int, rows: list[dict[str, Any]]) -> dict[str, list[list[float | None]]]:
        """Give the curves of some rows, each with at most so many points."""
        names = [row["trial"] for row in rows if row["trial"] in self._curves]
        return {name: self._curves[name].shown(points, CURVE_DIGITS) for name in names}

    def points(self, most: int) -> int:
        """Count the points that would be shown."""
        return sum(min(len(curve), most) for curve in self._curves.values())

    def left_out(self, shown: int) -> int:
        """Count the trials that are not among the rows shown."""
        return len(self._left_out) + len(self._rows) - shown


def _bounded(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a trial's settings what is too large to be read."""
    kept, left = {}, CONFIG_BYTES
    for name, value in config.items():
        left_then = left - len(json.dumps({name: value}))
        if left_then >= 0:
            kept[name], left = value, left_then
    return kept
