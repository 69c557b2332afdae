"""What a history shows of trials: a table, and curves of the metric that they are compared by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.downsampling import POINTS_PER_COLUMN
from airflow_provider_air.pages.lenient import count, items, mapping, name, number, objects, plain, rounded, text
from airflow_provider_air.pages.thinning import curve

MOST_ROWS = 1000
MOST_CELLS = 24_000
"""Of the table, so that all trials of a search fit into a view: the more rows, the fewer columns."""
MOST_COLUMNS = 40
CELL_CHARACTERS = 60
MOST_POINTS = 8000
"""Of all curves together."""
MOST_CURVES = 200
CURVE_POINTS = 200
MOST_STATES = 20


def trials_section(history: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, Any] | None:
    """
    Give the section ``trials``; None where there are none.

    :param wanted: names of metrics; the first that trials have is the one whose curves are given
    """
    told = objects(history.get("trials"))
    if not told:
        return None
    rows = told[:MOST_ROWS]
    most = max(2, min(MOST_COLUMNS, MOST_CELLS // len(rows) // 2))
    params, metrics = _columns(rows, "config"), _columns(rows, "values")
    metric = _metric([*wanted, str(history.get("metric"))], metrics)
    # The metric that counts is never among those that are left out.
    metrics = [*([metric] if metric else []), *(column for column in metrics if column != metric)]
    mode = "max" if history.get("mode") == "max" else "min"
    shown_params, shown_metrics = ({column: name(column) for column in part[:most]} for part in (params, metrics))
    left_out = count(mapping(history.get("cut")).get("trials")) + len(told) - len(rows)
    return {
        "metric": metric and name(metric),
        "mode": mode,
        "best": _best(rows, metric, mode),
        "params": list(shown_params.values()),
        "metrics": list(shown_metrics.values()),
        "rows": [_row(row, shown_params, shown_metrics) for row in rows],
        "series": _curves(history, metric, rows),
        "counts": _counts(history, told),
        "total": number(history.get("trials_total")),
        "cut": _cut(left_out, len(params) - most, len(metrics) - most),
    }


# As drivers name how a trial ended.
ENDED = ("finished", "failed")


def _columns(rows: Sequence[Mapping[str, Any]], part: str) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in mapping(row.get(part))))


def _metric(wanted: Sequence[str], metrics: Sequence[str]) -> str | None:
    by_name = {name(metric): metric for metric in metrics}
    return next((by_name[name(each)] for each in wanted if name(each) in by_name), next(iter(metrics), None))


def _best(rows: Sequence[Mapping[str, Any]], metric: str | None, mode: str) -> str | None:
    if metric is None:
        return None
    values = [(value, row) for row in rows if (value := number(mapping(row.get("values")).get(metric))) is not None]
    if not values:
        return None
    choose = max if mode == "max" else min
    return name(choose(values, key=lambda pair: pair[0])[1].get("trial"))


def _row(row: Mapping[str, Any], params: Mapping[str, str], metrics: Mapping[str, str]) -> dict[str, Any]:
    config, values = mapping(row.get("config")), mapping(row.get("values"))
    return {
        "trial": name(row.get("trial")),
        "status": name(row.get("status")) or None,
        "step": number(row.get("step")),
        "error": text(row.get("error")) or None,
        "config": {shown: _cell(config[column]) for column, shown in params.items() if column in config},
        "values": {shown: rounded(values[column]) for column, shown in metrics.items() if column in values},
    }


def _cell(value: Any) -> Any:
    if isinstance(value, (bool, type(None))):
        return value
    known = rounded(value)
    return text(plain_text(value), CELL_CHARACTERS) if known is None else known


def plain_text(value: Any) -> str:
    """Give the text of any stored value, as a cell or a search has it."""
    return value if isinstance(value, str) else str(plain(value, 3))


def _counts(history: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    told = mapping(history.get("trial_states"))
    # Tune's own count is of the last word before the search ended: then the trials themselves know better.
    are_over = len(rows) >= count(history.get("trials_total")) and all(row.get("status") in ENDED for row in rows)
    if told and not are_over:
        return {name(state): count(told[state]) for state in list(told)[:MOST_STATES]}
    return dict(Counter(name(row.get("status")) or "?" for row in rows))


def _curves(history: Mapping[str, Any], metric: str | None, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the curves of the trials, which are of the metric that the search compares by: none for another one."""
    stored = mapping(history.get("curves"))
    if metric is None or history.get("metric") not in (None, metric):
        return {}
    points = {name(row.get("trial")): items(stored.get(str(row.get("trial")))) for row in rows[:MOST_CURVES]}
    found = {trial: told for trial, told in points.items() if told}
    most = max(POINTS_PER_COLUMN, min(CURVE_POINTS, MOST_POINTS // max(1, len(found))))
    return {trial: curve(points, most) for trial, points in found.items()}


def _cut(rows: int, params: int, metrics: int) -> dict[str, int] | None:
    left_out = {"trials": rows, "params": params, "metrics": metrics}
    return {part: number for part, number in left_out.items() if number > 0} or None
