"""A cluster of a task's or a group's own ends with it, whatever the end; its host is told by what is on it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from airflow_api import wait_for
from airflow_stack import AirflowStack

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.contracts.clusters import ClusterRef
from tests import clusters
from tests.e2e.ray_lab import PATIENCE_SECONDS, Case, RayLab
from tests.requirements import needs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


def _cluster_of(case: Case) -> str:
    return str(case.attempts()[-1]["cluster"]["name"])


def _freeze(home: ClusterHome, stack: AirflowStack) -> None:
    """The cluster answers nobody, as on a machine that is out of breath."""
    for process in processes.of_cluster(home.folder):
        if process != home.supervisor():
            process.suspend()


def _change_token(home: ClusterHome, stack: AirflowStack) -> None:
    """Whoever asks from now on is refused: the head goes on with the old one, and so would a trigger that has it."""
    home.token_file.write_text("another-token-" + "x" * 32)
    stack.restart("triggerer")


def _is_gone(name: str) -> bool:
    return name not in clusters.known() and not processes.of_cluster(ClusterHome.of(name).folder)


def _wait_gone(name: str) -> None:
    wait_for(lambda: _is_gone(name), bool, f"the cluster {name} is gone with all its processes", PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("dag_id", "harm", "says"),
    [
        ("own_killed", None, ""),
        pytest.param("own_unreachable", _freeze, "The cluster stopped answering", marks=pytest.mark.full),
        pytest.param("own_refused", _change_token, "refuses", marks=pytest.mark.full),
    ],
    ids=["killed", "unreachable", "refused"],
)
def test_nothing_is_left_of_a_last_try(
    lonely_lab: RayLab,
    airflow_stack: AirflowStack,
    dag_id: str,
    harm: Callable[[ClusterHome, AirflowStack], None] | None,
    says: str,
) -> None:
    with lonely_lab.case(dag_id) as case:
        case.start(chatter=1)
        case.wait_ledger("start 1")
        name = _cluster_of(case)
        if harm is None:
            case.wait_watched()
            case.mark_failed()
        else:
            harm(ClusterHome.of(name), airflow_stack)
        case.wait_state("failed")
        _wait_gone(name)
        case.wait_logged(says)
        assert "end 1" not in case.ledger()


def test_nothing_is_left_of_a_group_whose_setup_fails(lonely_lab: RayLab) -> None:
    before = clusters.known()
    with lonely_lab.case("group_broken") as case:
        case.start()
        assert case.api.wait_run(case.dag_id, case.run_id, timeout_seconds=PATIENCE_SECONDS) == "failed"
        assert "object store" in case.log(task_id="ray.create_cluster")
    wait_for(clusters.known, before.issuperset, "nothing is left of the cluster that could not start", PATIENCE_SECONDS)


@pytest.mark.full
@needs("root", os.geteuid() == 0, "only root gives a process a host name of its own")
def test_a_job_is_adopted_on_a_host_that_was_renamed(
    lonely_lab: RayLab, airflow_stack: AirflowStack, tmp_path: Path
) -> None:
    with lonely_lab.case("once_on_this_host") as case:
        case.start()
        case.wait_ledger("start 1")
        airflow_stack.kill("scheduler", signal.SIGKILL)
        airflow_stack.start("scheduler", within=("unshare", "--uts", "sh", "-c", 'hostname renamed && exec "$@"', "sh"))
        try:
            airflow_stack.wait_healthy()
            case.wait_logged("Adopting job", try_number=2)
            worker = psutil.Process(case.api.task_instance(case.dag_id, case.run_id, "job")["pid"])
            assert os.readlink(f"/proc/{worker.pid}/ns/uts") != os.readlink("/proc/self/ns/uts")
            case.release()
            case.judge("start 1", "end 1", try_number=2)
        finally:
            airflow_stack.restart("scheduler")
            clusters.BACKEND.delete(ClusterRef.from_json(case.attempts()[-1]["cluster"]))
            _wait_gone(_cluster_of(case))
