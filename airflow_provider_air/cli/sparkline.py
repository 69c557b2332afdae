"""Curves for a terminal: one line of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from airflow_provider_air.downsampling import m4
from airflow_provider_air.pages.lenient import number

BLOCKS = "▁▂▃▄▅▆▇█"
# For terminals that know no more than ASCII.
SIGNS = "_.-=+*#@"


def sparkline(values: Sequence[float | None], width: int, blocks: str = BLOCKS) -> str:
    """
    Draw a curve, the least value as the lowest block and the greatest as the highest, a gap as a space.

    :param values: of the curve, in order; None, NaN and infinities are gaps
    :param width: columns at most; of more values those are drawn that the curve's shape needs
    :param blocks: the signs, from low to high
    """
    known = [number(value) for value in values]
    drawn = [known[place] for place in m4(known, width)]
    numbers = [value for value in drawn if value is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    return "".join(" " if value is None else blocks[_level(value, low, high, len(blocks))] for value in drawn)


def _level(value: float, low: float, high: float, levels: int) -> int:
    if high == low:
        return levels // 2 - 1
    # The distance of two floats may be more than a float holds.
    part = 1.0 if math.isfinite(high - low) else 0.5
    share = (value * part - low * part) / (high * part - low * part)
    return min(levels - 1, int(share * levels))
