"""Ray Train from a DAG: side by side on one cluster, and resumed after its driver or its head was killed."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_api import AirflowApi, wait_for

from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.drivers.wire.names import SUBMISSION_ID
from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests import clusters
from tests.e2e.ray_lab import RayLab, Scenario

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


def wait_checkpointed(api: AirflowApi, dag_id: str, run_id: str, task_id: str, epoch: int, map_index: int = -1) -> None:
    """Wait until the training's own side knows of an epoch's checkpoint, which is some time after its report."""
    wait_for(
        lambda: api.xcom(dag_id, run_id, task_id, "progress", map_index) or {},
        lambda progress: (progress.get("step") or 0) >= epoch,
        f"{task_id} tells of epoch {epoch}",
        PATIENCE_SECONDS,
    )


def attempts(api: AirflowApi, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[dict[str, Any]]:
    """Give the attempts as the task's state store has them."""
    value = api.state_store(dag_id, run_id, task_id, map_index)[LEDGER_KEY]
    return list((json.loads(value) if isinstance(value, str) else value)["attempts"])


def check_history(result: dict[str, Any]) -> None:
    """No epoch is lost, and none is there twice."""
    assert [row["metrics"]["epoch"] for row in result["history"]] == [0, 1, 2, 3]
    assert result["history_rows"] == 4


def mapped_trainings_share_a_cluster_and_one_whose_driver_is_killed_resumes(lab: RayLab, count: int) -> None:
    api, folder = lab.api, lab.new_folder()
    api.wait_dag("trainings_mapped")
    run = api.trigger("trainings_mapped", {"folder": str(folder), "count": count})
    for index in range(count):
        wait_ledger(folder, str(index), [0, 1, 2])

    victim = count - 1
    wait_checkpointed(api, "trainings_mapped", run, "ray.train", 1, victim)
    kill_driver(api.xcom("trainings_mapped", run, "ray.train", "submission_id", victim))
    wait_ledger(folder, str(victim), [0, 1, 2, 2])
    for index in range(count):
        (folder / f"go-{index}").touch()
    assert api.wait_run("trainings_mapped", run, timeout_seconds=PATIENCE_SECONDS) == "success"

    results = [api.xcom("trainings_mapped", run, "ray.train", map_index=index) for index in range(count)]
    for index, result in enumerate(results):
        check_history(result)
        assert result["best_metrics"]["loss"] == pytest.approx(0.25 + index)
    # Not the tries: a busy Airflow may lose one by itself, which begins no attempt.
    counts = [len(attempts(api, "trainings_mapped", run, "ray.train", index)) for index in range(count)]
    assert counts == [2 if index == victim else 1 for index in range(count)]
    assert len({result["run_name"] for result in results}) == count
    assert results[victim]["resumed_from"]


def two_trainings(lab: RayLab) -> None:
    mapped_trainings_share_a_cluster_and_one_whose_driver_is_killed_resumes(lab, 2)


@pytest.mark.parametrize("scenario", [two_trainings], ids=lambda scenario: scenario.__name__)
def test_trainings_resume_and_lose_no_epoch(scenario: Scenario, running: dict[Scenario, Future[float]]) -> None:
    print(f"{scenario.__name__} took {running[scenario].result():.0f} s")


@pytest.mark.full  # the same with two is above
def test_six_trainings(lonely_lab: RayLab) -> None:
    mapped_trainings_share_a_cluster_and_one_whose_driver_is_killed_resumes(lonely_lab, 6)


@pytest.mark.full  # the head's death is in test_parts_that_die.py, resuming above
def test_a_training_resumes_after_its_whole_head_was_killed(lonely_lab: RayLab) -> None:
    api, folder = lonely_lab.api, lonely_lab.new_folder()
    dag_id = "training_on_a_head_that_dies"
    api.wait_dag(dag_id)
    run = api.trigger(dag_id, {"folder": str(folder)})
    wait_ledger(folder, "alone", [0, 1, 2])

    wait_checkpointed(api, dag_id, run, "train", 1)
    mine = attempts(api, dag_id, run, "train")[-1]["cluster"]["name"]
    state = ClusterHome.of(mine).state()
    assert state is not None
    assert state.head_pid is not None
    os.kill(state.head_pid, signal.SIGKILL)
    wait_ledger(folder, "alone", [0, 1, 2, 2])
    (folder / "go-alone").touch()
    assert api.wait_run(dag_id, run, timeout_seconds=PATIENCE_SECONDS) == "success"

    result = api.xcom(dag_id, run, "train")
    check_history(result)
    assert result["resumed_from"]
    # Asked to go, it is gone soon.
    wait_for(
        clusters.known,
        lambda alive: mine not in alive,
        f"{mine} is gone",
        PATIENCE_SECONDS,
    )
