"""The embedded cluster against real Ray: heads side by side, adopted, killed, restarted, expired, deleted."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.head import port_is_free
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState
from airflow_provider_air.errors import ClusterFailedError, ClusterNotReadyError, ConfigurationError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import wait_until
from tests.clusters import BACKEND, delete, ensure, local_cluster, wait_for_state

pytestmark = pytest.mark.integration

# For what starts or ends processes, on a machine that has much else to do.
PATIENCE_SECONDS = 300.0
SPEC = LocalCluster(num_cpus=2, object_store_memory_bytes=256 * 1024 * 1024)

ENSURE = f"""
from tests.clusters import ensure
from airflow_provider_air.clusters.local.spec import LocalCluster
import sys
spec = LocalCluster(num_cpus=2, object_store_memory_bytes={256 * 1024 * 1024})
ensure(spec, sys.argv[1])
"""


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[Path]:
    """A base folder of our own, which must be empty of clusters in the end."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR_LOCAL_HOME", str(folder))
        yield folder
        left = [path.name for path in folder.iterdir() if path.name not in ("ports.lock", "host")]
        survivors = processes.of_cluster(folder)
        shutil.rmtree(folder)
    assert (left, survivors) == ([], [])


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[ClusterRef, ClusterRef]]:
    """Two clusters that start at the same time."""
    refs = tuple(ensure(SPEC, name) for name in ("left", "right"))
    try:
        for ref in refs:
            wait_for_state(ref, ClusterState.READY)
        yield refs[0], refs[1]
    finally:
        for ref in refs:
            delete(ref)


def call(transport: Transport, method: str, path: str, **options: Any) -> Any:
    response = httpx.request(
        method, transport.base_url + path, headers=transport.request_headers(), timeout=60, **options
    )
    response.raise_for_status()
    return response.json()


def submit(transport: Transport, entrypoint: str) -> str:
    return str(call(transport, "POST", "/api/jobs/", json={"entrypoint": entrypoint})["submission_id"])


def wait_for_job(transport: Transport, job: str, status: str) -> None:
    seen: dict[str, Any] = {}

    def look() -> bool | None:
        seen.update(call(transport, "GET", f"/api/jobs/{job}"))
        return seen["status"] == status or None

    wait_until(look, what=f"{job} {status}", timeout_seconds=PATIENCE_SECONDS, last_state=lambda: str(seen))


def wait_for_end(ref: ClusterRef) -> None:
    home = ClusterHome.of(ref.name)
    wait_until(
        lambda: not home.folder.exists() or None, what=f"the end of {ref.name}", timeout_seconds=PATIENCE_SECONDS
    )


def ports_of(ref: ClusterRef) -> dict[str, int]:
    cluster = ClusterHome.of(ref.name).cluster()
    assert cluster is not None
    return dict(cluster.ports)


def head_pid(ref: ClusterRef) -> int:
    state = ClusterHome.of(ref.name).state()
    assert state is not None
    assert state.head_pid is not None
    return state.head_pid


def assert_nothing_is_left(ref: ClusterRef, ports: dict[str, int]) -> None:
    home = ClusterHome.of(ref.name)
    assert processes.of_cluster(home.folder) == []
    assert [use for use, port in ports.items() if not port_is_free(port)] == []
    assert (home.folder.exists(), home.lock_file.exists()) == (False, False)
    assert BACKEND.describe(ref).state is ClusterState.ABSENT
    with pytest.raises(ClusterNotReadyError):
        BACKEND.open_transport(ref)


def heads_of(home: ClusterHome) -> list[int]:
    """Give the processes of all heads; a child of one has its command, too, until it has begun its own."""
    parents: dict[int, int] = {}
    for process in processes.of_cluster(home.folder):
        with contextlib.suppress(psutil.Error):
            if "--head" in process.cmdline():
                parents[process.pid] = process.ppid()
    return [pid for pid, parent in parents.items() if parent not in parents]


def ensure_elsewhere(name: str) -> subprocess.Popen[bytes]:
    """Ensure the cluster from another process, as another worker does."""
    return subprocess.Popen([sys.executable, "-c", ENSURE, name], cwd=Path(__file__).parents[2])


def test_two_clusters_run_jobs_side_by_side_and_do_not_open_to_each_other(
    pair: tuple[ClusterRef, ClusterRef],
) -> None:
    left, right = (BACKEND.open_transport(ref) for ref in pair)
    script = "import os, ray; ray.init(); print('gcs', ray.get_runtime_context().gcs_address)"
    jobs = [(transport, submit(transport, f'python -c "{script}"')) for transport in (left, right)]
    for (transport, job), ref in zip(jobs, pair, strict=True):
        wait_for_job(transport, job, "SUCCEEDED")
        log = call(transport, "GET", f"/api/jobs/{job}/logs")["logs"]
        assert f":{ports_of(ref)['gcs']}" in log
        assert [
            listed["submission_id"] for listed in call(transport, "GET", "/api/jobs/") if listed["type"] == "SUBMISSION"
        ] == [job]
    stranger = httpx.get(f"{right.base_url}/api/jobs/", headers=left.request_headers(), timeout=60)
    assert stranger.status_code in (401, 403)


def test_a_ready_cluster_takes_the_first_job_and_keeps_its_secrets_private(
    pair: tuple[ClusterRef, ClusterRef],
) -> None:
    home = ClusterHome.of(pair[0].name)
    assert home.token_file.stat().st_mode & 0o777 == 0o600
    assert home.folder.stat().st_mode & 0o777 == 0o700
    token = home.token()
    assert token is not None
    assert not any(token in " ".join(process.cmdline()) for process in processes.of_cluster(home.folder))


def test_a_live_cluster_is_adopted_also_by_another_process(pair: tuple[ClusterRef, ClusterRef]) -> None:
    ref, before = pair[0], head_pid(pair[0])
    assert ensure(dataclasses.replace(SPEC, ttl_seconds=9999), ref.name) == ref
    lease = ClusterHome.of(ref.name).lease()
    assert lease is not None
    assert lease.ttl_seconds == 9999
    assert ensure_elsewhere(ref.name).wait(PATIENCE_SECONDS) == 0
    assert head_pid(ref) == before
    assert {listed.ref.name for listed in BACKEND.list()} == {"left", "right"}


def test_a_live_cluster_is_not_adopted_for_another_spec(
    pair: tuple[ClusterRef, ClusterRef],
) -> None:
    with pytest.raises(ConfigurationError, match="another spec"):
        ensure(dataclasses.replace(SPEC, num_cpus=1), pair[0].name)


def kill_head(ref: ClusterRef) -> None:
    """Kill the head, and wait until its supervisor has started another or given up."""
    killed = head_pid(ref)
    psutil.Process(killed).kill()

    def was_noticed() -> bool | None:
        state = ClusterHome.of(ref.name).state()
        return (state is not None and state.head_pid != killed) or None

    wait_until(was_noticed, what="another head", timeout_seconds=PATIENCE_SECONDS)


def test_a_killed_head_comes_back_on_the_same_ports_with_the_same_token_but_not_for_ever(
    pair: tuple[ClusterRef, ClusterRef],
) -> None:
    ref = pair[1]
    before = BACKEND.open_transport(ref)
    session = call(before, "GET", "/api/version")["session_name"]
    kill_head(ref)
    wait_for_state(ref, ClusterState.READY)
    assert BACKEND.open_transport(ref) == before
    assert call(before, "GET", "/api/version")["session_name"] != session
    wait_for_job(before, submit(before, "echo back"), "SUCCEEDED")
    while BACKEND.describe(ref).state is not ClusterState.FAILED:
        kill_head(ref)
    assert "SIGKILL" in BACKEND.describe(ref).message
    # The supervisor itself ends right after it has written that down.
    folder = ClusterHome.of(ref.name).folder
    wait_until(lambda: not processes.of_cluster(folder) or None, what="its last end", timeout_seconds=PATIENCE_SECONDS)


def test_deletion_takes_a_running_job_with_it_even_one_that_hides(tmp_path: Path) -> None:
    with local_cluster("busy") as (ref, transport):
        ports, pid_file, draft = ports_of(ref), tmp_path / "pid", tmp_path / "draft"
        # Neither environment, working directory nor session of the cluster: only its ancestors betray it.
        hidden = f"cd / && env -i setsid sh -c 'echo $$ > {draft}; mv {draft} {pid_file}; exec sleep 1000'"
        job = submit(transport, f"({hidden}) & sleep 1000")
        wait_for_job(transport, job, "RUNNING")
        wait_until(lambda: pid_file.exists() or None, what="the hidden process", timeout_seconds=PATIENCE_SECONDS)
        assert psutil.pid_exists(int(pid_file.read_text()))
        BACKEND.delete(ref)
        assert BACKEND.describe(ref).state in (ClusterState.DELETING, ClusterState.ABSENT)
        delete(ref)
        assert_nothing_is_left(ref, ports)
        assert not psutil.pid_exists(int(pid_file.read_text()))
        BACKEND.delete(ref)


def test_after_the_supervisor_was_killed_two_at_once_clean_up_and_make_one_cluster() -> None:
    with local_cluster("orphan") as (ref, transport):
        wait_for_job(transport, submit(transport, "sleep 1000"), "RUNNING")
        home = ClusterHome.of(ref.name)
        supervisor, old_token = home.supervisor(), home.token()
        assert supervisor is not None
        old = processes.of_cluster(home.folder)
        supervisor.kill()
        wait_until(lambda: home.supervisor() is None or None, what="its death", timeout_seconds=PATIENCE_SECONDS)
        assert BACKEND.describe(ref).state is ClusterState.FAILED
        others = [ensure_elsewhere(ref.name), ensure_elsewhere(ref.name)]
        assert [other.wait(PATIENCE_SECONDS) for other in others] == [0, 0]
        assert [process for process in old if process.is_running()] == []
        assert home.token() != old_token
        assert heads_of(home) == [head_pid(ref)]


@pytest.mark.full  # the unit tests of the supervisor do the like
def test_an_idle_cluster_goes_by_itself_but_not_while_a_job_runs(tmp_path: Path) -> None:
    with local_cluster("idle", idle_timeout_seconds=600) as (ref, transport):
        ports, ended = ports_of(ref), tmp_path / "ended"
        submit(transport, f"sleep 8; touch {ended}")
        ensure(dataclasses.replace(SPEC, idle_timeout_seconds=2), ref.name)
        wait_for_end(ref)
        assert ended.exists()
        lock = ClusterHome.of(ref.name).lock_file
        wait_until(lambda: not lock.exists() or None, what="the end of the lock", timeout_seconds=PATIENCE_SECONDS)
        assert_nothing_is_left(ref, ports)


def test_a_cluster_goes_when_its_ttl_is_over_though_nobody_is_there() -> None:
    ref = ensure(dataclasses.replace(SPEC, ttl_seconds=15), "short")
    ports = ports_of(ref)
    wait_for_end(ref)
    assert BACKEND.describe(ref).state is ClusterState.ABSENT
    assert [use for use, port in ports.items() if not port_is_free(port)] == []


@pytest.mark.full  # the unit tests of the supervisor do the like
def test_a_head_that_cannot_start_says_why_and_may_be_replaced() -> None:
    spec = dataclasses.replace(SPEC, object_store_memory_bytes=10**15)
    ref = ensure(spec, "broken")
    with pytest.raises(ClusterFailedError, match="ValueError: After taking into account object store"):
        wait_for_state(ref, ClusterState.READY)
    again = ensure(SPEC, "broken")
    assert BACKEND.describe(again).state is ClusterState.STARTING
    ports = ports_of(again)
    delete(again)
    assert_nothing_is_left(again, ports)
