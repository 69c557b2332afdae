"""One benchmark's JSON document: machine, versions, numbers with their spread, aims and whether they are met."""

from __future__ import annotations

import functools
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import psutil

PACKAGES = (
    "airflow-provider-air",
    "apache-airflow-core",
    "apache-airflow-task-sdk",
    "ray",
    "httpx",
    "lightgbm",
    "feast",
    "mlflow",
    "duckdb",
)
T = TypeVar("T")


class Report:
    """
    Collects what one benchmark found.

    :param name: the benchmark, such as ``import_cost`` or ``watchers.replayed``
    :param question: what is measured, and how, in one sentence
    :param quick: whether this was the short form
    """

    def __init__(self, name: str, question: str, *, quick: bool) -> None:
        self.name = name
        self.question = question
        self.quick = quick
        self.measured: dict[str, Any] = {}
        self.aims: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._began = datetime.now(UTC)
        self._load_before = os.getloadavg()

    def series(self, name: str, values: Sequence[float], unit: str) -> float:
        """Keep a series with its spread, and give its median."""
        summary = summarize(values)
        self.measured[name] = {"unit": unit, **summary, "values": [_rounded(value) for value in values]}
        return float(summary["median"])

    def number(self, name: str, value: float, unit: str) -> float:
        """Keep a single number, and give it."""
        self.measured[name] = {"unit": unit, "n": 1, "value": _rounded(value)}
        return value

    def aim(self, what: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
        """Say what was aimed for, and what it is."""
        met = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        bounds = {"at_most": at_most, "at_least": at_least}
        aim = {"what": what, **{key: bound for key, bound in bounds.items() if bound is not None}}
        self.aims.append({**aim, "value": _rounded(value), "met": met})

    def note(self, text: str) -> None:
        """Keep what a reader of the numbers must know."""
        self.notes.append(text)

    def to_json(self) -> dict[str, Any]:
        """Give the document; the load average is that of the benchmark's begin and of now."""
        return {
            "benchmark": self.name,
            "question": self.question,
            "quick": self.quick,
            "began_at": self._began.isoformat(timespec="seconds"),
            "seconds": _rounded((datetime.now(UTC) - self._began).total_seconds()),
            "machine": {**machine(), "load_before": self._load_before, "load_after": os.getloadavg()},
            "versions": versions(),
            "measured": self.measured,
            "aims": self.aims,
            "notes": self.notes,
        }


def interleaved(pairs: int, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """
    Measure the sides in turn (A B A B …), so that a slow minute of the machine hits them alike.

    :param pairs: how often each is measured
    :return: by side, what its calls gave, in order
    """
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, call in sides.items():
            values[name].append(call())
    return values


def alternated(pairs: int, **sides: Callable[[], T]) -> dict[str, list[T]]:
    """Measure as :func:`interleaved` does, but turn the order each time (A B B A …): nobody gains by being second."""
    values: dict[str, list[T]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(pairs):
        for name in order:
            values[name].append(sides[name]())
        order.reverse()
    return values


def differences(minuend: Sequence[float], subtrahend: Sequence[float]) -> list[float]:
    """Subtract pair by pair."""
    return [a - b for a, b in zip(minuend, subtrahend, strict=True)]


def ratios(dividend: Sequence[float], divisor: Sequence[float]) -> list[float]:
    """Divide pair by pair."""
    return [a / b for a, b in zip(dividend, divisor, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share (0 to 1) of the values do not exceed, by nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))]


def summarize(values: Sequence[float]) -> dict[str, float]:
    """Give n, median, minimum, maximum and the distance between the quartiles."""
    quartiles = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [0.0, 0.0, 0.0]
    return {
        "n": len(values),
        "median": _rounded(statistics.median(values)),
        "min": _rounded(min(values)),
        "max": _rounded(max(values)),
        "iqr": _rounded(quartiles[2] - quartiles[0]),
    }


@functools.cache
def machine() -> dict[str, Any]:
    """Describe the machine by what a reader of the numbers must know."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": psutil.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "cpu": next(_cpu_models(), platform.processor()),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Give the versions that the numbers belong to."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _cpu_models() -> Iterator[str]:
    try:
        with open("/proc/cpuinfo") as lines:
            yield from (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except OSError:
        return


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
