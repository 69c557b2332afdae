"""What is left of clusters and of jobs on them, by a back end that is unlike ours."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.cleaning import Cleaning, Report, RunState
from airflow_provider_air.runs.left_clusters import LeftClusters, cluster_neighbours
from airflow_provider_air.runs.names import metadata_of
from tests.fakes.other_clusters import OtherCluster, OtherClusters, OtherJob, OtherSpec

OVER = TaskKey("here", "flights", "manual__1", "train")
LIVE = replace(OVER, run_id="manual__2")
THERE = replace(OVER, deployment="there")
DAY = 86400.0


class Log(list[str]):
    """A task's log."""

    def info(self, message: str, /, *values: Any) -> None:
        self.append(message % values)

    warning = info


class World:
    """Other clusters, and an Airflow in which the first run is over and the second is not."""

    def __init__(self) -> None:
        self.clusters = OtherClusters(takes_any_job=True, deletion_looks=0)
        self.log = Log()
        self.asked: dict[TaskKey, Any] = {}

    def cluster(self, key: TaskKey, name: str | None = None, *, age: float = DAY) -> OtherCluster:
        spec = OtherSpec(name)
        attempt = AttemptInfo(key, f"air-{key.run_id}-{key.task_id}", "train-g1", 1, 1, "submit", "c")
        ref = self.clusters.name_of(spec, key, attempt)
        self.clusters.ensure(spec, ref, owner=ClusterOwner(key.deployment, key), attempt=attempt)
        self.clusters.ready(ref.name)
        made = self.clusters.world[ref.name]
        made.created_at = time.time() - age
        return made

    def job(self, cluster: OtherCluster, key: TaskKey | None, name: str, *, waits: bool = True) -> OtherJob:
        metadata = {} if key is None else metadata_of(key, generation=1, attempt=1, try_number=1, waits=waits)
        job = OtherJob(JobDetails(name, JobStatus.RUNNING, metadata=metadata))
        cluster.jobs[name] = job
        return job

    def state_of(self, key: TaskKey) -> RunState:
        return "live" if key.run_id == LIVE.run_id else "over"

    def clean(self, *targets: Any, only_tell: bool = False, keep: float = 60.0) -> Report:
        self.log.clear()
        found = cluster_neighbours(
            ["other"],
            targets,
            lambda name: self.clusters,
            "here",
            keep=keep,
            request_of=self.asked.get,
            only_tell=only_tell,
        )
        return Cleaning("here", self.state_of, self.log, only_tell=only_tell).clean(found)

    @property
    def deleted(self) -> list[str]:
        return [name for verb, name in self.clusters.calls if verb == "delete"]

    def said_of(self, name: str) -> str:
        (line,) = [line for line in self.log if f" {name} " in line]
        return line


@pytest.fixture
def world() -> World:
    return World()


def test_a_cluster_of_an_ended_run_goes_with_the_jobs_that_are_its_own(world: World) -> None:
    mine = world.cluster(OVER)
    world.job(mine, OVER, "job-of-it")
    assert world.clean(only_tell=True).count("would be taken") == 1
    assert world.deleted == []
    assert world.clean().count("taken") == 1
    assert world.deleted == [mine.ref.name]
    world.clusters.describe(mine.ref)
    assert world.clean().lines == []


def test_a_cluster_that_is_going_is_said_to_be(world: World) -> None:
    mine = world.cluster(OVER)
    mine.status = replace(mine.status, state=ClusterState.DELETING)
    world.clean()
    assert "it goes already: its finalizers run" in world.said_of(mine.ref.name)
    assert world.deleted == []


@pytest.mark.parametrize("key", [LIVE, THERE], ids=["its run is not over", "another deployment"])
def test_others_keep_theirs(world: World, key: TaskKey) -> None:
    world.cluster(key)
    world.clean()
    assert world.deleted == []


def test_a_young_one_and_one_that_somebody_counts_on_stay(world: World) -> None:
    young, leased = world.cluster(OVER, age=10.0), world.cluster(replace(OVER, task_id="tune"))
    leased.leased_until = time.time() + 600
    assert young.ref.name != leased.ref.name
    world.clean()
    assert world.deleted == []
    assert "kept until it is 0:01:00 old" in world.said_of(young.ref.name)
    assert "somebody counts on it" in world.said_of(leased.ref.name)


def test_a_shared_one_outlives_the_run_that_made_it_and_goes_by_its_expiry_when_nobody_uses_it(world: World) -> None:
    shared = world.cluster(OVER, "shared")
    world.clean()
    assert "it outlives its DAG run, and it never expires" in world.said_of("shared")
    shared.expires_at = time.time() - 5
    job = world.job(shared, None, "a-strangers")
    world.clean()
    assert "it expired" in world.said_of("shared")
    assert "in use: by 1 live jobs (a-strangers)" in world.said_of("shared")
    job.end()
    world.clean()
    assert world.deleted == ["shared"]


def asked(action: str, ref: ClusterRef, **more: Any) -> dict[str, Any]:
    return {"action": action, "cluster": ref.to_json(), "asked_at": time.time(), "by": "ada", **more}


def test_a_person_ends_a_cluster_whatever_runs_there(world: World) -> None:
    shared = world.cluster(LIVE, "shared")
    shared.leased_until = time.time() + 600
    world.job(shared, LIVE, "running")
    world.asked[LIVE] = asked("end", shared.ref)
    assert world.clean(only_tell=True).count("would be taken") == 1
    assert world.deleted == []
    world.clean()
    assert world.deleted == ["shared"]
    assert "ada asked for its end" in world.said_of("shared")


def test_a_person_keeps_a_cluster_for_longer(world: World) -> None:
    mine = world.cluster(OVER)
    world.asked[OVER] = asked("extend", mine.ref, until=time.time() + 3600)
    world.clean(only_tell=True)
    assert mine.leased_until is None
    for _ in range(2):
        world.clean()
        assert world.deleted == []
    assert mine.leased_until == pytest.approx(time.time() + 3600, abs=30)


@pytest.mark.parametrize(
    "changes",
    [
        {"asked_at": 1.0},
        {"cluster": ClusterRef("other", "another").to_json()},
        {"cluster": {}},
        {"cluster": None},
        {"action": "explode", "cluster": ClusterRef("other", "another").to_json()},
    ],
    ids=["a predecessor", "a namesake", "nothing", "null", "another version's"],
)
def test_what_is_asked_of_another_cluster_is_not_done_to_this_one(world: World, changes: dict[str, Any]) -> None:
    mine = world.cluster(LIVE, age=10.0)
    world.asked[LIVE] = asked("end", mine.ref) | changes
    world.clean()
    assert world.deleted == []


def test_only_what_was_listed_goes_and_no_successor(world: World) -> None:
    mine = world.cluster(OVER)
    neighbour = LeftClusters("other", lambda name: world.clusters, ClusterOwner("here"))
    (item,) = neighbour.left()
    world.clusters.replace(mine.ref.name)
    neighbour.take(item)
    assert world.clusters.world[mine.ref.name].status.state is ClusterState.READY


def test_jobs_of_ended_runs_are_stopped_on_clusters_that_stay_and_no_others(world: World) -> None:
    shared = world.cluster(OVER, "shared")
    jobs = {
        "left": world.job(shared, OVER, "left"),
        "live": world.job(shared, LIVE, "live"),
        "elsewhere": world.job(shared, THERE, "elsewhere"),
        "strange": world.job(shared, None, "strange"),
        "detached": world.job(shared, OVER, "detached", waits=False),
        "mapped": world.job(shared, replace(OVER, map_index=3), "mapped"),
    }
    report = world.clean()
    stopped = [name for name, job in jobs.items() if job.details.status is JobStatus.STOPPED]
    assert stopped == ["left", "mapped"]
    assert report.count("taken") == 2
    assert "it bears no mark of ours" in world.said_of("strange")
    assert "'there'" in world.said_of("elsewhere")
    assert "wait=False" in world.said_of("detached")
    assert "is not over" in world.said_of("live")


def test_jobs_on_a_cluster_that_is_named_by_its_spec_are_seen_whoever_made_it(world: World) -> None:
    theirs = world.cluster(THERE, "theirs")
    job = world.job(theirs, OVER, "left")
    world.clean()
    assert not job.details.status.is_terminal
    world.clean(OtherSpec("theirs"), OtherSpec(), OtherSpec("never-was"))
    assert job.details.status is JobStatus.STOPPED
    assert world.deleted == []


def test_a_cluster_that_may_be_in_use_and_does_not_say_stays(world: World) -> None:
    mine = world.cluster(OVER)
    mine.status = replace(mine.status, state=ClusterState.UNKNOWN)
    report = world.clean()
    assert report.count("failed") == 1
    assert world.deleted == []


def test_a_shared_cluster_whose_time_is_over_is_not_taken_while_its_ray_is_too_busy_to_answer(world: World) -> None:
    shared = world.cluster(OVER, "shared")
    world.job(shared, LIVE, "live")
    shared.status = replace(shared.status, state=ClusterState.STARTING)
    shared.expires_at = time.time() - 60
    assert world.clean().count("failed") == 1
    assert world.deleted == []
    shared.expires_at = time.time() - 86400
    world.clean()
    assert world.deleted == ["shared"]


def test_a_back_end_that_is_away_or_cannot_be_opened_keeps_no_other_from_being_cleaned(world: World) -> None:
    shared = world.cluster(OVER)
    away = OtherClusters()
    away.silence(UnavailableError("nobody there"))

    def backend(name: str) -> Any:
        if name == "broken":
            raise ConfigurationError("The cluster back end 'broken' cannot be imported")
        return away if name == "away" else world.clusters

    found = cluster_neighbours(["broken", "away", "other"], [ClusterRef("broken", "x")], backend, "here")
    report = Cleaning("here", world.state_of, world.log).clean(found)
    assert world.deleted == [shared.ref.name]
    assert set(report.outages) == {"broken clusters", "away clusters", "broken clusters of x", "jobs on x"}
