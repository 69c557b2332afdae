"""The little of a history that lists of many task instances show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from airflow_provider_air.pages.lenient import epoch, items, mapping, name, number
from airflow_provider_air.pages.thinning import is_point

MOST_VALUES = 100
# As histories name what a cluster has.
HOURS = {"cpu_hours": "CPU total", "gpu_hours": "GPU total"}
Span = tuple[float, float, float]
"""Since when, until when, how much."""


def summary_of(history: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give what lists need of a history: small plain JSON.

    :return: ``submission_id``, ``steps``, ``cluster``, ``last`` (the last value by metric), ``had``: by each of
        :data:`HOURS` what the whole cluster had while the attempt had it, for :func:`hours_of`
    """
    curves = list(mapping(history.get("series")).items())[:MOST_VALUES]
    return {
        "submission_id": history.get("submission_id"),
        "steps": dict(mapping(history.get("steps"))),
        "cluster": dict(mapping(history.get("cluster"))),
        "last": {name(key): last_of(points) for key, points in curves},
        "had": {hours: _spans(history, resource) for hours, resource in HOURS.items()},
    }


def last_of(points: Any) -> float | int | None:
    """Give the last value of a stored series; None where it was no number."""
    told = items(points)
    return number(told[-1][1]) if told and is_point(told[-1]) else None


def _spans(history: Mapping[str, Any], resource: str) -> list[Span]:
    """Give each amount until the next look: from when the cluster was ready until the attempt's end."""
    steps = mapping(history.get("steps"))
    seen = [(epoch(point[0]), mapping(point[1])) for point in items(history.get("resources")) if is_point(point)]
    known = sorted((at, float(number(told.get(resource)) or 0.0)) for at, told in seen if at is not None)
    if not known:
        return []
    ready, ended = epoch(steps.get("ready")), epoch(steps.get("ended"))
    first = known[0][0] if ready is None else min(ready, known[0][0])
    last = known[-1][0] if ended is None else max(ended, known[-1][0])
    amounts = [amount for _, amount in known]
    changes = [place for place, amount in enumerate(amounts) if place == 0 or amount != amounts[place - 1]]
    moments = [first, *(known[place][0] for place in changes[1:]), last]
    return [(*between, amounts[place]) for place, between in zip(changes, pairwise(moments), strict=True)]


def hours_of(spans: Iterable[Span]) -> float | None:
    """Add up what a cluster had, where several saw it at a time only once; None where nobody saw what it has."""
    known = sorted(spans)
    counted, until = 0.0, -math.inf
    for since, end, amount in known:
        counted += amount * max(0.0, end - max(since, until))
        until = max(until, end)
    return number(counted / 3600) if known else None
