"""What a person asks of a cluster is done by whoever waits on it: soon, once, and to no other cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterRequest, ListedCluster
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.cluster_requests import (
    ANSWER_KEY,
    LONGEST_SECONDS,
    LOOK_SECONDS,
    REQUEST_KEY,
    AskedOfClusters,
)
from tests.unit.runs.test_leases import Clock, Lines, Moon

SHARED = ClusterRef("moon", "shared", {"namespace": "ml"}, uid="u1")


class Clusters(Moon):
    """A back end that notes what it is asked to delete."""

    def __init__(self) -> None:
        super().__init__()
        self.ours = [SHARED]
        self.deleted: list[ClusterRef] = []

    def list(self, owner: ClusterOwner | None = None, where: Any = None) -> Sequence[ListedCluster]:
        if self.away:
            raise UnavailableError("Nobody answers")
        return [ListedCluster(ref, ClusterOwner("here"), created_at=0.0, seen_at=1000.0) for ref in self.ours]

    def delete(self, ref: ClusterRef) -> None:
        if self.away:
            raise UnavailableError("Nobody answers")
        self.deleted.append(ref)


class Process:
    """One process in which a run waits on a cluster since the moment 900."""

    def __init__(self) -> None:
        self.clusters, self.clock, self.log, self.asked = Clusters(), Clock(), Lines(), AskedOfClusters()
        self.xcoms: dict[str, Any] = {}
        self.reads = 0

    def read(self, key: str) -> Any:
        self.reads += 1
        return self.xcoms.get(key)

    def write(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def look(self, ref: ClusterRef = SHARED) -> None:
        async def look() -> None:
            self.asked.look(ref, 900.0, self, lambda name: self.clusters, self.clock, self.log)  # type: ignore[arg-type, return-value]
            while self.clock.begun:
                await self.clock.begun.pop(0)

        asyncio.run(look())
        self.clock.time += LOOK_SECONDS

    def ask(self, action: str, **more: Any) -> None:
        request = {"action": action, "cluster": SHARED.to_json(), "asked_at": self.clock.time, "by": "ada", **more}
        self.xcoms[REQUEST_KEY] = request


@pytest.fixture
def process() -> Process:
    return Process()


def test_nobody_asks_anything(process: Process) -> None:
    process.look()
    assert (process.clusters.seen, process.clusters.deleted, process.log) == ([], [], [])


def test_all_that_wait_on_a_cluster_share_a_look(process: Process) -> None:
    process.look()
    process.clock.time -= 1.0
    process.look()
    assert process.reads == 1


def test_a_cluster_is_kept_for_longer_once_and_the_page_hears_of_it(process: Process) -> None:
    process.ask("extend", until=process.clock.time + 600)
    asked_at = process.clock.time
    process.look()
    process.look()
    assert process.clusters.seen == [("shared", 600.0)]
    answer = process.xcoms[ANSWER_KEY]
    assert (answer["asked_at"], answer["is_done"]) == (asked_at, True)
    assert "kept until 1970-01-01T00:26:40" in answer["said"]
    assert [line for line in process.log if "ada" in line]


def test_a_later_request_is_another_one(process: Process) -> None:
    process.ask("extend", until=process.clock.time + 600)
    process.look()
    process.ask("end")
    process.look()
    assert process.clusters.deleted == [SHARED]
    answer = process.xcoms[ANSWER_KEY]
    assert (answer["said"], answer["is_done"]) == ("the cluster shared was asked to go", True)


@pytest.mark.parametrize("wish", [("end", {}), ("extend", {"until": 1600.0})], ids=str)
@pytest.mark.parametrize("ours", [[], [replace(SHARED, uid="u0")], [replace(SHARED, name="other")]], ids=str)
def test_what_is_not_ours_or_gone_is_not_said_to_be_done(
    process: Process, ours: list[ClusterRef], wish: tuple[str, dict[str, Any]]
) -> None:
    process.clusters.ours = ours
    process.ask(wish[0], **wish[1])
    process.look()
    process.look()
    assert (process.clusters.deleted, process.clusters.seen) == ([], [])
    answer = process.xcoms[ANSWER_KEY]
    assert (answer["said"], answer["is_done"]) == (
        "nothing was done: the cluster shared is gone, or it is not ours",
        False,
    )
    assert len(process.log) == 1


def test_a_time_that_is_over_is_not_said_to_be_one_for_which_it_is_kept(process: Process) -> None:
    process.ask("extend", until=process.clock.time)
    process.look()
    assert (process.clusters.seen, process.xcoms[ANSWER_KEY]["is_done"]) == ([], False)


def test_nobody_keeps_a_cluster_for_ever(process: Process) -> None:
    process.ask("extend", until=1e12)
    process.look()
    assert process.clusters.seen == [("shared", LONGEST_SECONDS)]


def test_what_nobody_could_do_is_done_later(process: Process) -> None:
    process.ask("end")
    process.clusters.away = True
    process.look()
    assert "could not be done" in process.log[0]
    process.clusters.away = False
    process.look()
    assert process.clusters.deleted == [SHARED]


@pytest.mark.parametrize(
    "more",
    [
        {"asked_at": 899.0},
        {"cluster": ClusterRef("moon", "another").to_json()},
        {"cluster": ClusterRef("sun", "shared").to_json()},
        {"cluster": ClusterRef("moon", "shared", {"namespace": "web"}).to_json()},
        {"cluster": ClusterRef("moon", "shared", uid="u0").to_json()},
        {"cluster": "shared"},
    ],
)
def test_no_other_cluster_is_meant(process: Process, more: dict[str, Any]) -> None:
    process.ask("end", **more)
    process.look()
    assert process.clusters.deleted == []


def test_a_tasks_own_cluster_goes_with_the_task_alone(process: Process) -> None:
    process.ask("end", cluster=ClusterRef("moon", "own").to_json())
    process.look(ClusterRef("moon", "own", owned=True))
    assert process.clusters.deleted == []


@pytest.mark.parametrize("stored", [None, "end", [], {"action": "end"}, {"cluster": {}}])
def test_what_is_no_request_is_none(stored: Any) -> None:
    assert ClusterRequest.from_json(stored) is None
