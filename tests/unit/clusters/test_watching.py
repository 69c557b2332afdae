"""Waiting for clusters: together, adaptively, and until they are gone."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from airflow_provider_air.clusters import watching
from airflow_provider_air.clusters.watching import wait_until_gone, watch_by_looking
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.errors import ClusterUnreachableError, ConfigurationError, DeadlineExceededError
from airflow_provider_air.runs.clock import RealClock
from tests.fakes.other_clusters import OtherClusters, OtherSpec

OWNER = ClusterOwner("tests")
STARTING = ClusterStatus(ClusterState.STARTING)
READY = ClusterStatus(ClusterState.READY)


class Looks:
    """Answers one status, or error, after the other; then the last one for ever."""

    def __init__(self, *answers: ClusterStatus | Exception) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self) -> ClusterStatus:
        answer = self.answers[min(self.count, len(self.answers) - 1)]
        self.count += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_SECONDS", 0.02)


async def states(looks: Looks, until: ClusterState = ClusterState.READY) -> list[ClusterState]:
    seen = []
    async with aclosing(watch_by_looking("key", looks, RealClock())) as statuses:
        async for status in statuses:
            seen.append(status.state)
            if status.state is until:
                return seen
    raise AssertionError("a watch does not end")


async def test_silence_in_between_is_told_and_waited_out() -> None:
    looks = Looks(STARTING, ClusterUnreachableError("nobody"), READY)

    assert await states(looks) == [ClusterState.STARTING, ClusterState.UNKNOWN, ClusterState.READY]


async def test_a_cluster_that_cannot_be_seen_from_here_ends_the_watch() -> None:
    with pytest.raises(ConfigurationError):
        await states(Looks(STARTING, ConfigurationError("another host")))


async def test_many_that_wait_for_one_cluster_look_like_few() -> None:
    looks = Looks(*[STARTING] * 5, READY)
    seen = await asyncio.gather(*(states(looks) for _ in range(50)))

    assert all(items[-1] is ClusterState.READY for items in seen)
    assert looks.count < 40


async def test_who_comes_later_sees_no_old_state() -> None:
    assert await states(Looks(STARTING, READY)) == [ClusterState.STARTING, ClusterState.READY]
    assert await states(Looks(STARTING, READY)) == [ClusterState.STARTING, ClusterState.READY]


def gone_slowly(looks: int) -> tuple[OtherClusters, ClusterRef]:
    clusters = OtherClusters(deletion_looks=looks, takes_any_job=True)
    spec = OtherSpec("a")
    ref = clusters.ensure(spec, clusters.find(spec), owner=OWNER)
    clusters.ready("a")
    return clusters, ref


def test_a_deletion_is_waited_for() -> None:
    clusters, ref = gone_slowly(2)
    wait_until_gone(clusters, ref, timeout_seconds=20)

    assert clusters.world == {}
    assert clusters.calls.count(("delete", "a")) == 1


def test_a_deletion_that_fails_is_asked_for_again() -> None:
    clusters, ref = gone_slowly(2)
    asked = clusters.delete
    failures = [1]

    def delete(ref: ClusterRef) -> None:
        asked(ref)
        if failures:
            failures.pop()
            clusters.fail("a", "a finalizer died")

    clusters.delete = delete  # type: ignore[method-assign]
    wait_until_gone(clusters, ref, timeout_seconds=20)
    assert clusters.calls.count(("delete", "a")) == 2


def test_a_deletion_without_an_end_is_told_with_the_last_state() -> None:
    clusters, ref = gone_slowly(10**6)

    with pytest.raises(DeadlineExceededError, match=r"deleting its finalizers run"):
        wait_until_gone(clusters, ref, timeout_seconds=0.3)
