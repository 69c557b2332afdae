"""Metrics of whatever is reported."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from airflow_provider_air.drivers.wire.metrics import (
    MOST_NAMES,
    NAME_CHARACTERS,
    finite_of,
    flattened,
    metrics_of,
    number_of,
)
from tests.kinds import parameters
from tests.kinds.metrics import NUMBERS, Unspeakable

VALUES, NAMES = parameters(NUMBERS)


@pytest.mark.parametrize(("reported", "expected"), VALUES, ids=NAMES)
def test_whatever_is_reported_becomes_numbers_by_flat_names(reported: Any, expected: dict[str, Any]) -> None:
    found = metrics_of(reported)

    assert found == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    assert {type(number) for number in found.values()} <= {int, float}


def test_dicts_are_flattened_exactly_as_ray_does() -> None:
    tune = pytest.importorskip("ray.tune.utils")
    seed = random.Random(15)

    def report(level: int) -> dict[str, Any]:
        names = seed.choices(["a", "b", "a/b", "b/a", "c"], k=seed.randrange(4))
        return {name: report(level + 1) if level < 4 and seed.random() < 0.6 else seed.random() for name in names}

    for _ in range(500):
        one = report(0)
        assert flattened(one) == tune.flatten_dict(one), one


def test_a_report_of_which_no_end_comes_is_cut() -> None:
    report: dict[str, Any] = {"loss": 1.0}
    report |= {"one": report, "two": report, "three": report}

    assert metrics_of(report) == {"loss": 1.0}
    wide = {"a": {f"m{number}": number for number in range(MOST_NAMES + 1)}}
    assert len(metrics_of(wide)) == MOST_NAMES + 1


def test_long_names_are_cut_and_stay_two() -> None:
    long = "x" * (NAME_CHARACTERS + 1)
    found = metrics_of({long: 1, f"{long}y": 2, long[:-1]: 3})

    assert sorted(found.values()) == [1, 2, 3]
    assert {len(name) for name in found} == {NAME_CHARACTERS}


def test_only_finite_numbers_are_compared() -> None:
    assert finite_of({"val": {"acc": 0.5}}, "val/acc") == 0.5
    assert [finite_of({"a": value}, "a") for value in (math.nan, math.inf, None, "x")] == [None] * 4
    assert finite_of({}, "a") is None


def test_what_raises_is_no_number() -> None:
    assert number_of(Unspeakable()) is None
