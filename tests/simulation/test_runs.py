"""The engine keeps its promises in thousands of histories, each made of a seed; see ``rules`` for the promises."""

from __future__ import annotations

import os

import pytest

from tests.simulation.explain import explained, first_failing
from tests.simulation.history import scenario_of

RUNS = int(os.environ.get("AIR_SIMULATED_RUNS", "2000"))
MANY_RUNS = 100_000
BATCH = 250


def _check(first: int, last: int) -> None:
    report = first_failing(scenario_of(seed) for seed in range(first, last))
    if report is not None:
        pytest.fail(explained(report), pytrace=False)


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_rules_hold(first: int) -> None:
    _check(first, min(first + BATCH, RUNS))


@pytest.mark.full
@pytest.mark.parametrize("first", range(RUNS, MANY_RUNS, 10 * BATCH))
def test_rules_hold_in_many_more(first: int) -> None:
    _check(first, min(first + 10 * BATCH, MANY_RUNS))
