"""A task that makes a cluster for others keeps its promises in a thousand histories; see ``making`` for them."""

from __future__ import annotations

import pytest

from tests.simulation.explain import explained, first_failing
from tests.simulation.history import Event, Scenario, Shape
from tests.simulation.making import FAULTS, MakingEngine, making_of
from tests.simulation.remote import OwnedSim
from tests.simulation.world import simulate

RUNS = 1000
MANY_RUNS = 20_000
BATCH = 250
MOST_RUNS = 1000


def _check(first: int, last: int) -> None:
    report = first_failing((making_of(seed) for seed in range(first, last)), MakingEngine())
    if report is not None:
        pytest.fail(explained(report, MakingEngine()), pytrace=False)


@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_rules_hold(first: int) -> None:
    _check(first, first + BATCH)


@pytest.mark.full
@pytest.mark.parametrize("first", range(RUNS, MANY_RUNS, 4 * BATCH))
def test_rules_hold_in_many_more(first: int) -> None:
    _check(first, first + 4 * BATCH)


@pytest.mark.parametrize("name", [None, "shared"])
@pytest.mark.parametrize("events", [(), (Event("others' cluster"),)], ids=["alone", "beside others"])
def test_nothing_goes_wrong_where_nothing_happens(name: str | None, events: tuple[Event, ...]) -> None:
    report = simulate(Scenario(1, Shape(OwnedSim.backend, name), events=events), MakingEngine())

    assert (report.state, report.violations) == ("success", [])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str) -> None:
    found = FAULTS[fault]
    with found.put_back():
        for seed in range(MOST_RUNS):
            report = simulate(making_of(seed, found.focus), MakingEngine())
            bugs = [violation for violation in report.violations if violation.startswith("10 bug")]
            assert not bugs, f"seed {seed}"
            if any(violation.startswith(found.breaks) for violation in report.violations):
                return
    pytest.fail(f"{MOST_RUNS} histories, and nobody sees it")
