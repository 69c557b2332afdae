"""Curves of blocks."""

from __future__ import annotations

import math

import pytest

from airflow_provider_air.cli.sparkline import BLOCKS, SIGNS, sparkline


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([3.0], "▄"),
        ([2, 2, 2], "▄▄▄"),
        (list(range(8)), BLOCKS),
        (list(range(8, 0, -1)), BLOCKS[::-1]),
        ([0, None, 1], "▁ █"),
        ([math.nan, 1.0, math.inf, 2.0, -math.inf], " ▁ █ "),
        ([None, None], "  "),
        ([-1.7e308, 0.0, 1.7e308], "▁▅█"),
        ([5e-324, 0.0], "█▁"),
        ([10**18, 10**18 + 1], "▄▄"),
        ([10**30, 0, 10**400], "█▁ "),
        ([1e-300, 2e-300, 4e-300], "▁▃█"),
    ],
)
def test_the_least_is_lowest_and_the_greatest_highest(values: list[float | None], drawn: str) -> None:
    assert sparkline(values, 40) == drawn


def test_signs_of_ascii_mean_the_same() -> None:
    assert sparkline(range(8), 40, SIGNS) == SIGNS
    assert SIGNS.isascii()


@pytest.mark.parametrize("width", [5, 7, 40])
@pytest.mark.parametrize("peak", [0, 1, 4_321, 9_999])
def test_a_long_curve_fits_and_keeps_its_peak(width: int, peak: int) -> None:
    values = [math.sin(step / 900) for step in range(10_000)]
    values[peak] = 50.0
    drawn = sparkline(values, width)
    assert len(drawn) <= width
    assert drawn.count("█") == 1
    assert (drawn[0] == "█") == (peak == 0)
    assert (drawn[-1] == "█") == (peak == 9_999)
