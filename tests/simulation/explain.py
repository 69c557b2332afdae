"""
Finds what fails and tells it shortly: ``python -m tests.simulation.explain 42`` for a seed, ``… 0 5000`` for a range.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tests.simulation.airflow import Engine
from tests.simulation.engine import RealEngine
from tests.simulation.history import Scenario, scenario_of, shortest
from tests.simulation.world import Report, simulate

RULE_LENGTH = 40


def first_failing(scenarios: Iterable[Scenario], engine: Engine | None = None) -> Report | None:
    """Run histories until a rule is broken in one; None where none is."""
    for scenario in scenarios:
        report = simulate(scenario, engine or RealEngine())
        if report.violations:
            return report
    return None


def explained(report: Report, engine: Engine | None = None) -> str:
    """Give the shortest history that breaks the same rule, and what happens in it."""
    rule = report.violations[0][:RULE_LENGTH]

    def fails(scenario: Scenario) -> bool:
        found = simulate(scenario, engine or RealEngine()).violations
        return any(violation.startswith(rule) for violation in found)

    short = simulate(shortest(report.scenario, fails), engine or RealEngine(), trace=True)
    lines = [f"{at:9.2f} {who:<14} {what[:200]}" for at, who, what in short.timeline]
    return "\n".join(["", *report.violations, "", str(short.scenario), "", *lines, "", *short.violations])


def main(first: int, last: int) -> int:
    """Explain the first failing seed of a range, and count the others."""
    failing = [seed for seed in range(first, last) if simulate(scenario_of(seed), RealEngine()).violations]
    print(f"{last - first} runs, {len(failing)} break a rule: {failing[:20]}")
    if failing:
        print(explained(simulate(scenario_of(failing[0]), RealEngine())))
    return int(bool(failing))


if __name__ == "__main__":
    begin = int(sys.argv[1])
    sys.exit(main(begin, int(sys.argv[2]) if len(sys.argv) > 2 else begin + 1))
