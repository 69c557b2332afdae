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

    def all_have_begun() -> bool | None:
        # The last one begins after the state is saved that has the end of the one before.
        return True if {"2", "3"} <= runs_of(marks).keys() else None

    wait_until(all_have_begun, what="a third and a fourth trial", timeout_seconds=420)
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
        scaling_config={"num_workers": 1, "resources_per_worker": {"CPU": 4}},  # the whole cluster
    )
    result = TuneResult.from_value(start(submit, tmp_path, "loops", spec).succeeded())
    assert result.best_config == {"epochs": 4, "checkpoint_every": 2}
    assert result.best_metrics is not None
    assert result.best_metrics["loss"] == 0.25
    assert [Path(row["checkpoint"], "state.json").is_file() for row in result.trials] == [True, True]
    assert result.best_checkpoint in [row["checkpoint"] for row in result.trials]


@pytest.mark.full  # 40 s
def test_a_restored_search_obeys_what_the_task_says_now(submit: Submit, tmp_path: Path) -> None:
    """Of a search that would never end, as it was told at first."""
    endless: dict[str, Any] = {"trainable": "loops:endless", "max_concurrent_trials": 1}
    space = {"x": {"grid_search": [0, 1]}}
    begun = TuneSpec(space, "loss", "min", **endless, stop={"training_iteration": 10**9}, time_budget_seconds=3600)
    first = start(submit, tmp_path, "changed", begun)

    def saved() -> bool | None:
        return True if first.of_kind("metric") and any((tmp_path / "changed").glob("experiment_state-*")) else None

    wait_until(saved, what="the experiment's first state", timeout_seconds=420)
    first.kill()

    more = TuneSpec(space, "loss", "min", **endless, num_samples=2)
    assert "num_samples: the experiment at" in start(submit, tmp_path, "changed", more).problem()

    plateau = {"name": "TrialPlateauStopper", "args": {"metric": "loss", "grace_period": 50}}
    now = TuneSpec(
        space,
        "loss",
        "min",
        trainable="loops:endless",
        max_concurrent_trials=2,
        stop=[{"training_iteration": 3}, plateau],
        scheduler="median_stopping",
    )
    result = TuneResult.from_value(start(submit, tmp_path, "changed", now).succeeded())
    assert (result.trials_total, result.best_config) == (2, {"x": 0})
    assert [row["metrics"]["training_iteration"] for row in result.trials] == [3, 3]


@pytest.mark.full  # 30 s
def test_a_population_of_a_class_exploits_checkpoints_and_explores_as_the_author_says(
    submit: Submit, tmp_path: Path
) -> None:
    population = {
        "time_attr": "training_iteration",
        "perturbation_interval": 2,
        "hyperparam_mutations": {"rate": [1, 2]},
        "custom_explore_fn": "trainables:tenfold",
    }
    spec = TuneSpec(
        {"rate": {"grid_search": [1, 2]}},
        "height",
        "max",
        trainable="trainables:Climber",
        scheduler={"name": "pbt", "args": population},
        checkpoint_config={"checkpoint_frequency": 1},
        run_config={"callbacks": [{"name": "trainables:TrialMarks", "args": {"folder": str(tmp_path)}}]},
        stop={"training_iteration": 6},
    )
    result = TuneResult.from_value(start(submit, tmp_path, "population", spec).succeeded())

    assert result.best_metrics is not None
    assert result.best_metrics["rate"] >= 10
    # More than any rate of the space climbs in six steps: from another trial's checkpoint.
    assert result.best_metrics["height"] > 6 * 2
    assert len([*tmp_path.glob("trial-*")]) == 2
    assert result.best_checkpoint is not None
    assert Path(result.best_checkpoint, "height").is_file()


@pytest.mark.full  # 40 s
def test_a_search_without_an_end_ends_with_its_time(submit: Submit, tmp_path: Path) -> None:
    nested = {"choice": [{"lr": {"loguniform": [1e-3, 1e-1]}}, {"layers": [{"randint": [1, 3]}, {"randint": [4, 6]}]}]}
    spec = TuneSpec(
        {"x": {"uniform": [0, 1]}, "net": nested},
        "loss",
        "min",
        trainable="loops:endless",
        stop={"training_iteration": 5},
        num_samples=-1,
        time_budget_seconds=25,
        resources_per_trial={"cpu": 1},
    )
    result = TuneResult.from_value(start(submit, tmp_path, "endless", spec).succeeded())

    assert result.trials_total >= 2
    for row in result.trials:
        net = row["config"]["net"]
        assert 1e-3 <= net["lr"] <= 1e-1 if "lr" in net else [net["layers"][0] < 3, net["layers"][1] > 3] == [True] * 2
