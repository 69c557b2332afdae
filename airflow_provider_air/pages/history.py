"""What the history of an attempt shows: curves, checkpoints, resources, and what only some workloads have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_air.downsampling import m4
from airflow_provider_air.pages.lenient import count, epoch, items, mapping, name, number, objects, rounded, text
from airflow_provider_air.pages.summary import last_of
from airflow_provider_air.pages.thinning import curve, is_point
from airflow_provider_air.pages.trials import trials_section

MOST_POINTS = 600
"""Of one curve in a view."""
MOST_POINTS_BEFORE = 200
SHOWN_SERIES, MOST_SERIES = 6, 12
MOST_NAMES = 300
MOST_CHECKPOINTS = 500


def history_sections(
    history: Mapping[str, Any], metrics: Sequence[str] = (), before: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    Give the sections that an attempt's history holds: those of what it has none of are not there.

    :param history: as stored, see :mod:`airflow_provider_air.contracts.history`
    :param metrics: the names of the curves that are wanted; the first six by default
    :param before: the history of the attempt before, whose curves are shown beside
    """
    if not history:
        return {}
    sections = {
        "metrics": metrics_section(history, metrics, before),
        "checkpoints": checkpoints_section(history),
        "trials": trials_section(history, metrics),
        "resources": resources_section(history),
        "batch": batch_section(history),
        "workers": workers_section(history),
    }
    return {key: section for key, section in sections.items() if section}


def metrics_section(
    history: Mapping[str, Any], wanted: Sequence[str] = (), before: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Give the section ``metrics``."""
    series = {name(key): items(points) for key, points in mapping(history.get("series")).items()}
    if not series:
        return None
    names = list(series)[:MOST_NAMES]
    chosen = [key for key in wanted if key in series][:MOST_SERIES] or names[:SHOWN_SERIES]
    cut = mapping(history.get("cut"))
    left_out = count(cut.get("series")) + len(series) - len(names)
    return {
        "names": names,
        "last": {key: last_of(series[key]) for key in names},
        "series": {key: curve(series[key], MOST_POINTS) for key in chosen},
        "before": _before(before, chosen),
        "x_label": text(history.get("x_label"), 40) or "step",
        "cut": {key: many for key, many in {"series": left_out, "points": count(cut.get("points"))}.items() if many}
        or None,
    }


def _before(before: Mapping[str, Any] | None, chosen: Sequence[str]) -> dict[str, Any] | None:
    series = {name(key): points for key, points in mapping(mapping(before).get("series")).items()}
    told = {key: curve(series[key], MOST_POINTS_BEFORE) for key in chosen if key in series}
    return {"try_number": count(mapping(before).get("try_number"), 1), "series": told} if told else None


def checkpoints_section(history: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the section ``checkpoints``."""
    told = objects(history.get("checkpoints"))[-MOST_CHECKPOINTS:]
    return [{"at": epoch(c.get("at")), "step": number(c.get("step")), "uri": text(c.get("uri"), 1000)} for c in told]


def resources_section(history: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the section ``resources``: all series over the same times, thinned out by the first of them."""
    told = [point for point in items(history.get("resources")) if is_point(point) and epoch(point[0]) is not None]
    if not told:
        return None
    names = list(dict.fromkeys(key for point in told for key in mapping(point[1])))[:20]
    values = {key: [rounded(mapping(point[1]).get(key)) for point in told] for key in names}
    places = sorted({place for key in names for place in m4(values[key], MOST_POINTS // max(1, len(names)))})
    return {
        "x": [epoch(told[place][0]) for place in places],
        "series": {name(key): [values[key][place] for place in places] for key in names},
    }


def batch_section(history: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the section ``batch``; its curve is of the rows so far, over epoch seconds."""
    told = mapping(history.get("batch"))
    if not told:
        return None
    numbers = ("rows", "total_rows", "blocks", "total_blocks", "rows_per_second")
    known = {key: number(told.get(key)) for key in numbers}
    rows, total, rate = known["rows"], known["total_rows"], known["rows_per_second"]
    left = None
    if rows is not None and total is not None and total > rows and rate is not None and rate > 0:
        left = number((total - rows) / rate)
    return {**known, "seconds_left": left, "series": curve(told.get("rate"), MOST_POINTS)}


def workers_section(history: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the section ``workers``."""
    told = mapping(history.get("workers"))
    if not told:
        return None
    resumed_from = text(told.get("resumed_from"), 1000)
    return {"count": number(told.get("count")), "starts": number(told.get("starts")), "resumed_from": resumed_from}
