"""
Thins out a curve for a screen by M4: of each column of it the first, the last, the least and the greatest point.

Jugel, Jerzak, Hackenbroich, Markl: "M4: A Visualization-Oriented Time Series Data Aggregation" (VLDB 2014). A line
through these points draws the same pixels as one through all, so no peak and no dip is lost. Columns hold equally many
points here, since what is stored has been taken at equal distances already, and one step far out must not put all
others into one column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

from airflow_provider_air.pages.lenient import items, number, rounded

# First, last, least, greatest, and one that stands for values which were no numbers.
POINTS_PER_COLUMN = 5


def m4(values: Sequence[float | None], most: int) -> list[int]:
    """
    Choose the points that a line is drawn through.

    :param values: of the curve, in order; None where there was no number, such as NaN: a gap
    :param most: points at most, at least :data:`POINTS_PER_COLUMN`
    :return: their places in ``values``, ascending; all where there are no more. The first, the last, the least and the
        greatest value are always among them, and each column that had a gap keeps one
    """
    if len(values) <= most:
        return list(range(len(values)))
    columns = max(1, most // POINTS_PER_COLUMN)
    chosen: set[int] = set()
    for column in range(columns):
        start, end = (len(values) * edge // columns for edge in (column, column + 1))
        chosen |= _of_column(values, start, end)
    return sorted(chosen)


def curve(points: Any, most: int) -> dict[str, list[Any]]:
    """
    Thin out a stored series.

    :param points: ``[[x, value], …]``; what is no point is left out
    :return: ``{"x": […], "y": […]}``; a value that was no number is None: a gap
    """
    pairs = [(number(point[0]), point[1]) for point in items(points) if is_point(point)]
    told = [(x, number(value)) for x, value in pairs if x is not None]
    chosen = [told[place] for place in m4([value for _, value in told], most)]
    return {"x": [x for x, _ in chosen], "y": [rounded(value) for _, value in chosen]}


def is_point(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether it is a pair, as stored series have them."""
    return isinstance(value, (list, tuple)) and len(value) >= 2


def _of_column(values: Sequence[float | None], start: int, end: int) -> set[int]:
    numbers = [(value, place) for place in range(start, end) if (value := values[place]) is not None]
    gap = next((place for place in range(start, end) if values[place] is None), None)
    chosen = set() if gap is None else {gap}
    if numbers:
        chosen |= {numbers[0][1], numbers[-1][1], min(numbers)[1], max(numbers)[1]}
    return chosen
