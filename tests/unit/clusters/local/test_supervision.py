"""The supervisor as a real process, with a stand-in for Ray's head. Real Ray: ``tests/integration``."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from airflow_provider_air.clusters.contract import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome, StateRecord, list_clusters
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.waiting import wait_until
from tests.fakes import ray_interpreter

BACKEND = LocalBackend()
OWNER = ClusterOwner(deployment="tests")


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """The jobs of the head, which a test may change."""
    file = tmp_path / "jobs.json"
    file.write_text("[]")
    return file


@pytest.fixture
def spec(base: Path, tmp_path: Path, jobs: Path) -> Iterator[LocalCluster]:
    yield LocalCluster(python=ray_interpreter.install(tmp_path), env_vars={"FAKE_JOBS": str(jobs)})
    for ref in BACKEND.list_refs():
        BACKEND.delete(ref)
    # A supervisor that ends by itself removes its folder before it is gone.
    wait(lambda: not processes.of_cluster(base), "the end of all processes")


def wait(check: Callable[[], bool], what: str) -> None:
    wait_until(
        lambda: check() or None, what=what, timeout_seconds=120, poll_interval_seconds=0.02, last_state=last_words
    )


def last_words() -> str:
    """Say what the supervisors wrote, for the message of a failure."""
    return "\n".join(home.supervisor_log.read_text() + repr(home.state()) for home in list_clusters()) or "no cluster"


def state_of(ref: ClusterRef) -> StateRecord:
    return ClusterHome.of(ref.name).state() or StateRecord(state="unknown")


def wait_for_restart(ref: ClusterRef, restarts: int) -> None:
    def is_back() -> bool:
        state = state_of(ref)
        return (state.state, state.restarts) == ("ready", restarts)

    wait(is_back, f"restart {restarts}")


def start(spec: LocalCluster) -> ClusterRef:
    ref = BACKEND.create(spec, name="a", owner=OWNER)
    wait(lambda: BACKEND.describe(ref).state is ClusterState.READY, "a ready head")
    return ref


def write_jobs(file: Path, jobs: list[dict[str, object]]) -> None:
    """Replace the file as a whole: the head may be reading it."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(jobs))
    draft.rename(file)


def test_a_cluster_with_a_running_job_is_not_idle_however_short_its_new_time_out(
    spec: LocalCluster, jobs: Path
) -> None:
    write_jobs(jobs, [{"status": "RUNNING", "end_time": None}])
    ref = start(spec)
    home = ClusterHome.of(ref.name)
    BACKEND.ensure(dataclasses.replace(spec, idle_timeout_seconds=0.01), name=ref.name, owner=OWNER)
    asked = jobs.with_suffix(".asked")
    wait(lambda: asked.exists() and asked.stat().st_size >= 2, "a second question for the jobs")
    assert BACKEND.describe(ref).state is ClusterState.READY
    write_jobs(jobs, [{"status": "SUCCEEDED", "end_time": 1000}])
    wait(lambda: not home.folder.exists(), "the end of the idle cluster")


def test_a_dead_head_is_restarted_and_given_up_after_three_deaths(spec: LocalCluster) -> None:
    ref = start(spec)
    before = BACKEND.open_transport(ref)
    for deaths in (1, 2):
        psutil.Process(state_of(ref).head_pid).kill()
        wait_for_restart(ref, deaths)
        assert BACKEND.open_transport(ref) == before
    psutil.Process(state_of(ref).head_pid).kill()
    wait(lambda: BACKEND.describe(ref).state is ClusterState.FAILED, "the end of patience")
    assert "3 times" in BACKEND.describe(ref).message


def test_a_head_that_never_was_ready_is_not_started_again(spec: LocalCluster) -> None:
    ref = BACKEND.create(dataclasses.replace(spec, num_cpus=0), name="a", owner=OWNER)
    wait(lambda: BACKEND.describe(ref).state is ClusterState.FAILED, "the failure")
    assert "ValueError: a head without CPUs is no head" in BACKEND.describe(ref).message
    assert state_of(ref).restarts == 1


def test_a_cluster_goes_when_its_ttl_is_over(spec: LocalCluster) -> None:
    ref = start(spec)
    home = ClusterHome.of(ref.name)
    BACKEND.ensure(dataclasses.replace(spec, ttl_seconds=0.01), name=ref.name, owner=OWNER)
    wait(lambda: not home.folder.exists(), "the end of the old cluster")


def test_deletion_leaves_nothing(spec: LocalCluster, base: Path) -> None:
    ref = start(spec)
    BACKEND.delete(ref)
    assert os.listdir(base) == ["ports.lock"]
    assert BACKEND.describe(ref).state is ClusterState.ABSENT


def test_the_supervisor_belongs_to_nobody_who_started_it(spec: LocalCluster) -> None:
    ref = start(spec)
    supervisor = ClusterHome.of(ref.name).supervisor()
    assert supervisor is not None
    assert supervisor not in psutil.Process().children(recursive=True)
    assert os.getsid(supervisor.pid) != os.getsid(0)
