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
        ({"algorithm": None}, "algorithm"),
        ({"algorithm": None, "config": {"lr": 1}}, "algorithm"),
        ({"environment": None}, "environment"),
        ({"config": "no path"}, "config"),
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


@pytest.mark.parametrize(
    "fields",
    [
        {"algorithm": "mine:Algorithm"},
        {"algorithm": None, "environment": None, "config": "mine:config"},
        {"config": "mine:config", "environment": None},
        {"config": len},
    ],
)
def test_an_algorithm_or_all_of_its_configuration_may_be_the_authors(fields: dict[str, Any]) -> None:
    payload = RLlibSpec(**{**SPEC, **fields}).payload(run_name="r", storage_path="/s", fixed_size=False)
    config = json.loads(payload["config.json"])
    assert config.get("algorithm") == fields.get("algorithm", "PPO")
    assert ("config-0.pkl" in payload) is callable(fields.get("config"))


def test_losses_returns_and_what_callbacks_log_are_kept_and_machinery_is_not() -> None:
    """A report of PPO's new stack, in short."""
    report = {
        "training_iteration": 2,
        "time_total_s": 9.0,
        "time_this_iter_s": 4.0,
        "done": False,
        "pid": 7,
        "config": {"lr": 1.0},
        "perf": {"cpu_util_percent": 3.0},
        "fault_tolerance": {"num_healthy_workers": 2},
        "learners": {
            "default_policy": {"policy_loss": 0.5, "learner_connector_timer": 1.0, "curriculum": {"level": 3}},
            "__all_modules__": {"num_env_steps_trained": 400},
        },
        "env_runners": {
            "agent_episode_returns_mean": {"a": 1.0},
            "env_to_module_connector": {"timers": {"connectors": {"x": 0.1}}},
            "my_metric": 4.0,
        },
        "evaluation": {"env_runners": {"episode_return_mean": 8.0}},
    }
    assert flat(report) == {
        "training_iteration": 2,
        "time_total_s": 9.0,
        "learners/default_policy/policy_loss": 0.5,
        "learners/default_policy/curriculum/level": 3,
        "learners/__all_modules__/num_env_steps_trained": 400,
        "env_runners/agent_episode_returns_mean/a": 1.0,
        "env_runners/my_metric": 4.0,
        "evaluation/env_runners/episode_return_mean": 8.0,
    }


def test_of_a_nested_report_what_people_look_at_is_kept() -> None:
    report = {"training_iteration": 3, "timers": {"a": 1.0}, "env_runners": {"episode_return_mean": 9.5, "x": None}}
    assert flat(report) == {"training_iteration": 3, "env_runners/episode_return_mean": 9.5}
