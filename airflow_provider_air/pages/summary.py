"""The little of a history that lists of many task instances show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_air.pages.lenient import epoch, items, mapping, name, number
from airflow_provider_air.pages.thinning import is_point

MOST_VALUES = 100
# As histories name what a cluster has.
HOURS = {"cpu_hours": "CPU total", "gpu_hours": "GPU total"}


def summary_of(history: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give what lists need of a history: small plain JSON.

    :return: ``submission_id``, ``steps``, ``cluster``, ``last`` (the last value by metric), ``cpu_hours``,
        ``gpu_hours``: of the whole cluster, while the attempt had it; None where nobody saw what it has
    """
    curves = list(mapping(history.get("series")).items())[:MOST_VALUES]
    return {
        "submission_id": history.get("submission_id"),
        "steps": dict(mapping(history.get("steps"))),
        "cluster": dict(mapping(history.get("cluster"))),
        "last": {name(key): last_of(points) for key, points in curves},
        **{hours: _hours(history, resource) for hours, resource in HOURS.items()},
    }


def last_of(points: Any) -> float | int | None:
    """Give the last value of a stored series; None where it was no number."""
    told = items(points)
    return number(told[-1][1]) if told and is_point(told[-1]) else None


def _hours(history: Mapping[str, Any], resource: str) -> float | None:
    """Add up what the cluster had, each amount until the next look: from when it was ready until the attempt's end."""
    steps = mapping(history.get("steps"))
    seen = [(epoch(point[0]), mapping(point[1])) for point in items(history.get("resources")) if is_point(point)]
    known = sorted((at, float(number(told.get(resource)) or 0.0)) for at, told in seen if at is not None)
    if not known:
        return None
    ready, ended = epoch(steps.get("ready")), epoch(steps.get("ended"))
    first = known[0][0] if ready is None else min(ready, known[0][0])
    last = known[-1][0] if ended is None else max(ended, known[-1][0])
    moments = [first, *(at for at, _ in known[1:]), last]
    spans = zip(known, moments, moments[1:], strict=False)
    return sum(amount * (until - since) for (_, amount), since, until in spans) / 3600
