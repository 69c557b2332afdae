"""What is asked while a cluster starts, by all that wait for one together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import following, surroundings
from airflow_provider_air.clusters.kuberay.following import Following
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER
from airflow_provider_air.clusters.kuberay.looking import Looking
from airflow_provider_air.clusters.kuberay.opening import Opening
from airflow_provider_air.clusters.kuberay.places import Place
from airflow_provider_air.contracts.clusters import ClusterState, ClusterStatus
from airflow_provider_air.runs.clock import RealClock
from tests.fakes.connections import DictConnections
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi
from tests.unit.clusters.kuberay import shapes

PLACE = Place("kube", "ns", RAY_CLUSTER, "flights")


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as kube:
        yield kube


@pytest.fixture(autouse=True)
def slow_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start-up that began a quarter of an hour ago, and is looked at again and again."""
    monkeypatch.setattr(shapes, "START", time.time() - 900)
    monkeypatch.setattr(following, "FIRST_AROUND_SECONDS", -1.0)
    monkeypatch.setattr(following, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(surroundings, "AROUND_SECONDS", -1.0)


def unschedulable(since: float = 2) -> dict[str, Any]:
    condition = shapes.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: 1 Insufficient cpu", since=since)
    return shapes.pod(conditions=(condition,))


async def looks(kube: KubeApi, times: int, looking: Any = None) -> list[ClusterStatus]:
    opening = Opening(DictConnections({("kubernetes", "kube"): GivenAccess([kube.server()])}))
    one, found = Following(opening, looking or Looking(opening), PLACE, RealClock()), []
    async with aclosing(one.statuses()) as statuses:
        async for status in statuses:
            if status is following.NOT_HEARD:
                continue
            found.append(status)
            if len(found) == times:
                break
    return found


async def test_a_node_that_comes_is_heard_of_together(kube: KubeApi) -> None:
    comes = shapes.pod_event("TriggeredScaleUp", "pod triggered scale-up", is_warning=False)
    shapes.hold(kube, shapes.starting_cluster(), unschedulable(), comes)

    found = await looks(kube, 5)

    assert {status.state for status in found} == {ClusterState.STARTING}
    assert "Insufficient cpu" in found[-1].message
    assert kube.count("GET", "rayclusters/flights") == 0


async def test_a_node_that_nobody_adds_is_heard_of_together(kube: KubeApi) -> None:
    never = shapes.pod_event("NotTriggerScaleUp", "pod didn't trigger scale-up", is_warning=False)
    shapes.hold(kube, shapes.starting_cluster(), unschedulable(since=800), never)

    assert (await looks(kube, 1))[0].state is ClusterState.FAILED


class Doubting:
    """Knows more than the look around, and sees no failure."""

    def __init__(self) -> None:
        self.asked = 0

    def describe(self, place: Place) -> ClusterStatus:
        self.asked += 1
        return ClusterStatus(ClusterState.STARTING, "a node comes")


async def test_who_sees_no_failure_is_asked_ever_more_seldom(kube: KubeApi) -> None:
    shapes.hold(kube, shapes.starting_cluster(), unschedulable())
    looking = Doubting()

    found = await looks(kube, 30, looking)

    assert {(status.state, status.message) for status in found} == {(ClusterState.STARTING, "a node comes")}
    assert 2 <= looking.asked <= 12


@pytest.mark.parametrize("body", ['{"metadata": {"name": "fli', "<html>Please log in</html>", "[]", ""])
@pytest.mark.parametrize("asked", ["rayclusters/flights", "pods", "events"])
async def test_a_success_that_is_none_ends_no_wait(kube: KubeApi, asked: str, body: str) -> None:
    shapes.hold(kube, shapes.starting_cluster(), unschedulable(since=890))
    kube.fail(Fault("GET", asked, 200, body, times=3))

    found = await looks(kube, 8)

    assert found[-1].state in (ClusterState.STARTING, ClusterState.UNKNOWN)


async def test_who_waits_looks_at_the_time_also_before_anything_is_known(kube: KubeApi) -> None:
    kube.fail(Fault("GET", "rayclusters", silent=True))
    opening = Opening(DictConnections({("kubernetes", "kube"): GivenAccess([kube.server()])}))
    async with aclosing(Following(opening, Looking(opening), PLACE, RealClock()).statuses()) as statuses:
        found = [await anext(statuses) for _ in range(3)]

    assert {status.state for status in found} == {ClusterState.UNKNOWN}
