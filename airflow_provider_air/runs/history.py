"""
An attempt's history: curves, trials, step times, resources, thinned out to fit; see :mod:`contracts.history`.

It lives in an XCom while the attempt does (:mod:`airflow_provider_air.runs.live`), and is kept for good in the task's
state store, in chunks (:func:`~airflow_provider_air.runs.ledger.keep`), by the step that ends the attempt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.contracts.history import MOST_BYTES, MOST_POINTS
from airflow_provider_air.contracts.stored import VERSION
from airflow_provider_air.runs.facts import Facts, text
from airflow_provider_air.runs.series import Series, is_finite, is_number, thinned
from airflow_provider_air.runs.trials import MOST_TRIALS, Trials
from airflow_provider_air.runs.values import plain

HISTORY_KEY = "air_history"
"""Of the XCom while the attempt lives; and, with a number, of the state store's chunks."""
EARLIER_KEY = "air_earlier"
"""Of the state store's chunks with what stays of the attempt before the one that is kept."""
MOST_EARLIER_BYTES = 128 * 1024
MOST_SERIES = 200
MOST_OTHERS = 500
MOST_CHECKPOINT_VALUES = 20
# Of what an event carries home.
MOST_SEEN = 100
# Of all that there is room for: what trials' rows may take, so that some is left for curves.
ROWS_SHARE = 0.75
# A point of a curve in JSON takes no less.
POINT_BYTES = 10


class RunHistory:
    """
    One attempt's history. For one thread or event loop.

    :param names: ``submission_id`` and ``workload`` of the attempt
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.next_record = 0
        self._names = dict(names or {})
        self._series: dict[str, Series] = {}
        self._series_left_out: set[str] = set()
        self._trials = Trials()
        self._facts = Facts()
        self._states: dict[str, Any] = {}
        self._steps: dict[str, float] = {}
        self._resources: list[tuple[float, dict[str, float]]] = []
        self._checkpoints: list[dict[str, Any]] = []
        self._cluster: dict[str, Any] = {}
        self._tasks: dict[str, Any] = {}
        self._about: dict[str, Any] = {}

    # Taken in

    def note_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in records, in order; those that were taken in before are passed over by their numbers."""
        for record in records:
            if record["seq"] < self.next_record:
                continue
            self.next_record = record["seq"] + 1
            if record["kind"] == "metric":
                self._note_metric(record)
            elif record["kind"] == "checkpoint":
                self._note_checkpoint(record)
            elif record["kind"] == "progress":
                self._note_progress(record)

    def _note_metric(self, record: Mapping[str, Any]) -> None:
        values = {text(k): v for k, v in (record.get("values") or {}).items() if is_number(v)}
        trial = record.get("trial")
        if trial is not None:
            self._trials.note_report(text(trial), record, values)
            return
        for name, value in values.items():
            if name not in self._series and len(self._series) >= MOST_SERIES:
                if len(self._series_left_out) < 100 * MOST_SERIES:
                    self._series_left_out.add(name)
                continue
            step = record.get("step")
            self._series.setdefault(name, Series()).add(
                float(step) if is_finite(step) else float(record["seq"]), float(value)
            )

    def _note_checkpoint(self, record: Mapping[str, Any]) -> None:
        values = {text(k): v for k, v in (record.get("values") or {}).items() if is_finite(v)}
        told = {"at": record.get("t"), "uri": text(record.get("uri"))}
        told |= {"step": record["step"]} if is_finite(record.get("step")) else {}
        told |= {"values": dict([*values.items()][:MOST_CHECKPOINT_VALUES])} if values else {}
        self._checkpoints = [*self._checkpoints, told][-MOST_OTHERS:]

    def _note_progress(self, record: Mapping[str, Any]) -> None:
        self._facts.note(record)
        self._trials.compare_by(record.get("metric"), record.get("mode"))
        if record.get("trial") is None:
            return
        self._trials.note_state(text(record["trial"]), record)
        if isinstance(record.get("states"), Mapping):
            counts = {text(name): n for name, n in record["states"].items() if is_finite(n)}
            self._states["trial_states"] = counts
        if is_finite(record.get("total")):
            self._states["trials_total"] = record["total"]

    def note_step(self, name: str, at: float) -> None:
        """Note when a step began, in epoch seconds; the first word about it counts."""
        self._steps.setdefault(name, at)

    def note_resources(self, at: float, values: Mapping[str, float]) -> None:
        """Note what the cluster has and uses at a moment, as ``CPU used`` and ``CPU total``."""
        self._resources.append((at, dict(values)))
        if len(self._resources) > MOST_OTHERS:
            # Every second one, back from the last, so that the whole time stays in sight.
            self._resources = self._resources[::-2][::-1]

    def note_cluster(self, seen: Mapping[str, Any]) -> None:
        """Note the cluster as it was seen last."""
        self._cluster |= {name: value for name, value in seen.items() if value is not None}

    def note_tasks(self, tasks: Mapping[str, Mapping[str, int]]) -> None:
        """Note how many Ray tasks are in which state, by function."""
        self._tasks = {text(name): dict(tasks[name]) for name in list(tasks)[:MOST_SEEN]}

    def note_about(self, about: Mapping[str, Any]) -> None:
        """
        Note what was known of the attempt before it was sent.

        :param about: ``inputs``, ``outputs``, ``features``, ``trackers``, see :mod:`airflow_provider_air.runs.about`
        """
        self._facts.note_data(about)
        self._about = {name: about[name] for name in ("features", "trackers") if about.get(name)}

    def take(self, seen: Any, *, since: float | None = None) -> None:
        """
        Take over what another watch of the same job has seen.

        :param seen: what its :meth:`seen` gave, or its history; what is no such thing is passed over
        :param since: steps before this moment are of another sending, in epoch seconds
        """
        if not isinstance(seen, Mapping):
            return
        told: dict[str, Any] = {name: value for name, value in seen.items() if isinstance(value, Mapping)}
        for name, at in told.get("steps", {}).items():
            if is_finite(at) and (since is None or at >= since):
                self.note_step(str(name), at)
        self.note_cluster(told.get("cluster", {}))
        self._tasks = self._tasks or dict(told.get("tasks", {}))
        pairs = seen.get("resources") if isinstance(seen.get("resources"), list) else []
        known = [
            (pair[0], dict(pair[1]))
            for pair in pairs or []
            if isinstance(pair, (list, tuple))
            and len(pair) == 2
            and is_finite(pair[0])
            and isinstance(pair[1], Mapping)
        ]
        self._resources = [*known, *self._resources]

    # Given

    @property
    def names(self) -> Mapping[str, str]:
        """Whose it is: ``submission_id``, ``workload``."""
        return self._names

    @property
    def steps(self) -> Mapping[str, float]:
        """When which step began, in epoch seconds."""
        return self._steps

    def seen(self) -> dict[str, Any]:
        """Give, as small plain JSON, what only a watch can know and the job's records do not tell."""
        stride = -(-len(self._resources) // MOST_SEEN) or 1
        resources = [[at, values] for at, values in self._resources[::-stride][::-1]]
        found = {"steps": self._steps, "cluster": self._cluster, "tasks": self._tasks, "resources": resources}
        told: dict[str, Any] = plain({name: value for name, value in found.items() if value})
        return told

    def to_json(self, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
        """Give it as plain JSON without NaN, thinned out until it fits."""
        points, rows, halved = MOST_POINTS, MOST_TRIALS, 1
        while rows > 1 and _size(self._trials.rows(rows)) > most_bytes * ROWS_SHARE:
            rows //= 2
        while points > 1 and self._points(points) * POINT_BYTES > most_bytes:
            points, halved = points // 2, halved * 2
        while True:
            shown = self._shown(points, rows)
            if halved > 1:
                shown["cut"]["points"] = halved
            if _size(shown) <= most_bytes or (points, rows) == (1, 1):
                return shown
            if points > 1:
                points, halved = points // 2, halved * 2
            else:
                rows //= 2

    @property
    def _all_series(self) -> Mapping[str, Series]:
        return self._series or self._trials.series

    def _points(self, most: int) -> int:
        return sum(min(len(series), most) for series in self._all_series.values()) + self._trials.points(most)

    def _shown(self, points: int, rows: int) -> dict[str, Any]:
        others = min(MOST_OTHERS, points)
        trials = self._trials.rows(rows)
        left_out = {"trials": self._trials.left_out(len(trials)), "series": len(self._series_left_out)}
        rest: dict[str, Any] = plain(
            {
                "version": VERSION,
                **self._names,
                "next_record": self.next_record,
                "steps": self._steps,
                "resources": self._resources[-others:],
                "checkpoints": self._checkpoints[-others:],
                "cut": {name: count for name, count in left_out.items() if count},
                **{
                    name: value
                    for name, value in {
                        "metric": self._trials.metric,
                        "mode": self._trials.mode,
                        **self._states,
                        "tasks": self._tasks,
                        "cluster": self._cluster,
                        **self._about,
                        **self._features(),
                    }.items()
                    if value
                },
            }
        )
        return {
            **rest,
            **self._facts.to_json(points),
            "series": {name: series.shown(points) for name, series in self._all_series.items()},
            "trials": trials,
            "curves": self._trials.curves(points, trials),
        }

    def _features(self) -> dict[str, Any]:
        """Give the features as they were asked for, with what the driver has joined of them."""
        joined, asked = self._facts.features, self._about.get("features") or []
        if not joined:
            return {}
        return {"features": [{**asked[0], **joined}, *asked[1:]] if asked else [dict(joined)]}


def shortened(form: Mapping[str, Any], most_bytes: int = MOST_EARLIER_BYTES) -> dict[str, Any]:
    """Give what stays of a kept history once the next attempt's takes its place: its curves and steps, thinned out."""
    told = form.get("series")
    series: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    names = ("version", "submission_id", "workload", "steps", "metric", "mode", "x_label")
    short = {name: form[name] for name in names if name in form}
    most = MOST_POINTS
    while True:
        curves = {name: thinned(points, most) for name, points in series.items() if isinstance(points, list)}
        short["series"] = curves
        if _size(short) <= most_bytes or most == 1:
            return short
        most //= 2


def _size(form: Any) -> int:
    return len(json.dumps(form, separators=(",", ":")))
