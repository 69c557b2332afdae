"""The simulation finds what it is there for: each fault, put back alone, breaks its rule within some hundred runs."""

from __future__ import annotations

import pytest

from tests.simulation.engine import RealEngine
from tests.simulation.faults import OF_THE_REVIEW, OURS
from tests.simulation.history import scenario_of
from tests.simulation.world import simulate

MOST_RUNS = 1500
FAULTS = {**OF_THE_REVIEW, **OURS}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_found(fault: str) -> None:
    found = FAULTS[fault]
    with found.put_back():
        for seed in range(MOST_RUNS):
            scenario = scenario_of(seed, found.focus)
            if not found.concerns(scenario.shape):
                continue
            report = simulate(scenario, RealEngine())
            # A fault that no longer fits what it replaces breaks everything, and shows nothing.
            bugs = [violation for violation in report.violations if violation.startswith("10 bug")]
            assert not bugs, f"seed {seed}"
            if any(violation.startswith(found.breaks) for violation in report.violations):
                print(f"seed {seed}: {report.violations}")
                return
    pytest.fail(f"{MOST_RUNS} histories, and nobody sees it")
