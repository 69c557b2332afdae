"""Metrics and parameters as MLflow's calls have them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_air.drivers.wire.metrics import metrics_of


def points_of(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a metric record's points, with its own time stamp and step."""
    for name, number in metrics_of(record["values"]).items():
        yield metric_point(name, number, int(record["t"] * 1000), record.get("step") or 0)


def metric_point(name: str, number: float, stamp: int, step: int) -> dict[str, Any]:
    """
    Give one point.

    :param stamp: epoch milliseconds
    """
    return {"key": name, "value": _json_number(number), "timestamp": stamp, "step": step}


def _json_number(value: float) -> float | str:
    """Give what JSON has no number for by the name that MLflow reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def flat_params(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Give parameters by flat names, as text; what is None is left out."""
    return {name: _text(value) for name, value in _flatten(parameters)}


def _flatten(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
