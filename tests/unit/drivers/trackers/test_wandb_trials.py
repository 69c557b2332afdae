"""
Trials' runs as the real wandb writes them, offline: several at a time in one process.

It is imported where a test needs it: each worker of a test run imports all files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.trackers import wandb_trials
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.wandb_files import OfflineRun, read_runs


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    wandb = pytest.importorskip("wandb")
    environment = {
        "RAY_AIRFLOW_WANDB": "trials",
        "RAY_AIRFLOW_WANDB_TRIALS": "af-0",
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(tmp_path),
        "WANDB_PROJECT": "delays",
        "WANDB_RUN_GROUP": "flights__1",
        "WANDB_JOB_TYPE": "tune",
        "WANDB_SILENT": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield tmp_path
    wandb.teardown()  # it reads the environment once


def written(folder: Path) -> list[OfflineRun]:
    import wandb

    wandb.teardown()  # as at the end of the driver's process, by which all is in the files
    return read_runs(folder)


def tell(run: Run, trial: str, state: str | None = None, step: int | None = None, **fields: Any) -> None:
    if state is None:
        run.records.tell("metric", values=fields, step=step, trial=trial)
    else:
        run.records.tell("progress", message="", trial=trial, trial_state=state, **fields)


def test_each_trial_is_a_run_of_the_group_with_its_config_curve_and_end(by_hand: Run, offline: Path) -> None:
    trials = wandb_trials.begin(by_hand)
    assert trials is not None
    for trial in ("a", "b"):
        tell(by_hand, trial, "running", config={"lr": trial})
    for step in (1, 2):
        for trial in ("a", "b"):
            tell(by_hand, trial, step=step, loss=float(step))
    tell(by_hand, "a", "finished")
    tell(by_hand, "b", "failed", error="boom")
    by_hand.records.tell("progress", message="of no trial")
    trials.finish(0)

    runs = {run.run_id: run for run in written(offline)}
    assert set(runs) == {"af-0-a", "af-0-b"}
    for name, run in runs.items():
        assert (run.group, run.job_type, run.project) == ("flights__1", "tune", "delays")
        assert run.config["lr"] == name[-1]
        assert run.history == [{"loss": 1.0, "_step": 1}, {"loss": 2.0, "_step": 2}]
    assert {name: run.exit_code for name, run in runs.items()} == {"af-0-a": 0, "af-0-b": 1}


def test_a_trial_that_starts_again_goes_on_in_its_run_and_what_is_left_ends_with_the_driver(
    by_hand: Run, monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    told: list[tuple[Any, ...]] = []

    class Open:
        def __init__(self, run_id: str) -> None:
            self.id = run_id

        def log(self, values: dict[str, Any], step: int) -> None:
            told.append(("log", self.id, step))

        def finish(self, exit_code: int) -> None:
            told.append(("finish", self.id, exit_code))

    def init(**options: Any) -> Open:
        told.append(("init", options["id"], options["resume"]))
        return Open(options["id"])

    monkeypatch.setattr("wandb.init", init)
    trials = wandb_trials.begin(by_hand)
    assert trials is not None
    tell(by_hand, "a", "running")
    tell(by_hand, "a", step=1, loss=1.0)
    tell(by_hand, "a", "failed")
    tell(by_hand, "a", "running")
    tell(by_hand, "a", step=2, loss=1.0)
    trials.finish(1)

    assert told == [
        ("init", "af-0-a", "allow"),
        ("log", "af-0-a", 1),
        ("finish", "af-0-a", 1),
        ("init", "af-0-a", "allow"),
        ("log", "af-0-a", 2),
        ("finish", "af-0-a", 1),
    ]


def test_a_run_that_cannot_be_opened_stops_no_other(
    by_hand: Run, monkeypatch: pytest.MonkeyPatch, offline: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    real = wandb.init

    def init(**options: Any) -> Any:
        if options["id"].endswith("-a"):
            raise wandb.errors.CommError("it is away")
        return real(**options)

    monkeypatch.setattr(wandb, "init", init)
    trials = wandb_trials.begin(by_hand)
    assert trials is not None
    for trial in ("a", "b"):
        tell(by_hand, trial, "running")
        tell(by_hand, trial, step=1, loss=1.0)
    trials.finish(0)

    assert [run.run_id for run in written(offline)] == ["af-0-b"]
    assert capfd.readouterr().err.count("W&B gets no more of a trial: it is away") == 1


def test_only_trials_are_followed_and_only_by_a_wandb_that_can(
    by_hand: Run, monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    monkeypatch.setattr("wandb.__version__", "0.19.9")
    with pytest.raises(ConfigurationProblem, match=r"0\.19\.10 or newer on the cluster, which has 0\.19\.9"):
        wandb_trials.begin(by_hand)
    monkeypatch.setenv("RAY_AIRFLOW_WANDB", "run")
    assert wandb_trials.begin(by_hand) is None
