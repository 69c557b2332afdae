"""
Chooses the points of a curve that keep its shape, so that no peak and no dip is lost.

Jugel, Jerzak, Hackenbroich, Markl: "M4: A Visualization-Oriented Time Series Data Aggregation" (VLDB 2014): of each
column of a screen the first, the last, the least and the greatest point. A line through these draws the same pixels as
one through all. Columns hold equally many points here, since they come at about equal distances, and one step far out
must not put all others into one column.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

# First, last, least, greatest, and one that stands for values which were no numbers.
POINTS_PER_COLUMN = 5


def m4(values: Sequence[float | None], most: int) -> list[int]:
    """
    Choose the points that a line is drawn through.

    :param values: of the curve, in order; None where there was no number, such as NaN: a gap
    :param most: points at most; where it is less than :data:`POINTS_PER_COLUMN`, the least comes before the greatest
    :return: their places in ``values``, ascending; all where there are no more. The first, the last, the least and the
        greatest value are always among them, and each column that had a gap keeps one
    """
    if len(values) <= most:
        return list(range(len(values)))
    if most < POINTS_PER_COLUMN:
        return sorted(extremes(values)[:most])
    columns = most // POINTS_PER_COLUMN
    edges = [len(values) * edge // columns for edge in range(columns + 1)]
    return [place for start, end in itertools.pairwise(edges) for place in _of_column(values, start, end)]


def extremes(values: Sequence[float | None]) -> list[int]:
    """
    Give the places of the least and of the greatest value, and of the first gap; of what there is.

    Of equal values the first is the least and the last the greatest, so that two values keep two places.
    """
    numbers = [value for value in values if value is not None]
    if not numbers:
        return [0] if len(values) else []
    least = values.index(min(numbers))
    greatest = len(values) - 1 - values[::-1].index(max(numbers))
    gap = [] if len(numbers) == len(values) else [values.index(None)]
    return list(dict.fromkeys((least, greatest, *gap)))


def _of_column(values: Sequence[float | None], start: int, end: int) -> list[int]:
    inside = values[start:end]
    known = [place for place, value in enumerate(inside) if value is not None]
    return sorted({start + place for place in (*known[:1], *known[-1:], *extremes(inside))})
