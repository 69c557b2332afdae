"""The tune driver on a real cluster."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import tune
from airflow_provider_air.workloads.tune import TuneResult, TuneSpec
from tests.integration.drivers.conftest import DriverJob, Submit

pytestmark = pytest.mark.integration


def start(submit: Submit, storage: Path, name: str, spec: TuneSpec) -> DriverJob:
    return submit(tune.ENTRYPOINT, spec.payload(run_name=name, storage_path=str(storage), fixed_size=True))


def runs_of(marks: Path) -> collections.Counter[str]:
    """How often each trial has begun, by its x."""
    return collections.Counter(path.name.split("-")[0] for path in marks.iterdir() if "-" in path.name)


def experiment(marks: Path, **constants: Any) -> TuneSpec:
    space = {"x": {"grid_search": [0, 1, 2, 3]}, "marks": str(marks), **constants}
    return TuneSpec(
        space, "loss", "min", trainable="loops:objective", scheduler={"name": "asha"}, max_concurrent_trials=2
    )


def test_a_killed_experiment_does_not_run_finished_trials_again(submit: Submit, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    spec = experiment(marks, held=[2, 3], gate=str(tmp_path / "gate"))
    first = start(submit, tmp_path, "killed", spec)

    def finished() -> set[str] | None:
        done = {r["trial"] for r in first.of_kind("progress") if r["message"].endswith("finished")}
        return done if len(done) == 2 else None

    wait_until(finished, what="two finished trials", timeout_seconds=420)
    wait_until(lambda: True if runs_of(marks)["2"] else None, what="a third trial", timeout_seconds=420)
    first.kill()
    (tmp_path / "gate").touch()

    result = TuneResult.from_value(start(submit, tmp_path, "killed", spec).succeeded())
    runs = runs_of(marks)
    assert (runs["0"], runs["1"], runs["2"]) == (1, 1, 2)
    assert result.best_config is not None
    assert result.best_metrics is not None
    assert (result.best_config["x"], result.best_metrics["loss"]) == (1, 0.5)
    assert (result.trials_total, result.trials_failed) == (4, 0)


@pytest.mark.full  # 80 s; the killed experiment above restores trials in the quick suite
def test_a_failed_trial_fails_the_task_and_alone_runs_again(submit: Submit, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    spec = experiment(marks, failing=[2])
    end = start(submit, tmp_path, "gated", spec).ended().records()[-1]
    assert end["error"]["type"] == "TrialsFailed"
    assert "1 of 4 trials failed" in end["error"]["message"]
    assert "fails on purpose" in end["error"]["message"]

    (marks / "healed").touch()
    result = TuneResult.from_value(start(submit, tmp_path, "gated", spec).succeeded())
    assert runs_of(marks) == {"0": 1, "1": 1, "2": 2, "3": 1}
    assert {row["status"] for row in result.trials} == {"finished"}


@pytest.mark.full  # the demo does the like
def test_train_loops_are_tuned_and_the_best_config_feeds_the_next_training(submit: Submit, tmp_path: Path) -> None:
    spec = TuneSpec(
        {"epochs": {"grid_search": [2, 4]}},
        "loss",
        "min",
        train_loop="loops:epochs",
        train_loop_config={"checkpoint_every": 2},
        scaling_config={"num_workers": 1},
    )
    result = TuneResult.from_value(start(submit, tmp_path, "loops", spec).succeeded())
    assert result.best_config == {"epochs": 4, "checkpoint_every": 2}
    assert result.best_metrics is not None
    assert result.best_metrics["loss"] == 0.25
    assert [Path(row["checkpoint"], "state.json").is_file() for row in result.trials] == [True, True]
    assert result.best_checkpoint in [row["checkpoint"] for row in result.trials]
