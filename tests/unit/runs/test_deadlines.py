"""The time of a try is counted once, from its first second; and so is a cluster's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec, ClusterState
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.errors import DeadlineExceededError
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.cluster import ClusterRun
from airflow_provider_air.runs.plan import Plan, Try
from airflow_provider_air.runs.ports import Ports
from airflow_provider_air.runs.run import Run
from tests.fakes.other_clusters import OtherClusters, OtherSpec
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store
from tests.unit.runs.conftest import Lines, Task

KEY = TaskKey("here", "flights", "manual__1", "train")
NOON = 1_800_000_000.0
TIMEOUT = 100.0
CLUSTER_TIMEOUT = 60.0


class HandClock(RealClock):
    """Stands still but for what a test adds."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Bench:
    """A task on clusters that start slowly, each process of it with the same clock."""

    def __init__(self) -> None:
        self.clusters, self.clock, self.store = OtherClusters(), HandClock(), Store()

    @property
    def ports(self) -> Ports:
        log, admission = Lines(), Admission(OwnPlaces())
        return Ports(self.store, None, lambda name: self.clusters, log, self.clock, admission, self.store)  # type: ignore[arg-type]

    def run(self, try_number: int = 1, **plan: Any) -> Run:
        def target() -> ClusterSpec:
            return OtherSpec()

        plan = {"timeout_seconds": TIMEOUT, "cluster_timeout_seconds": CLUSTER_TIMEOUT, **plan}
        wanted = Plan("train", target, lambda info: JobRequest("true"), **plan)
        return Run(wanted, Try(KEY, try_number, max_tries=2), self.ports)

    def event(self, step: Wait, state: ClusterState) -> dict[str, Any]:
        return {
            "what": "cluster",
            "submission_id": step.attempt["submission_id"],
            "state": state.value,
            "message": "pulling the image",
        }


@pytest.fixture
def bench() -> Bench:
    return Bench()


def waits(step: Any) -> Wait:
    assert isinstance(step, Wait)
    return step


def test_the_deadline_is_counted_from_the_first_second(task: Task, head: FakeRayDashboard) -> None:
    """What earlier tries left is settled first; that is the try's time, too."""
    run = task.run(timeout_seconds=TIMEOUT)
    began = run._began
    run._ports.clock.sleep(30)

    assert waits(run.begin()).until == pytest.approx(began + TIMEOUT, abs=0.01)
    assert task.attempts[0].deadline == pytest.approx(began + TIMEOUT, abs=0.01)


def test_a_try_that_adopts_a_job_keeps_its_deadline(task: Task, head: FakeRayDashboard) -> None:
    first = waits(task.run(timeout_seconds=TIMEOUT).begin())
    again = task.run(try_number=2, timeout_seconds=TIMEOUT)
    again._ports.clock.sleep(30)

    assert waits(again.begin()).until == first.until


def test_the_deadline_holds_while_a_cluster_starts(bench: Bench) -> None:
    step = waits(bench.run(cluster_timeout_seconds=600.0).begin())
    assert (step.what, step.until) == ("cluster", NOON + TIMEOUT)

    bench.clock.time = NOON + TIMEOUT
    with pytest.raises(DeadlineExceededError, match="execution_timeout passed while its cluster started"):
        bench.run(cluster_timeout_seconds=600.0).resume(bench.event(step, ClusterState.STARTING))


def test_the_deadline_holds_for_the_next_attempt_of_the_same_try(bench: Bench) -> None:
    """Its cluster was replaced under it."""
    step = waits(bench.run().begin())
    name = next(iter(bench.clusters.world))
    bench.clusters.ready(name)
    sent = waits(bench.run().resume(bench.event(step, ClusterState.READY)))
    assert sent.until == NOON + TIMEOUT
    bench.clock.time += 50

    lost = {"what": "end", "submission_id": sent.attempt["submission_id"], "outcome": "lost", "loss": "next"}
    following = waits(bench.run().resume(lost))

    assert following.attempt["number"] == 2
    assert following.attempt["deadline"] == NOON + TIMEOUT


def test_a_next_try_has_its_own_time(bench: Bench) -> None:
    waits(bench.run().begin())
    bench.clock.time += 50

    assert waits(bench.run(try_number=2).begin()).attempt["deadline"] == NOON + 50 + TIMEOUT


def test_a_clusters_time_is_counted_once_wherever_it_is_waited_for(bench: Bench) -> None:
    """In place, then in the triggerer, and once more after its predecessor was gone."""
    step = waits(bench.run().begin())
    assert step.until == NOON + CLUSTER_TIMEOUT
    bench.clock.time += 40

    again = waits(bench.run().resume(bench.event(step, ClusterState.ABSENT)))
    assert again.until == NOON + CLUSTER_TIMEOUT

    bench.clock.time += 20
    with pytest.raises(DeadlineExceededError, match="not ready within 60 s"):
        bench.run().resume(bench.event(again, ClusterState.STARTING))


class SlowToAsk(OtherClusters):
    """Takes a while to take the wish for a cluster."""

    clock: HandClock

    def ensure(self, spec: Any, ref: ClusterRef, **more: Any) -> ClusterRef:
        self.clock.sleep(25)
        return super().ensure(spec, ref, **more)

    def name_of(self, spec: Any, key: TaskKey, attempt: Any = None) -> ClusterRef:
        return replace(ClusterRef(OtherSpec.backend, "other-1"), owned=True)


def test_a_task_that_makes_a_cluster_counts_from_its_first_second(bench: Bench) -> None:
    bench.clusters = SlowToAsk(takes_any_job=True)
    bench.clusters.clock = bench.clock
    run = ClusterRun(Try(KEY), bench.ports, timeout_seconds=CLUSTER_TIMEOUT, spec=OtherSpec)

    assert waits(run.create()).until == NOON + CLUSTER_TIMEOUT
