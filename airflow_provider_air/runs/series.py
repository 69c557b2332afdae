"""Curves that grow without end and stay small: every n-th point once there were too many, and always the last."""

from __future__ import annotations

import math
from array import array
from typing import Any, TypeGuard

from airflow_provider_air.contracts.history import MOST_POINTS
from airflow_provider_air.runs.values import LEAST_INT, MOST_INT


class Series:
    """One curve's points, at a few bytes each."""

    def __init__(self) -> None:
        self._steps = array("d")
        self._values = array("d")
        self._stride = 1
        self._seen = 0
        self._last: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: float, value: float, most: int = MOST_POINTS) -> None:
        """
        Take in the next point.

        :param most: how many points are held from now on, the last one aside
        """
        self._last = (step, value)
        if self._seen % self._stride == 0:
            self._steps.append(step)
            self._values.append(value)
        self._seen += 1
        while len(self._steps) > most:
            self._steps, self._values = self._steps[::2], self._values[::2]
            self._stride *= 2

    def shown(self, most: int, digits: int | None = None) -> list[list[float | None]]:
        """
        Give at most so many points, evenly chosen, the last one among them; what is no finite number is None.

        :param digits: of a value, where it need not be exact
        """
        points = list(zip(self._steps, self._values, strict=True))
        if self._last is not None and not (points and _is_same(points[-1], self._last)):
            points.append(self._last)
        stride = math.ceil(len(points) / most)
        chosen = points[::-stride][::-1] if stride > 1 else points
        if digits is not None:
            chosen = [(int(at) if at.is_integer() else at, float(f"{value:.{digits}g}")) for at, value in chosen]
        return [[at, value if math.isfinite(value) else None] for at, value in chosen]


def _is_same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one == other or (one[0] == other[0] and math.isnan(one[1]) and math.isnan(other[1]))


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it can be a curve's value; records are any driver's, and an integer may be more than a float holds."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and LEAST_INT <= value <= MOST_INT
    return is_whole or isinstance(value, float)


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether it can be a moment, a step or a count."""
    return is_number(value) and math.isfinite(value)
