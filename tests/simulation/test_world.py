"""The world itself: the same seed gives the same history; processes die as processes do; crashes at every step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider_air.errors import UnavailableError
from tests.simulation.engine import RealEngine
from tests.simulation.explain import explained
from tests.simulation.history import Event, Scenario, Shape, Start, scenario_of, shortest
from tests.simulation.kernel import ANY, EPOCH, Group, Kernel, KilledError, SimClock
from tests.simulation.remote import JobScript, OwnedSim, PerAttemptSim
from tests.simulation.world import simulate


@pytest.mark.parametrize("seed", [3, 14, 159, 2653])
def test_a_seed_gives_one_history(seed: int) -> None:
    first, second = (simulate(scenario_of(seed), RealEngine(), trace=True) for _ in range(2))
    assert first.timeline == second.timeline
    assert len(first.timeline) > 5


def test_seeds_give_different_histories() -> None:
    assert len({str(scenario_of(seed)) for seed in range(50)}) == 50


def test_nothing_goes_wrong_where_nothing_happens() -> None:
    for shape in (Shape(), Shape(deferrable=False), Shape(OwnedSim.backend, None), Shape(PerAttemptSim.backend, None)):
        report = simulate(Scenario(1, replace(shape, trackers=2)), RealEngine())
        assert (report.state, report.violations) == ("success", [])


class TestProcesses:
    def test_the_dead_have_no_effect(self) -> None:
        kernel, done = Kernel(1), []
        group = Group(kernel, "worker")

        def work() -> None:
            try:
                kernel.call("first", lambda: done.append("first"))
                kernel.call("second", lambda: done.append("second"))
            finally:
                kernel.call("clean up", lambda: done.append("clean up"))

        group.spawn(work)
        kernel.anchors["second", 1] = [lambda which, when: which.kill()]
        kernel.run(EPOCH + 100)
        assert done == ["first"]
        assert not group.alive

    def test_a_kill_between_effect_and_reply_loses_the_reply_alone(self) -> None:
        kernel, done = Kernel(1), []
        group = Group(kernel, "worker")

        def work() -> None:
            kernel.call("say", lambda: done.append("said"))
            done.append("heard")

        group.spawn(work)
        kernel.anchors["say", 1] = [lambda which, when: which.kill() if when == "after" else None]
        kernel.run(EPOCH + 100)
        assert done == ["said"]

    def test_the_frozen_go_on_later_and_the_cut_off_hear_nothing(self) -> None:
        kernel, heard = Kernel(1), []
        group = Group(kernel, "worker")

        def work() -> None:
            for _ in range(2):
                try:
                    kernel.call("ask", lambda: heard.append(kernel.now - EPOCH), remote=True)
                except UnavailableError:
                    heard.append(-1.0)

        group.spawn(work)
        group.freeze(50)
        kernel.after(55, group.cut, 100)
        kernel.anchors["ask", 1] = [lambda which, when: which.freeze(10) if when == "after" else None]
        kernel.run(EPOCH + 200)
        assert heard[0] == pytest.approx(50, abs=5)
        assert heard[1] == -1.0

    def test_a_signal_is_handled_on_top_of_what_runs(self) -> None:
        kernel, said = Kernel(1), []
        group = Group(kernel, "worker")
        clock = SimClock(kernel)

        def work() -> None:
            clock.sleep(20)
            said.append(("woke", clock.now() - EPOCH))

        thread = group.spawn(work)
        kernel.after(5, thread.interrupt, lambda: said.append(("handled", clock.now() - EPOCH)))
        kernel.run(EPOCH + 100)
        assert said == [("handled", 5.0), ("woke", 20.0)]

    def test_what_runs_in_a_thread_outlives_a_cancelled_await(self) -> None:
        kernel, said = Kernel(1), []
        group = Group(kernel, "triggerer")
        clock = SimClock(kernel)

        def block() -> None:
            clock.sleep(10)
            said.append("done")

        async def work() -> None:
            try:
                await clock.in_thread(block)
            except asyncio.CancelledError:
                said.append("cancelled")
                raise

        thread = group.spawn(lambda: clock.run(work()))
        kernel.after(5, thread.cancel)
        kernel.run(EPOCH + 100)
        assert said == ["cancelled", "done"]

    def test_locks_of_asyncio_work(self) -> None:
        kernel, said = Kernel(1), []
        group = Group(kernel, "triggerer")
        clock = SimClock(kernel)
        lock = asyncio.Lock()

        async def work(name: str) -> None:
            async with lock:
                said.append(name)
                await clock.asleep(10)
                said.append(name)

        for name in "ab":
            group.spawn(lambda name=name: clock.run(work(name)))  # type: ignore[misc]
        kernel.run(EPOCH + 100)
        assert said == ["a", "a", "b", "b"]

    def test_nothing_catches_a_death(self) -> None:
        assert not issubclass(KilledError, Exception)


SHAPES = {
    "deferred": Shape(trackers=1),
    "in place": Shape(deferrable=False, trackers=1),
    "cluster of its own": Shape(OwnedSim.backend, None),
    "cluster for each": Shape(PerAttemptSim.backend, None, deferrable=False),
}
FAULTS: dict[str, Callable[[int, str], Event]] = {
    "killed": lambda number, when: Event("kill", (ANY, number), when),
    "its host lost": lambda number, when: Event("kill", (ANY, number), when, kind="host"),
    "frozen": lambda number, when: Event("freeze", (ANY, number), when, seconds=330.0),
    "cleared": lambda number, when: Event("clear", (ANY, number), when),
    "marked": lambda number, when: Event("mark", (ANY, number), when, kind="failed"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_at_every_step(shape: str, fault: str) -> None:
    """The fault strikes once, before or after each single call that the run makes."""
    base = Scenario(1, SHAPES[shape], 2, jobs=(JobScript(1.0, 8.0, lines=3),), starts=(Start(3.0),))
    for number in range(1, 70):
        for when in ("before", "after"):
            report = simulate(replace(base, events=(FAULTS[fault](number, when),)), RealEngine())
            if report.violations:
                pytest.fail(explained(report), pytrace=False)


def test_a_failing_history_is_made_short() -> None:
    wanted = Event("clear", ("submit", 1))
    noise = tuple(Event("clear sibling", delay=float(number)) for number in range(6))
    long = replace(scenario_of(5), events=(*noise[:3], wanted, *noise[3:]))
    short = shortest(long, lambda scenario: wanted in scenario.events)
    assert short.events == (wanted,)
    assert len(str(short).splitlines()) <= 3
