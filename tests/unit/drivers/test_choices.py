"""What drivers say when a name or an argument is wrong; no cluster is needed for that."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers import imports, job, resources, search, trainers
from airflow_provider_air.drivers.job import ConfigurationProblem


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> job.Run:
    """A run by hand, whose config the test fills in."""
    monkeypatch.setenv(job.RECORDS_DIR, str(tmp_path))
    return job.Run("by-hand", None, None)


def loop(config: dict[str, Any]) -> None:
    """A loop that is never run."""


def said(words: list[str], problem: pytest.ExceptionInfo[ConfigurationProblem]) -> None:
    assert [word for word in words if word not in str(problem.value)] == [], problem.value


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere:loop", ["field: cannot import 'nowhere'", "working_dir"]),
        ("json:absent", ["field: the module 'json' has no 'absent'", "dumps"]),
        ("loop", ["field: 'loop' is no import path"]),
    ],
)
def test_code_that_cannot_be_imported_is_named(path: str, words: list[str], run: job.Run) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        imports.author_callable(run, path, "field")
    said(words, problem)


def test_what_cannot_be_called_is_no_loop(run: job.Run) -> None:
    with pytest.raises(ConfigurationProblem, match="field: 'json:__name__' is a str, not a function"):
        imports.author_callable(run, "json:__name__", "field")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"trainer": "keras"}, ["trainer: 'keras' is unknown", "lightgbm"]),
        ({"scaling_config": {"workers": 2}}, ["scaling_config", "workers"]),
        ({"scaling_config": {"num_workers": 0}}, ["scaling_config.num_workers"]),
        ({"failure_config": {"fail_fast": True}}, ["failure_config"]),
        ({"checkpoint_config": {"num_to_keep": 0}}, ["checkpoint_config", "num_to_keep"]),
    ],
)
def test_a_trainer_that_cannot_be_built_is_refused_before_a_run(config: dict[str, Any], words: list[str]) -> None:
    pytest.importorskip("ray.train")
    with pytest.raises(ConfigurationProblem) as problem:
        trainers.builder(config, loop)
    said(words, problem)


def test_a_trainer_gets_what_its_class_does_not_know_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray.train")
    build = trainers.builder({"trainer_args": {"colour": "red"}}, loop)
    with pytest.raises(ConfigurationProblem, match=r"DataParallelTrainer refused.*colour"):
        build("name", str(tmp_path), [], None, {})


def test_a_run_needs_its_workers_and_one_more_cpu_to_read_for_them() -> None:
    pytest.importorskip("ray.train")
    two = trainers.scaling({"scaling_config": {"num_workers": 2, "use_gpu": True}})
    assert trainers.bundles(two, with_datasets=False) == [{"CPU": 1, "GPU": 1.0}] * 2
    some = trainers.scaling({"scaling_config": {"num_workers": [1, 4], "resources_per_worker": {"CPU": 2}}})
    assert trainers.bundles(some, with_datasets=True) == [{"CPU": 2}, {"CPU": 1.0}]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("luck", ["scheduler: 'luck' is unknown", "asha", "median_stopping"]),
        ({"name": "asha", "args": {"grace": 1}}, ["scheduler 'asha'", "grace"]),
        (
            {"name": "pbt", "args": {"hyperparam_mutations": {"lr": {"unifrom": [0, 1]}}}},
            ["scheduler.hyperparam_mutations.lr", "uniform"],
        ),
    ],
)
def test_a_wrong_scheduler_is_refused(spec: Any, words: list[str], run: job.Run) -> None:
    pytest.importorskip("ray.tune")
    with pytest.raises(ConfigurationProblem) as problem:
        search.scheduler(run, spec, lambda chosen: chosen)
    said(words, problem)


def test_a_wrong_searcher_is_refused() -> None:
    pytest.importorskip("ray.tune")
    with pytest.raises(ConfigurationProblem, match="searcher: 'luck' is unknown; use one of ax, bayesopt"):
        search.searcher("luck", has_grid=False)
    assert search.searcher(None, has_grid=True) is None
    assert type(search.searcher("random", has_grid=True)).__name__ == "BasicVariantGenerator"


def test_a_wrong_sampler_is_named_by_its_place(run: job.Run) -> None:
    pytest.importorskip("ray.tune")
    run.config["param_space"] = {"model": {"lr": {"loguniforn": [1, 2]}}}
    with pytest.raises(ConfigurationProblem, match=r"param_space\.model\.lr.*'loguniform'"):
        search.space(run)


@pytest.mark.parametrize(
    ("package", "choose"),
    [
        ("torch", lambda: trainers.trainer_class("torch")),
        ("xgboost", lambda: trainers.trainer_class("xgboost")),
        ("optuna", lambda: search.searcher("optuna", has_grid=False)),
    ],
)
def test_a_package_that_the_cluster_lacks_is_named(package: str, choose: Any) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed here, so that its absence cannot be shown")
    with pytest.raises(ConfigurationProblem, match=f"needs the package '{package}'.*runtime_env"):
        choose()


def test_amounts_are_told_as_people_write_them() -> None:
    assert resources._text({"GPU": 1.0, "CPU": 2.5}) == "CPU: 2.5, GPU: 1"
    assert resources._text({"CPU": 4.0, "node:x": 1.0}, [{"CPU": 1.0}, {"GPU": 1.0}]) == "CPU: 4, GPU: 0"


def test_an_experiment_is_configured_as_the_author_said(run: job.Run, tmp_path: Path) -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers import tune

    run.config.update(
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
    tune_config = tune._tune_config(run, [{"CPU": 1.0}])
    assert (tune_config.metric, tune_config.mode, tune_config.num_samples) == ("loss", "min", 3)
    assert (tune_config.time_budget_s, type(tune_config.scheduler).__mro__[1].__name__) == (
        60,
        "AsyncHyperBandScheduler",
    )
    run_config = tune._run_config(run)
    assert (run_config.name, run_config.storage_path) == ("search", str(tmp_path))
    assert run_config.stop == {"training_iteration": 5}
