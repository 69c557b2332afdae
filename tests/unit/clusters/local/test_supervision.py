"""The supervisor as a real process, with a stand-in for Ray's head. Real Ray: ``tests/integration``."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome, StateRecord, list_clusters
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.waiting import wait_until
from tests.fakes import ray_interpreter

BACKEND = LocalBackend()
KEY = TaskKey("tests", "flights", "manual__1", "train", 3)
OWNER = ClusterOwner("tests", KEY)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """The jobs of the head, which a test may change."""
    file = tmp_path / "jobs.json"
    file.write_text("[]")
    return file


@pytest.fixture
def spec(base: Path, tmp_path: Path, jobs: Path) -> Iterator[LocalCluster]:
    yield LocalCluster(python=ray_interpreter.install(tmp_path), env_vars={"FAKE_JOBS": str(jobs)})
    homes = [ClusterHome.of("a"), *list_clusters()]
    for listed in BACKEND.list():
        wait_until_gone(BACKEND, listed.ref, timeout_seconds=60)
    # A supervisor removes its folder before it is gone.
    wait(lambda: not [home for home in homes if processes.of_cluster(home.folder)], "the end of all processes")


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


def ensure(spec: LocalCluster) -> ClusterRef:
    return BACKEND.ensure(spec, BACKEND.name_of(LocalCluster(name="a"), KEY), owner=OWNER)


def start(spec: LocalCluster) -> ClusterRef:
    ref = ensure(spec)
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
    ensure(dataclasses.replace(spec, idle_timeout_seconds=0.01))
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
    ref = ensure(dataclasses.replace(spec, num_cpus=0))
    wait(lambda: BACKEND.describe(ref).state is ClusterState.FAILED, "the failure")
    assert "ValueError: a head without CPUs is no head" in BACKEND.describe(ref).message
    assert state_of(ref).restarts == 1


@pytest.mark.parametrize("again", range(4))
def test_a_cluster_that_is_deleted_in_the_moment_it_gives_up_is_gone(spec: LocalCluster, again: int) -> None:
    ref = ensure(dataclasses.replace(spec, num_cpus=0))
    end = time.monotonic() + 60
    while BACKEND.describe(ref).state is not ClusterState.FAILED:
        assert time.monotonic() < end, last_words()
    BACKEND.delete(ref)
    wait(lambda: BACKEND.describe(ref).state is ClusterState.ABSENT, "the end of what was deleted")
    assert BACKEND.list() == []


def test_a_head_that_lets_everybody_in_is_ended(spec: LocalCluster) -> None:
    ref = ensure(dataclasses.replace(spec, env_vars={**spec.env_vars, "FAKE_OPEN": "1"}))
    wait(lambda: BACKEND.describe(ref).state is ClusterState.FAILED, "the failure")
    assert "shows no token" in BACKEND.describe(ref).message
    head = state_of(ref).head_pid
    assert head is None or not psutil.pid_exists(head)


def test_a_restarted_head_has_what_was_asked_for_and_nothing_else(
    spec: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "prod")
    monkeypatch.setenv("PGPASSWORD", "sesame")
    ref = start(dataclasses.replace(spec, pass_env=["AWS_*"]))
    psutil.Process(state_of(ref).head_pid).kill()
    wait_for_restart(ref, 1)
    environment = psutil.Process(state_of(ref).head_pid).environ()
    assert environment["AWS_PROFILE"] == "prod"
    assert "PGPASSWORD" not in environment


def test_a_cluster_goes_when_its_ttl_is_over(spec: LocalCluster) -> None:
    ref = start(spec)
    home = ClusterHome.of(ref.name)
    ensure(dataclasses.replace(spec, ttl_seconds=0.01))
    wait(lambda: not home.folder.exists(), "the end of the old cluster")


def test_deletion_leaves_nothing(spec: LocalCluster, base: Path) -> None:
    ref = start(spec)
    wait_until_gone(BACKEND, ref, timeout_seconds=60)
    assert BACKEND.describe(ref).state is ClusterState.ABSENT
    wait(lambda: not processes.of_cluster(ClusterHome.of(ref.name).folder), "the end of the supervisor")
    assert sorted(os.listdir(base)) == ["host", "ports.lock"]


def test_deletion_asks_and_returns(spec: LocalCluster) -> None:
    ref = start(spec)
    home = ClusterHome.of(ref.name)
    supervisor = home.supervisor()
    assert supervisor is not None
    supervisor.suspend()
    try:
        BACKEND.delete(ref)
        BACKEND.delete(ref)
        assert BACKEND.describe(ref).state is ClusterState.DELETING
        assert [listed.ref for listed in BACKEND.list()] == [ref]
    finally:
        supervisor.resume()
    wait(lambda: BACKEND.describe(ref).state is ClusterState.ABSENT, "its end")


def test_a_cluster_that_is_being_deleted_is_not_adopted(spec: LocalCluster) -> None:
    ref = start(spec)
    before = BACKEND.open_transport(ref).token
    BACKEND.delete(ref)
    ensure(spec)
    wait(lambda: BACKEND.describe(ref).state is ClusterState.READY, "the next one")
    assert BACKEND.open_transport(ref).token != before


def test_a_cluster_whose_supervisor_was_killed_is_deleted_at_once(spec: LocalCluster, base: Path) -> None:
    ref = start(spec)
    supervisor = ClusterHome.of(ref.name).supervisor()
    assert supervisor is not None
    supervisor.kill()
    wait(lambda: BACKEND.describe(ref).state is ClusterState.FAILED, "the death of the supervisor")
    BACKEND.delete(ref)
    assert BACKEND.describe(ref).state is ClusterState.ABSENT
    assert sorted(os.listdir(base)) == ["host", "ports.lock"]


def test_a_restarted_head_is_another_incarnation(spec: LocalCluster) -> None:
    ref = start(spec)
    first = BACKEND.describe(ref).incarnation
    assert first
    assert BACKEND.describe(ref).incarnation == first
    psutil.Process(state_of(ref).head_pid).kill()
    wait_for_restart(ref, 1)
    assert BACKEND.describe(ref).incarnation not in (None, first)


def test_what_somebody_counts_on_outlives_its_ttl_also_when_it_is_adopted(spec: LocalCluster) -> None:
    ref = start(spec)
    BACKEND.extend(ref, 3600)
    ensure(dataclasses.replace(spec, ttl_seconds=0.01))
    (listed,) = BACKEND.list()
    assert listed.leased_until == listed.expires_at
    assert listed.expires_at is not None
    assert listed.expires_at > time.time() + 3500
    time.sleep(1.5)  # the supervisor looks every second
    assert BACKEND.describe(ref).state is ClusterState.READY


def test_a_cluster_is_listed_with_whose_it_is(spec: LocalCluster) -> None:
    ref = start(spec)
    others = [ClusterOwner("elsewhere"), ClusterOwner("tests", dataclasses.replace(KEY, map_index=4))]
    assert [(item.ref, item.owner) for item in BACKEND.list()] == [(ref, OWNER)]
    assert [item.ref for item in BACKEND.list(ClusterOwner("tests"))] == [ref]
    assert [item.ref for item in BACKEND.list(OWNER)] == [ref]
    assert [list(BACKEND.list(owner)) for owner in others] == [[], []]
    facts = BACKEND.facts(ref)
    assert facts["deployment"] == "tests"
    assert Path(facts["folder"]).is_dir()


def test_the_supervisor_belongs_to_nobody_who_started_it(spec: LocalCluster) -> None:
    ref = start(spec)
    supervisor = ClusterHome.of(ref.name).supervisor()
    assert supervisor is not None
    assert supervisor not in psutil.Process().children(recursive=True)
    assert os.getsid(supervisor.pid) != os.getsid(0)
