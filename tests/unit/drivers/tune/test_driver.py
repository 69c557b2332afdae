"""An experiment's configuration, as Tune takes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.frame import code
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.tune import driver
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.kinds.logs import caused, raised_by, task_error
from tests.unit.drivers.conftest import said


def test_an_experiment_is_configured_as_the_author_said(by_hand: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(
        trainable="json:dumps",
        run_name="search",
        storage_path=str(tmp_path),
        metric="loss",
        mode="min",
        num_samples=3,
        scheduler={"name": "asha", "args": {"max_t": 9}},
        time_budget_seconds=60,
        stop={"training_iteration": 5},
    )
    tune_config = driver._tune_config(by_hand, [{"CPU": 1.0}], {})
    assert (tune_config.metric, tune_config.mode, tune_config.num_samples) == ("loss", "min", 3)
    from airflow_provider_air.drivers.tune import stopping

    assert stopping.WANTED is not None
    assert (stopping.WANTED.budget_seconds, type(tune_config.scheduler).__mro__[1].__name__) == (
        60,
        "AsyncHyperBandScheduler",
    )
    run_config = driver._run_config(by_hand)
    assert (run_config.name, run_config.storage_path) == ("search", str(tmp_path))
    assert stopping.WANTED.thresholds == {"training_iteration": 5}
    assert [run_config.stop("t", {"training_iteration": step}) for step in (4, 5)] == [False, True]


def result(trial: str, error: Any) -> Any:
    """Give what Tune says of a trial at the end."""
    return SimpleNamespace(metrics={"trial_id": trial}, config={}, checkpoint=None, error=error)


# What cannot be pickled, Tune keeps as a text (2.60).
KEPT = [lambda error: error, lambda error: f"Failure # 1 (occurred at 2026-11-29_08-00-00)\n{error}\n"]


@pytest.mark.parametrize("kept", KEPT, ids=["pickled", "as a text"])
def test_the_trial_that_failed_first_is_named_with_its_cause(
    by_hand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Any
) -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.frame import experiment

    by_hand.config["metric"] = "loss"
    observer = experiment.Observer(by_hand, "loss")
    monkeypatch.setattr(experiment, "OBSERVER", observer)
    trials = [SimpleNamespace(trial_id=name, status="ERROR", last_result={}) for name in ("a", "b", "c")]
    for trial in (trials[2], trials[0]):
        experiment.TrialProgress().on_trial_error(1, trials, trial)
    errors = {"a": task_error(RuntimeError("late")), "b": None, "c": task_error(raised_by(caused))}
    grid = [result(name, error and kept(error)) for name, error in errors.items()]

    with pytest.raises(driver.TrialsFailed) as failed:
        driver._result(by_hand, grid, str(tmp_path))

    assert str(failed.value) == (
        "2 of 3 trials failed, max_failed_trials allows 0; "
        "trial c: ValueError: row 7 is bad\ncaused by KeyError: 'user_id'"
    )


def test_a_trial_that_failed_in_an_earlier_attempt_is_named_where_none_did_in_this_one(
    by_hand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.frame import experiment

    monkeypatch.setattr(experiment, "OBSERVER", None)
    by_hand.config["metric"] = "loss"

    with pytest.raises(driver.TrialsFailed, match=r"1 of 1 trials failed.*; trial a: ValueError: bad"):
        driver._result(by_hand, [result("a", task_error(ValueError("bad")))], str(tmp_path))


# What a trainable of the author's own is run with


def objective(config: dict[str, Any]) -> None:
    """A trial that is never run."""


EXPERIMENT: dict[str, Any] = {
    "trainable": f"{__name__}:objective",
    "run_name": "search",
    "metric": "loss",
    "mode": "min",
    "param_space": {"x": {"uniform": [0, 1]}},
}


def climber() -> Any:
    tune = pytest.importorskip("ray.tune")

    class Climber(tune.Trainable):  # type: ignore[misc, name-defined]
        @classmethod
        def default_resource_request(cls, config: dict[str, Any]) -> Any:
            return tune.PlacementGroupFactory([{"CPU": 2}, {"GPU": 1}])

    return Climber


def test_trials_are_run_with_the_authors_failure_and_checkpoint_configs(by_hand: Run, tmp_path: Path) -> None:
    tune = pytest.importorskip("ray.tune")
    by_hand.config.update(
        EXPERIMENT,
        storage_path=str(tmp_path),
        failure_config={"max_failures": 2},
        checkpoint_config={"checkpoint_frequency": 3, "num_to_keep": 1},
        run_config={"callbacks": ["ray.tune:Callback"], "log_to_file": True},
    )
    run_config = driver._run_config(by_hand, climber())
    assert run_config.failure_config.max_failures == 2
    assert (run_config.checkpoint_config.checkpoint_frequency, run_config.checkpoint_config.num_to_keep) == (3, 1)
    assert (run_config.log_to_file, run_config.verbose) == (True, 0)
    assert [type(callback).__name__ for callback in run_config.callbacks] == ["TrialProgress", "Callback"]
    assert type(run_config.callbacks[1]) is tune.Callback


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"checkpoint_config": {"checkpoint_frequency": 1}}, ["checkpoint_config.checkpoint_frequency", "Trainable"]),
        ({"checkpoint_config": {"checkpoint_at_end": True}}, ["checkpoint_config.checkpoint_at_end"]),
        ({"checkpoint_config": {"keep": 1}}, ["checkpoint_config: CheckpointConfig has no 'keep'", "num_to_keep"]),
        ({"failure_config": {"max_failure": 1}}, ["failure_config", "'max_failure'", "max_failures"]),
        ({"run_config": {"callback": []}}, ["run_config: RunConfig has no 'callback'; it has", "callbacks"]),
        ({"run_config": {"callbacks": ["json:missing"]}}, ["run_config.callbacks[0]", "'missing'"]),
    ],
)
def test_what_a_function_cannot_be_run_with_is_refused_before(
    by_hand: Run, tmp_path: Path, fields: dict[str, Any], words: list[str]
) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(EXPERIMENT, storage_path=str(tmp_path), **fields)
    with pytest.raises(ConfigurationProblem) as problem:
        driver._run_config(by_hand, objective)
    said(words, problem)


@pytest.mark.parametrize(
    ("made", "asked", "bundles"),
    [
        (lambda tune: objective, None, [{"CPU": 1.0}]),
        (lambda tune: objective, {"cpu": 2, "gpu": 1}, [{"CPU": 2.0, "GPU": 1.0}]),
        (lambda tune: objective, {"GPU": 1}, [{"GPU": 1.0}]),
        (lambda tune: tune.with_resources(lambda config: None, {"cpu": 3}), None, [{"CPU": 3.0}]),
        (lambda tune: tune.with_resources(lambda config: None, {"cpu": 3}), {"CPU": 1}, [{"CPU": 1.0}]),
        (lambda tune: climber(), None, [{"CPU": 2.0}, {"GPU": 1.0}]),
        (lambda tune: tune.Trainable, None, [{"CPU": 1.0}]),
    ],
)
def test_a_trial_needs_what_the_task_says_or_else_what_the_code_says(
    by_hand: Run, monkeypatch: pytest.MonkeyPatch, made: Any, asked: Any, bundles: Any
) -> None:
    tune = pytest.importorskip("ray.tune")
    trainable = made(tune)
    monkeypatch.setattr(code, "author_callable", lambda run, spec, field: trainable)
    by_hand.config.update(EXPERIMENT, resources_per_trial=asked)
    give, found = driver._trainable(by_hand)

    assert found == bundles
    assert (give("/uri") is trainable) or asked or bundles == [{"CPU": 1.0}]


def test_an_experiment_is_restored_with_todays_words(by_hand: Run, tmp_path: Path) -> None:
    """Tune takes from its pickle how trials are run, and scheduled: this is written anew each time."""
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.tune import concurrency, stopping

    def tuner(**words: Any) -> Any:
        by_hand.config.clear()
        by_hand.config.update(EXPERIMENT, storage_path=str(tmp_path), **words)
        wanted = driver._begun_with(by_hand.config)
        return driver._tuner(by_hand, objective, [{"CPU": 1.0}], str(tmp_path / "search"), wanted)._local_tuner

    assert tuner(time_budget_seconds=10, max_concurrent_trials=1)._is_restored is False
    (tmp_path / "search" / "experiment_state-1.json").write_text("{}")
    words = {"scheduler": "median_stopping", "max_concurrent_trials": 3, "time_budget_seconds": 20, "stop": {"a": 1}}
    again = tuner(**words)

    assert again._is_restored is True
    assert type(again._tune_config.scheduler).__mro__[1].__name__ == "MedianStoppingRule"
    assert again._tune_config.search_alg.max_concurrent == 3
    assert stopping.WANTED is not None
    assert (stopping.WANTED.budget_seconds, stopping.WANTED.thresholds) == (20, {"a": 1})
    for changed in ({"num_samples": 2}, {"searcher": "random"}, {"failure_config": {"max_failures": 1}}):
        with pytest.raises(ConfigurationProblem, match=f"{next(iter(changed))}: the experiment at .* on_clear='fresh'"):
            tuner(**changed)
    concurrency.LIMIT = stopping.WANTED = None


def test_of_a_train_loop_its_fixed_config_is_what_it_was_begun_with() -> None:
    mine = driver._begun_with(
        {"train_loop": "a:b", "train_loop_config": {"lr": 1}, "failure_config": {"max_failures": 1}}
    )
    assert mine["train_loop_config"] == {"lr": 1}
    assert "failure_config" not in mine


def test_a_space_of_the_searchers_own_leaves_no_samplers_beside_it(by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(EXPERIMENT, searcher={"name": "optuna", "args": {"space": "mine:drawn"}})
    with pytest.raises(ConfigurationProblem, match=r"param_space: the searcher draws from the 'space' in its args"):
        driver._space(by_hand)
    by_hand.config["param_space"] = {"constant": 1}
    assert driver._space(by_hand) == {"constant": 1}


def test_a_grid_in_the_authors_own_space_is_refused_for_a_searcher_that_cannot_walk_it(by_hand: Run) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(EXPERIMENT, searcher="optuna", param_space=f"{__name__}:walked")
    with pytest.raises(ConfigurationProblem, match=r"param_space: the searcher 'optuna' cannot walk grid_search"):
        driver._space(by_hand)
    by_hand.config["searcher"] = "random"
    assert set(driver._space(by_hand)) == {"x"}


def walked() -> dict[str, Any]:
    """A space of Ray's own objects."""
    from ray import tune

    return {"x": tune.grid_search([1, 2])}


def test_a_trial_that_waits_for_a_train_run_reserves_nothing_that_the_run_may_need(
    by_hand: Run, tmp_path: Path
) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(train_loop="json:dumps", scaling_config={"num_workers": 2}, param_space={})

    trainable, bundles = driver._trainable(by_hand)

    reserved = trainable(str(tmp_path))._resources.bundles
    assert bundles == [{"CPU": 1.0}, {"CPU": 1.0}]
    assert reserved == [{"memory": 1.0}]
