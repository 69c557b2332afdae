"""What a trainer says when a name or an argument is wrong; no cluster is needed for that."""

from __future__ import annotations

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
