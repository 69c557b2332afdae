"""What an author may say about an RLlib run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.drivers.rllib.driver import flat
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.rllib import RLlibSpec

SPEC: dict[str, Any] = {"algorithm": "PPO", "environment": "CartPole-v1", "stop": {"training_iteration": 2}}


def test_the_driver_is_told_what_the_author_said() -> None:
    payload = RLlibSpec(**SPEC, config={"lr": 1e-4}).payload(run_name="r", storage_path="/s", fixed_size=False)
    config = json.loads(payload["config.json"])
    assert config.items() >= {**SPEC, "config": {"lr": 1e-4}, "storage_path": "/s", "run_name": "r"}.items()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"algorithm": "P P O"}, "algorithm"),
        ({"environment": ""}, "environment"),
        ({"environment": "a:b c"}, "environment"),
        ({"stop": {}}, "stop"),
        ({"config": 3}, "config"),
        ({"checkpoint_frequency": 0}, "checkpoint_frequency"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RLlibSpec(**{**SPEC, **fields}).validate()
    assert f"'{named}'" in str(caught.value)


def test_of_a_nested_report_what_people_look_at_is_kept() -> None:
    report = {"training_iteration": 3, "timers": {"a": 1.0}, "env_runners": {"episode_return_mean": 9.5, "x": None}}
    assert flat(report) == {"training_iteration": 3, "env_runners/episode_return_mean": 9.5}
