"""The train driver on a real cluster, without Airflow and without our package there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import train
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from tests.integration.drivers.conftest import DriverJob, Submit

pytestmark = pytest.mark.integration


def start(submit: Submit, storage: Path, name: str, spec: TrainSpec) -> DriverJob:
    return submit(train.ENTRYPOINT, spec.payload(run_name=name, storage_path=str(storage), fixed_size=True))


@pytest.mark.full  # example_07 does the like in the quick suite
def test_boosting_brings_metrics_history_and_checkpoints_home(submit: Submit, tmp_path: Path) -> None:
    frame = pandas.DataFrame({"a": [float(i % 13) for i in range(400)], "id": range(400)})
    frame["y"] = frame["a"] * 2
    (tmp_path / "data").mkdir()
    frame.to_parquet(tmp_path / "data" / "part.parquet")
    data = {"uri": str(tmp_path / "data"), "columns": ["a", "id", "y"], "split": {"valid": 0.25}, "split_by": "id"}
    spec = TrainSpec(
        "loops:boosting",
        trainer="lightgbm",
        train_loop_config={"label": "y", "rounds": 4},
        datasets={"train": data},
        metric="l2",
        mode="min",
    )
    job = start(submit, tmp_path / "runs", "boosting", spec)
    result = TrainResult.from_value(job.succeeded())
    losses = [row["metrics"]["l2"] for row in result.history]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert result.metrics == result.best_metrics == result.history[-1]["metrics"]
    assert [Path(kept["uri"], "model.txt").is_file() for kept in result.checkpoints] == [True, True]
    assert result.checkpoint == result.best_checkpoint == result.checkpoints[-1]["uri"]
    assert [record["values"]["l2"] for record in job.of_kind("metric")] == losses
    assert json.loads(json.dumps(result.to_json())) == result.to_json()


@pytest.mark.full  # test_s3.py and tests/e2e/test_workloads.py kill trainings in the quick suite
def test_a_killed_run_resumes_without_losing_or_repeating_an_epoch(submit: Submit, tmp_path: Path) -> None:
    """The second attempt also loses a worker on its way, which Ray restarts inside the attempt."""
    gate = tmp_path / "gate"
    marks = {"name": "trainables:ReportMarks", "args": {"folder": str(tmp_path)}}
    spec = TrainSpec(
        failing_once,
        train_loop_config={"epochs": 12, "checkpoint_every": 3, "hold_at": 7, "gate": str(gate)},
        scaling_config={"num_workers": 2},
        failure_config={"max_failures": 1},
        run_config={"callbacks": [marks]},
    )
    first = start(submit, tmp_path, "killed", spec)
    wait_until(lambda: first.of_kind("metric")[6:] or None, what="seven epochs", timeout_seconds=420)
    first.kill()
    assert not first.of_kind("end")
    gate.touch()

    second = start(submit, tmp_path, "killed", spec)
    result = TrainResult.from_value(second.succeeded())
    assert result.resumed_from == result.checkpoints[1]["uri"]
    assert [record["values"]["epoch"] for record in second.of_kind("metric")] == [6, 7, 8, 9, 9, 10, 11]
    assert [row["metrics"]["epoch"] for row in result.history] == list(range(12))
    lines = Path(result.history_uri).read_text().splitlines()
    assert [json.loads(line)["metrics"]["epoch"] for line in lines] == list(range(12))


@pytest.mark.full  # 40 s
def test_a_run_that_grows_has_each_epoch_once_in_its_history(submit: Submit, tmp_path: Path) -> None:
    """Ray starts all workers again from the last checkpoint, of epoch 2, and no error is told to anybody."""
    marks = {"name": "trainables:ReportMarks", "args": {"folder": str(tmp_path)}}
    spec = TrainSpec(
        "loops:elastic",
        train_loop_config={},
        scaling_config={"num_workers": (1, 2), "elastic_resize_monitor_interval_s": 1},
        # One CPU of four is left to the run.
        run_config={"callbacks": [{"name": "trainables:Holding", "args": {"cpus": 3}}, marks]},
    )
    job = start(submit, tmp_path, "grown", spec)
    result = TrainResult.from_value(job.succeeded())

    assert [record["values"]["epoch"] for record in job.of_kind("metric")] == [0, 1, 2, 3, 4, 3, 4, 5, 6]
    assert [row["metrics"]["epoch"] for row in result.history] == list(range(7))
    assert [record["message"] for record in job.of_kind("progress") if record["phase"] == "restart"] == [
        "the workers start again from the last checkpoint: 2 reports after it come anew"
    ]
    lines = Path(result.history_uri).read_text().splitlines()
    assert [json.loads(line)["metrics"]["epoch"] for line in lines] == list(range(7))
    assert len([*tmp_path.glob("report-*")]) == 7


def failing_once(config: dict[str, Any]) -> None:
    """Fail at epoch 10, once for each worker; travels as a pickle."""
    import loops  # type: ignore[import-not-found, unused-ignore]
    import ray.train

    mark = Path(f"{config['gate']}-{ray.train.get_context().get_world_rank()}")
    fail = not mark.exists() and Path(config["gate"]).exists()
    if fail:
        mark.touch()
    taken = Path(config["gate"]).with_name("report-9")
    loops.epochs({**config, "fail_at": 10, "taken": str(taken)} if fail else config)
