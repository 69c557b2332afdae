"""Curves that grow without end and stay small, and lose no peak: the least and the greatest point of each stretch."""

from __future__ import annotations

import itertools
import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeGuard

from airflow_provider_air.contracts.history import MOST_POINTS
from airflow_provider_air.downsampling import extremes, m4
from airflow_provider_air.runs.values import LEAST_INT, MOST_INT

# Of a stretch that goes on: as many are thinned out at once, since that takes longer than to hold them.
MOST_UNTHINNED = 8


class Series:
    """
    One curve's points, at a few bytes each.

    Where there are too many, stretches of equally many of them are twice as long from then on, and of each its least
    and its greatest point stay, and one that was no number. The first and the last point always do.
    """

    def __init__(self) -> None:
        # Of each point that is held, how many there were before it.
        self._places = array("q")
        self._steps = array("d")
        self._values = array("d")
        self._seen = 0
        self._stretch = 2
        # Where the points of the last stretch begin.
        self._begin = 0

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, step: float, value: float, most: int = MOST_POINTS) -> None:
        """
        Take in the next point.

        :param most: how many points are held from now on, at least 5
        """
        if self._seen % self._stretch == 1:
            self._thin_out(self._begin)
            self._begin = len(self)
        elif len(self) - self._begin >= MOST_UNTHINNED:
            self._thin_out(self._begin)
        while len(self) >= most:
            self._stretch *= 2
            self._thin_out(0)
            numbers = [self._number_of(place) for place in self._places]
            self._begin = bisect_left(numbers, self._number_of(self._seen))
        self._places.append(self._seen)
        self._steps.append(step)
        self._values.append(value)
        self._seen += 1

    def _thin_out(self, start: int) -> None:
        """Leave of each stretch, from a point on with which one begins, those that its shape needs."""
        values, kept = _numbers(self._values[start:]), list[int]()
        numbers = [self._number_of(place) for place in self._places[start:]]
        for _, stretch in itertools.groupby(range(len(values)), numbers.__getitem__):
            held = list(stretch)
            kept += sorted(held[0] + place for place in extremes(values[held[0] : held[-1] + 1]))
        if len(kept) < len(values):
            self._places[start:] = array("q", [self._places[start + at] for at in kept])
            self._steps[start:] = array("d", [self._steps[start + at] for at in kept])
            self._values[start:] = array("d", [self._values[start + at] for at in kept])

    def _number_of(self, place: int) -> int:
        """Give which stretch a point is of; the first point is one of its own, so that it stays."""
        return -(-place // self._stretch)

    def shown(self, most: int, digits: int | None = None) -> list[list[float | None]]:
        """
        Give at most so many points, see :func:`thinned`; what is no finite number is None.

        :param digits: of a value, where it need not be exact
        """
        values = _numbers(self._values)
        chosen = [(self._steps[place], values[place]) for place in _places(values, most)]
        if digits is None:
            return [[at, value] for at, value in chosen]
        return [
            [int(at) if at.is_integer() else at, None if value is None else float(f"{value:.{digits}g}")]
            for at, value in chosen
        ]


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """
    Choose at most so many points of a curve by M4, the last one always among them.

    :param points: ``[x, value]`` each; a value that is no finite number is a gap
    """
    return [points[place] for place in _places([_value(point) for point in points], most)]


def _places(values: Sequence[float | None], most: int) -> Sequence[int]:
    places = range(len(values))
    return places if len(values) <= most else [*m4(values[:-1], most - 1), places[-1]]


def _value(point: Any) -> float | None:
    is_pair = isinstance(point, (list, tuple)) and len(point) == 2
    return point[1] if is_pair and is_finite(point[1]) else None


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it can be a curve's value; records are any driver's, and an integer may be more than a float holds."""
    is_whole = isinstance(value, int) and not isinstance(value, bool) and LEAST_INT <= value <= MOST_INT
    return is_whole or isinstance(value, float)


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether it can be a moment, a step or a count."""
    return is_number(value) and math.isfinite(value)
