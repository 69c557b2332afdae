"""M4: a line through the points that are kept draws what a line through all would."""

from __future__ import annotations

import random

import pytest

from airflow_provider_air.downsampling import POINTS_PER_COLUMN, m4
from airflow_provider_air.pages.thinning import curve


def numbers(count: int, seed: int, gaps: float = 0.0) -> list[float | None]:
    """Give a random walk, some of whose values were no numbers."""
    chance, value = random.Random(seed), 0.0
    found: list[float | None] = []
    for _ in range(count):
        value += chance.gauss(0, 1)
        found.append(None if chance.random() < gaps else value)
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [5, 6, 50, 600])
def test_no_peak_no_dip_and_no_end_is_lost(seed: int, most: int) -> None:
    values = numbers(2000 + seed, seed, gaps=0.1 * (seed % 3))
    kept = m4(values, most)
    known = [value for value in values if value is not None]
    shown = [values[place] for place in kept if values[place] is not None]
    assert len(kept) <= most
    assert kept == sorted(set(kept))
    assert min(known) in shown
    assert max(known) in shown
    assert (shown[0], shown[-1]) == (known[0], known[-1])


@pytest.mark.parametrize("seed", range(5))
def test_each_column_keeps_its_own_first_last_least_and_greatest(seed: int) -> None:
    values, columns = numbers(1000, seed), 40
    kept = set(m4(values, columns * POINTS_PER_COLUMN))
    for column in range(columns):
        inside = range(1000 * column // columns, 1000 * (column + 1) // columns)
        of_column = [value for place in inside if (value := values[place]) is not None]
        shown = [value for place in inside if place in kept and (value := values[place]) is not None]
        assert (shown[0], shown[-1]) == (of_column[0], of_column[-1])
        assert (min(shown), max(shown)) == (min(of_column), max(of_column))


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_of_fewer_points_than_a_column_has_the_least_and_the_greatest_stay(most: int) -> None:
    values = [3.0, None, 9.0, 1.0, 2.0, 2.0, None]
    assert m4(values, most) == [[3], [2, 3], [1, 2, 3], [1, 2, 3]][most - 1]


def test_what_fits_stays_as_it_is() -> None:
    assert m4([3.0, None, 1.0], 600) == [0, 1, 2]
    assert m4([], 600) == []


def test_a_gap_stays_in_sight() -> None:
    values: list[float | None] = [1.0] * 1000
    values[500:520] = [None] * 20
    shown = [values[place] for place in m4(values, 100)]
    assert None in shown


def test_nothing_but_gaps_is_a_gap() -> None:
    assert m4([None] * 100, 10) == [0, 50]


def test_a_curve_leaves_out_what_is_no_point() -> None:
    told = curve([[1, 2.123456789], [2, float("nan")], "x", [3], [None, 4], [4, True], [5, 10**30]], 600)
    assert told == {"x": [1, 2, 4, 5], "y": [2.12346, None, None, 1e30]}
    assert curve("nothing", 600) == {"x": [], "y": []}
