"""Reports on their way from the Train controller to the driver, without a cluster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.train import trainers
from airflow_provider_air.drivers.train.history import History
from airflow_provider_air.drivers.wire.metrics import metrics_of
from tests.kinds import parameters
from tests.kinds.metrics import NUMBERS

VALUES, NAMES = parameters(NUMBERS)
reports = pytest.importorskip("airflow_provider_air.drivers.train.reports")


@dataclass
class Saved:
    """What Ray hands to a callback for a checkpoint."""

    path: str


def epochs(history: History) -> list[int]:
    return [row["metrics"]["epoch"] for row in history.rows]


def test_reports_reach_the_driver_and_the_storage(tmp_path: Path) -> None:
    shown: list[Any] = []
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        driver = History()
        tick = reports.follow(box, driver, shown.append)
        callback.after_report(None, [{"epoch": 0}, {"epoch": 100}], None)
        callback.after_report(None, [{"epoch": 1}], Saved(f"{tmp_path}/run/checkpoint_1/"))
        tick()
        callback.after_report(None, [{"epoch": 2}], None)
        reports.WorkersStart(callback).before_worker_group_start(None)
        callback.after_report(None, [{"epoch": 2}], None)
        tick()
        tick()
    assert epochs(driver) == [0, 1, 2]
    assert [row["metrics"]["epoch"] for row in shown] == [0, 1, 2, 2]
    assert driver.rows[1]["checkpoint"] == "checkpoint_1"
    reports.save_history(driver, str(tmp_path), "run")
    assert reports.load_history(str(tmp_path), "run").rows == driver.rows
    assert not os.path.exists(os.path.dirname(box.path))


def test_what_came_with_a_checkpoint_is_in_storage_at_once(tmp_path: Path) -> None:
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        callback.after_report(None, [{"epoch": 0}], None)
        callback.after_report(None, [{"epoch": 1}], Saved("/elsewhere/run/checkpoint_1"))
        assert epochs(reports.load_history(str(tmp_path), "run")) == [0, 1]


def test_a_resumed_run_goes_on_in_the_history_of_its_earlier_attempts(tmp_path: Path) -> None:
    earlier = History()
    earlier.add({"epoch": 0}, "checkpoint_0")
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", earlier.rows)
        callback.after_report(None, [{"epoch": 1}], Saved("/elsewhere/run/checkpoint_1"))
    history = reports.load_history(str(tmp_path), "run")
    assert (epochs(history), history.rows[-1]["report"]) == ([0, 1], 1)


def test_a_storage_that_fails_for_a_moment_does_not_fail_the_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("a file stands where the run's folder should be")
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        callback.after_report(None, [{"epoch": 0}], Saved("/elsewhere/run/checkpoint_0"))
        assert [event["row"]["metrics"] for event in box.drain()] == [{"epoch": 0}]
    assert "the metrics history was not written" in capfd.readouterr().err


def test_a_disk_that_is_full_for_a_while_delays_reports_and_fails_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        place, callback._mailbox = callback._mailbox, "/no/such/place"
        for epoch in range(3):
            callback.after_report(None, [{"epoch": epoch}], None)
        callback._mailbox = place
        callback.after_report(None, [{"epoch": 3}], None)
        assert [event["row"]["metrics"]["epoch"] for event in box.drain()] == [0, 1, 2, 3]
    assert capfd.readouterr().err.count("reports reach the driver late") == 1


def test_whatever_a_storage_raises_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def away(*args: Any, **options: Any) -> None:
        raise RuntimeError("a library's own error")

    monkeypatch.setattr(reports, "save_history", away)
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        for epoch in range(3):
            callback.after_report(None, [{"epoch": epoch}], Saved("/elsewhere/run/c"))
    assert capfd.readouterr().err.count("a library's own error") == 1


def test_odd_reports_cross_to_the_driver(tmp_path: Path) -> None:
    with reports.mailbox() as box:
        callback = reports.ReportProgress(box.path, str(tmp_path), "run", [])
        driver = History()
        tick = reports.follow(box, driver, lambda row: None)
        for _, (reported, _) in zip(NAMES, VALUES, strict=True):
            callback.after_report(None, [reported], None)
        tick()
    for name, row, (_, expected) in zip(NAMES, driver.rows, VALUES, strict=True):
        assert metrics_of(row["metrics"]) == pytest.approx(expected, rel=0, abs=0, nan_ok=True), name


# Ray starts all workers anew, for whatever reason


def test_rows_after_the_last_checkpoint_are_once_in_the_history_whatever_the_workers_start_again_for(
    tmp_path: Path,
) -> None:
    """As the controller calls them in a resize: no error comes, and all start from the last checkpoint."""
    dropped: list[int] = []
    with reports.mailbox() as box:
        driver = History()
        progress, starts = reports.callbacks(box, str(tmp_path), "run", [])
        tick = reports.follow(box, driver, lambda row: None, dropped.append)
        starts.before_worker_group_start(None)
        for epoch, checkpoint in ((0, None), (1, Saved("/elsewhere/run/c1")), (2, None), (3, None)):
            progress.after_report(None, [{"epoch": epoch}], checkpoint)
        tick()
        starts.before_worker_group_start(None)
        for epoch in (2, 3, 4):
            progress.after_report(None, [{"epoch": epoch}], None)
        tick()
    assert epochs(driver) == [0, 1, 2, 3, 4]
    assert [row["report"] for row in driver.rows] == [0, 1, 2, 3, 4]
    assert dropped == [2]


def test_the_first_start_of_a_resumed_run_drops_nothing(tmp_path: Path) -> None:
    earlier = History()
    earlier.add({"epoch": 0}, "checkpoint_0")
    with reports.mailbox() as box:
        _, starts = reports.callbacks(box, str(tmp_path), "run", earlier.rows)
        starts.before_worker_group_start(None)
        assert box.drain() == []
    assert not (tmp_path / "run").exists()


def test_ray_tells_of_every_start_of_all_workers_and_of_no_other() -> None:
    """Public callbacks hear of errors alone; this one is Ray's own, and travels as Ray's do, beside the reports'."""
    train = pytest.importorskip("ray.train")
    from ray import cloudpickle
    from ray.train.v2._internal.execution.callback import ReplicaGroupCallback, WorkerGroupCallback

    with reports.mailbox() as box:
        ours = reports.callbacks(box, "/runs", "run", [])
        trainer = trainers.builder({}, lambda: None)("run", "/runs", ours, None, {})
        moved = cloudpickle.loads(cloudpickle.dumps(trainer._create_default_callbacks()))
    (starts,) = [callback for callback in moved if type(callback).__name__ == "WorkersStart"]
    assert isinstance(starts, WorkerGroupCallback)
    assert not isinstance(starts, (ReplicaGroupCallback, train.UserCallback))
    (handler,) = [callback for callback in moved if type(callback).__name__ == "UserCallbackHandler"]
    assert handler._user_callbacks == [starts._progress]
