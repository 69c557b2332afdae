"""Who uses a cluster that others may use, too, says so: once for all of a process, and again before that is over."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ListedCluster
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.leases import AGAIN_SECONDS, EXPIRY_SECONDS, LEASE_SECONDS, RENEW_SECONDS, Leases

SHARED = ClusterRef("moon", "shared")


class Moon:
    """A back end that notes who counts on what."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float]] = []
        self.away = False

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        if self.away:
            raise UnavailableError("Nobody answers")
        self.seen.append((ref.name, seconds))


class Clock(RealClock):
    """Moved by hand; waits for what was begun beside it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.begun: list[Any] = []

    def now(self) -> float:
        return self.time

    def spawn(self, work: Any) -> Any:
        self.begun.append(work)
        return None


class Lines(list[str]):
    """A log."""

    def warning(self, message: str, /, *values: Any) -> None:
        self.append(message % values)

    info = warning


class Process:
    """One process that uses clusters."""

    def __init__(self) -> None:
        self.moon, self.clock, self.log, self.leases = Moon(), Clock(), Lines(), Leases()

    def use(self, *refs: ClusterRef) -> None:
        async def use() -> None:
            for ref in refs:
                self.leases.renew(ref, lambda name: self.moon, self.clock, self.log)  # type: ignore[arg-type, return-value]
            while self.clock.begun:
                await self.clock.begun.pop(0)

        asyncio.run(use())


def test_all_that_use_a_cluster_share_one_lease_which_is_renewed_before_it_is_over() -> None:
    process = Process()
    process.use(SHARED, SHARED, ClusterRef("moon", "shared", uid="known-by-now"))
    assert process.moon.seen == [("shared", LEASE_SECONDS)]
    process.clock.time += RENEW_SECONDS - 1
    process.use(SHARED)
    assert len(process.moon.seen) == 1
    process.clock.time += 1
    process.use(SHARED)
    assert len(process.moon.seen) == 2
    assert LEASE_SECONDS - RENEW_SECONDS > 5 * AGAIN_SECONDS


def test_each_cluster_has_its_own_and_a_tasks_own_needs_none() -> None:
    process = Process()
    elsewhere = ClusterRef("moon", "shared", {"namespace": "other"})
    process.use(SHARED, elsewhere, ClusterRef("moon", "mine", owned=True))
    assert [name for name, _ in process.moon.seen] == ["shared", "shared"]


def test_where_nobody_answers_it_is_said_and_tried_again_soon() -> None:
    process = Process()
    process.moon.away = True
    process.use(SHARED, SHARED)
    (line,) = process.log
    assert "shared" in line
    assert "Nobody answers" in line
    process.moon.away = False
    process.use(SHARED)
    assert process.moon.seen == []
    process.clock.time += AGAIN_SECONDS
    process.use(SHARED)
    assert process.moon.seen == [("shared", LEASE_SECONDS)]


class Listing(Moon):
    """A back end that says until when its clusters live."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def list(self, owner: Any = None, where: Any = None) -> list[ListedCluster]:
        self.asked += 1
        if self.away:
            raise UnavailableError("Nobody answers")
        refs = (SHARED, ClusterRef("moon", "other"), ClusterRef("moon", "eternal"))
        # Its clock is an hour behind ours.
        ends = {"shared": 900.0, "other": 1500.0, "eternal": None}
        return [ListedCluster(ref, ClusterOwner("here"), 0.0, -2600.0, ends[ref.name]) for ref in refs]


def ends_at(process: Process, moon: Listing, *refs: ClusterRef) -> list[float | None]:
    async def ask() -> list[float | None]:
        found = [
            process.leases.expires_at(ref, lambda name: moon, process.clock, process.log)  # type: ignore[arg-type, return-value]
            for ref in refs
        ]
        while process.clock.begun:
            await process.clock.begun.pop(0)
        return found

    return asyncio.run(ask())


def test_until_when_a_cluster_lives_is_asked_seldom_and_for_all_that_are_listed_along() -> None:
    process, moon = Process(), Listing()
    others = (SHARED, ClusterRef("moon", "other"), ClusterRef("moon", "eternal"))

    # Nobody waits for the answer.
    assert ends_at(process, moon, SHARED, SHARED) == [None, None]
    assert ends_at(process, moon, *others) == [4500.0, 5100.0, None]
    assert moon.asked == 1
    process.clock.time += EXPIRY_SECONDS
    assert ends_at(process, moon, SHARED) == [4500.0]
    assert moon.asked == 2


def test_where_nobody_says_until_when_a_cluster_lives_nothing_else_happens() -> None:
    process, moon = Process(), Listing()
    moon.away = True

    assert ends_at(process, moon, SHARED) + ends_at(process, moon, SHARED) == [None, None]
    assert moon.asked == 1
