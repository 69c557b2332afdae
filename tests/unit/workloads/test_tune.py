"""What an author may say about an experiment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import code
from airflow_provider_air.workloads.tune import TuneSpec

SPEC: dict[str, Any] = {"param_space": {"x": {"uniform": [0, 1]}}, "metric": "loss", "mode": "min"}


def test_the_driver_is_told_what_the_author_said() -> None:
    spec = TuneSpec(**SPEC, trainable="tune:objective", num_samples=4, scheduler={"name": "asha", "args": {"max_t": 9}})
    config = json.loads(spec.payload(run_name="r", storage_path=None, fixed_size=True)["config.json"])
    assert config["trainable"] == "tune:objective"
    assert config["scheduler"] == {"name": "asha", "args": {"max_t": 9}}
    assert config["param_space"] == SPEC["param_space"]
    assert (config["num_samples"], config["max_failed_trials"]) == (4, 0)
    assert "train_loop" not in config


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"trainable": None}, ["trainable", "train_loop"]),
        ({"train_loop": "a:b"}, ["trainable", "train_loop"]),
        ({"datasets": {"train": "x"}}, ["datasets", "train_loop"]),
        ({"trainable": None, "train_loop": "a:b", "scheduler": "pbt"}, ["pbt", "trainable"]),
        ({"trainable": None, "train_loop": "a:b", "trainer": "keras"}, ["trainer"]),
        ({"param_space": {"x": {"unifrom": [0, 1]}}}, ["param_space.x", "uniform"]),
        ({"param_space": "no path"}, ["param_space"]),
        ({"param_space": {"x": {"grid_search": [1]}}, "searcher": "optuna"}, ["param_space", "grid", "optuna"]),
        ({"metric": None}, ["metric"]),
        ({"mode": None}, ["mode"]),
        ({"scheduler": "luck"}, ["scheduler", "asha"]),
        ({"scheduler": {"name": "asha", "grace_period": 1}}, ["scheduler", "grace_period", "args"]),
        ({"searcher": {"name": "optuna", "args": [1]}}, ["searcher.args"]),
        ({"num_samples": 0}, ["num_samples"]),
        ({"num_samples": -2}, ["num_samples"]),
        ({"num_samples": -1}, ["num_samples", "time_budget_seconds"]),
        ({"num_samples": -1, "stop": {"loss": 1}}, ["num_samples", "ExperimentPlateauStopper"]),
        ({"num_samples": -1, "stop": "MaximumIterationStopper"}, ["num_samples", "ends"]),
        ({"points_to_evaluate": {"x": 1}}, ["points_to_evaluate", "list"]),
        ({"points_to_evaluate": [1]}, ["points_to_evaluate", "dicts"]),
        ({"stop": {"loss": "low"}}, ["stop", "low"]),
        ({"stop": "PlateauStopper"}, ["stop", "TrialPlateauStopper", "PlateauStopper"]),
        ({"stop": [{"loss": 1}, {"name": "TrialPlateauStopper", "arguments": {}}]}, ["stop", "arguments"]),
        ({"trainer_args": {"torch_config": {}}}, ["trainer_args", "train_loop", "param_space"]),
        ({"train_loop_config": {"lr": 1}}, ["train_loop_config", "param_space"]),
        ({"trainer": "torch"}, ["trainer", "train_loop"]),
        ({"report_interval_seconds": 1}, ["report_interval_seconds", "train_loop"]),
        (
            {"trainable": None, "train_loop": "a:b", "resources_per_trial": {"CPU": 2}},
            ["resources_per_trial", "scaling"],
        ),
        ({"failure_config": 3}, ["failure_config"]),
        ({"run_config": {"name": "x"}}, ["run_config.name"]),
        ({"run_config": {"stop": {}}}, ["run_config.stop", "'stop'"]),
        ({"run_config": {"callbacks": "a:b"}}, ["run_config.callbacks", "list"]),
        (
            {"trainable": None, "train_loop": "a:b", "trainer_args": {"run_config": {"failure_config": {}}}},
            ["run_config.failure_config", "'failure_config'"],
        ),
        (
            {"param_space": {"x": {"choice": [{"lr": {"uniform": [0, 1]}}]}}, "searcher": "optuna"},
            ["param_space", "choice", "optuna"],
        ),
        ({"param_space": {"x": [{"uniform": [0, 1]}]}, "searcher": "hyperopt"}, ["param_space", "list", "hyperopt"]),
        ({"param_space": {"x": {"choice": [{"lr": {"unifrom": [0, 1]}}]}}}, ["param_space.x.choice[0].lr"]),
        ({"max_concurrent_trials": 1.5}, ["max_concurrent_trials"]),
        ({"max_failed_trials": -1}, ["max_failed_trials"]),
        ({"time_budget_seconds": 0}, ["time_budget_seconds"]),
        ({"stop": 3}, ["stop"]),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TuneSpec(**{**SPEC, "trainable": "tune:objective", **fields}).validate()
    assert [word for word in words if word not in str(caught.value)] == [], caught.value


@pytest.mark.parametrize(
    "fields",
    [
        {"num_samples": -1, "time_budget_seconds": 60},
        {"num_samples": -1, "stop": "mine:Stopper"},
        {"num_samples": -1, "stop": {"name": "ExperimentPlateauStopper", "args": {"metric": "loss"}}},
        {"stop": [{"loss": 1}, "mine:stop", len]},
        {"failure_config": {"max_failures": 2}, "checkpoint_config": {"num_to_keep": 1}},
        {"scheduler": {"name": "pbt", "args": {"custom_explore_fn": len}}},
        {"searcher": len},
        {"param_space": {"x": {"choice": [{"lr": {"uniform": [0, 1]}}]}, "y": [{"randint": [1, 2]}]}},
        {"trainable": None, "train_loop": "a:b", "trainer_args": {"run_config": {"callbacks": ["a:b"]}}},
        {"points_to_evaluate": [{"x": 1}], "run_config": {"callbacks": ["a:b"]}},
    ],
)
def test_what_ray_takes_is_taken(fields: dict[str, Any]) -> None:
    TuneSpec(**{**SPEC, "trainable": "tune:objective", **fields}).validate()


def test_functions_travel_from_anywhere_in_the_fields() -> None:
    def ended(trial_id: str, result: dict[str, Any]) -> bool:
        return True

    spec = TuneSpec(**SPEC, trainable="tune:objective", stop=[{"loss": 1}, ended], searcher={"name": ended, "args": {}})
    payload = spec.payload(run_name="r", storage_path=None, fixed_size=True)
    config = json.loads(payload["config.json"])
    assert config["stop"][0] == {"loss": 1}
    assert [config["stop"][1]["payload"], config["searcher"]["name"]["payload"]] == ["stop-0.pkl", "searcher-0.pkl"]
    assert {"stop-0.pkl", "searcher-0.pkl"} <= set(payload)
    assert code.callables_in(vars(spec)) == [ended, ended]
    assert code.told(spec.stop) == [{"loss": 1}, ended.__qualname__]


def test_the_schedulers_and_searchers_that_authors_may_name_are_those_that_the_driver_knows() -> None:
    search = pytest.importorskip("airflow_provider_air.drivers.tune.search")
    from airflow_provider_air.workloads import tune

    assert (sorted(search.SCHEDULERS), sorted(search.SEARCHERS)) == (list(tune.SCHEDULERS), list(tune.SEARCHERS))


def test_every_scheduler_is_where_the_driver_looks_for_it() -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.tune import search
    from airflow_provider_air.drivers.wire import imports

    for path in search.SCHEDULERS.values():
        assert callable(imports.by_path(path, "scheduler"))
