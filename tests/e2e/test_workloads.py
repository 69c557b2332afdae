"""Ray Train from a DAG: side by side on one cluster, and resumed after its driver or its head was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_api import AirflowApi, wait_for
from airflow_stack import AirflowStack

from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.drivers.job import SUBMISSION_ID

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

PATIENCE_SECONDS = 420.0


def ledger(folder: Path, name: str) -> list[int]:
    path = folder / f"ledger-{name}"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def wait_ledger(folder: Path, name: str, wanted: list[int]) -> None:
    wait_for(lambda: ledger(folder, name), wanted.__eq__, f"training {name} came to {wanted}", PATIENCE_SECONDS)


def kill_driver(submission_id: str) -> None:
    """SIGKILL the process of the driver, as the kernel does where memory is short."""
    drivers = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            is_driver = "air_drivers.train" in (process.info["cmdline"] or [])
            if is_driver and process.environ().get(SUBMISSION_ID) == submission_id:
                drivers.append(process)
        except psutil.Error:
            continue
    (driver,) = drivers
    os.kill(driver.pid, signal.SIGKILL)


def check_history(result: dict[str, Any]) -> None:
    """No epoch is lost, and none is there twice."""
    assert [row["metrics"]["epoch"] for row in result["history"]] == [0, 1, 2, 3]
    assert result["history_rows"] == 4


@pytest.mark.parametrize("count", [2, pytest.param(6, marks=pytest.mark.full)])
def test_mapped_trainings_share_a_cluster_and_one_whose_driver_is_killed_resumes(
    airflow_stack: AirflowStack, tmp_path: Path, count: int
) -> None:
    api: AirflowApi = airflow_stack.api
    api.wait_dag("trainings_mapped")
    run = api.trigger("trainings_mapped", {"folder": str(tmp_path), "count": count})
    for index in range(count):
        wait_ledger(tmp_path, str(index), [0, 1, 2])

    victim = count - 1
    kill_driver(api.xcom("trainings_mapped", run, "ray.train", "submission_id", victim))
    wait_ledger(tmp_path, str(victim), [0, 1, 2, 2])
    for index in range(count):
        (tmp_path / f"go-{index}").touch()
    assert api.wait_run("trainings_mapped", run, timeout_seconds=PATIENCE_SECONDS) == "success"

    results = [api.xcom("trainings_mapped", run, "ray.train", map_index=index) for index in range(count)]
    for index, result in enumerate(results):
        check_history(result)
        assert result["best_metrics"]["loss"] == pytest.approx(0.25 + index)
    tries = [api.task_instance("trainings_mapped", run, "ray.train", index)["try_number"] for index in range(count)]
    assert tries == [2 if index == victim else 1 for index in range(count)]
    assert len({result["run_name"] for result in results}) == count
    assert results[victim]["resumed_from"]


@pytest.mark.full  # the head's death is in test_parts_that_die.py, resuming above
def test_a_training_resumes_after_its_whole_head_was_killed(
    airflow_stack: AirflowStack, tmp_path: Path, local_home: Path
) -> None:
    api: AirflowApi = airflow_stack.api
    dag_id = "training_on_a_head_that_dies"
    api.wait_dag(dag_id)
    before = {ref.name for ref in LocalBackend().list_refs()}
    run = api.trigger(dag_id, {"folder": str(tmp_path)})
    wait_ledger(tmp_path, "alone", [0, 1, 2])

    (mine,) = [ref for ref in LocalBackend().list_refs() if ref.name not in before]
    state = ClusterHome.of(mine.name).state()
    assert state is not None
    assert state.head_pid is not None
    os.kill(state.head_pid, signal.SIGKILL)
    wait_ledger(tmp_path, "alone", [0, 1, 2, 2])
    (tmp_path / "go-alone").touch()
    assert api.wait_run(dag_id, run, timeout_seconds=PATIENCE_SECONDS) == "success"

    result = api.xcom(dag_id, run, "train")
    check_history(result)
    assert result["resumed_from"]
    assert mine.name not in {ref.name for ref in LocalBackend().list_refs()}
