"""What a trainer says when a name or an argument is wrong; no cluster is needed for that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.train import trainers
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.kinds import parameters
from tests.kinds.outages import ROOM, Asked
from tests.unit.drivers.conftest import said

ROOMS, ROOM_NAMES = parameters(ROOM)


def loop(config: dict[str, Any]) -> None:
    """A loop that is never run."""


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


def test_what_a_trainers_class_does_not_know_is_refused_with_what_it_knows() -> None:
    pytest.importorskip("ray.train")
    with pytest.raises(ConfigurationProblem, match=r"DataParallelTrainer has no 'colour'; it has backend_config, data"):
        trainers.builder({"trainer_args": {"colour": "red"}}, loop)


def test_a_run_needs_its_workers_and_one_more_cpu_to_read_for_them() -> None:
    pytest.importorskip("ray.train")
    two = trainers.scaling({"scaling_config": {"num_workers": 2, "use_gpu": True}})
    assert trainers.bundles(two, with_datasets=False) == [{"GPU": 1}] * 2
    some = trainers.scaling({"scaling_config": {"num_workers": [1, 4], "resources_per_worker": {"CPU": 2}}})
    assert trainers.bundles(some, with_datasets=True) == [{"CPU": 2}, {"CPU": 1.0}]


@pytest.mark.parametrize("asked", ROOMS, ids=ROOM_NAMES)
def test_a_worker_is_counted_as_ray_counts_it(asked: Asked) -> None:
    pytest.importorskip("ray.train")
    scaling = trainers.scaling({"scaling_config": asked.scaling})

    assert trainers.bundles(scaling, with_datasets=False) == [asked.each] * scaling.num_workers


# Ray's own classes, and what the author's beside ours become


def listening() -> Any:
    """Give the author's callback."""
    from ray.train import UserCallback

    return type("Listening", (UserCallback,), {})()


def test_rays_config_classes_reach_the_trainer_and_the_run(tmp_path: Path) -> None:
    train = pytest.importorskip("ray.train")
    build = trainers.builder(
        {
            "trainer_args": {
                "dataset_config": {"datasets_to_split": ["train"]},
                "backend_config": f"{__name__}:backend",
            },
            "scaling_config": {"num_workers": [1, 4]},
            "failure_config": {"max_preemption_failures": 3},
        },
        loop,
        {"callbacks": [f"{__name__}:listening"], "logging_config": {"log_level": "error"}},
    )
    ours = train.UserCallback()
    trainer = build("name", str(tmp_path), [ours], {"x": 1}, {})

    assert trainer.data_config._datasets_to_split == ["train"]
    assert type(trainer.backend_config).__name__ == "Mine"
    assert (trainer.scaling_config.num_workers, trainer.train_loop_config) == ((1, 4), {"x": 1})
    run_config = trainer.run_config
    assert [type(callback).__name__ for callback in run_config.callbacks] == ["UserCallback", "Listening"]
    assert run_config.callbacks[0] is ours
    assert (run_config.logging_config.log_level, run_config.failure_config.max_preemption_failures) == ("ERROR", 3)
    assert (run_config.name, run_config.storage_path) == ("name", str(tmp_path))


def backend() -> Any:
    """Give a backend's configuration."""
    from ray.train import BackendConfig

    return type("Mine", (BackendConfig,), {})()


@pytest.mark.parametrize(
    ("config", "run_config", "words"),
    [
        (
            {"trainer_args": {"dataset_config": {"split": ["a"]}}},
            None,
            ["dataset_config", "'split'", "datasets_to_split"],
        ),
        ({}, {"callback": []}, ["run_config: RunConfig has no 'callback'; it has callbacks, worker_runtime_env"]),
        ({}, {"logging_config": {"level": "x"}}, ["run_config.logging_config", "'level'", "log_level"]),
        ({"scaling_config": {"workers": 2}}, None, ["scaling_config: ScalingConfig has no 'workers'", "num_workers"]),
    ],
)
def test_a_wrong_field_of_a_class_is_named_with_what_there_is(config: Any, run_config: Any, words: list[str]) -> None:
    pytest.importorskip("ray.train")
    with pytest.raises(ConfigurationProblem) as problem:
        trainers.builder(config, loop, run_config)
    said(words, problem)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        ({}, "0.2"),
        ({"scaling_config": {"num_workers": 40}}, "0.2"),
        ({"scaling_config": {"num_workers": 256}}, "1.28"),
        ({"scaling_config": {"num_workers": [1, 100]}}, "0.5"),
        ({"scaling_config": {"num_workers": 256}, "report_interval_seconds": 0.1}, "0.1"),
    ],
)
def test_reports_are_collected_less_often_of_many_workers(
    config: dict[str, Any], seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(trainers.REPORT_INTERVAL, raising=False)
    trainers.set_report_interval(config)
    assert os.environ[trainers.REPORT_INTERVAL] == seconds
    monkeypatch.setenv(trainers.REPORT_INTERVAL, "7")
    trainers.set_report_interval(config)
    assert os.environ[trainers.REPORT_INTERVAL] == "7"
