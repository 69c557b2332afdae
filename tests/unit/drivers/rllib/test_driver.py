"""
Which algorithm is trained with which configuration.

RLlib itself needs torch and gymnasium, which are not here: the classes below are what this driver asks of RLlib's.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.rllib import driver
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said

pytest.importorskip("ray.tune")


class Config:
    """As an AlgorithmConfig: each setter gives the object."""

    def __init__(self, algo_class: Any = None) -> None:
        self.algo_class = algo_class
        self.env: Any = None
        self.env_config: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}

    def environment(self, env: Any = None, env_config: Any = None) -> Config:
        self.env = self.env if env is None else env
        self.env_config = self.env_config if env_config is None else env_config
        return self

    def update_from_dict(self, settings: dict[str, Any]) -> Config:
        if "lrr" in settings:
            raise AttributeError("no 'lrr'")
        self.settings.update(settings)
        return self

    def validate(self) -> None:
        """All is well."""


class Mine:
    """An algorithm of the author's."""

    @classmethod
    def get_default_config(cls) -> Config:
        return Config(cls)


def config() -> Config:
    """All of it, as authors write it: policies, mapping, callbacks."""
    made = Config(Mine).environment("Own-v1")
    made.settings["policies"] = {"a", "b"}
    return made


def found(run: Run, **fields: Any) -> Any:
    run.config.clear()
    run.config.update(fields)
    return driver._algorithm(run)


def test_an_algorithm_of_the_authors_with_rllibs_settings(by_hand: Run) -> None:
    algorithm, made = found(
        by_hand,
        algorithm=f"{__name__}:Mine",
        environment="CartPole-v1",
        env_config={"size": 3},
        config={"lr": 0.1},
    )
    assert algorithm is Mine
    assert (made.env, made.env_config, made.settings) == ("CartPole-v1", {"size": 3}, {"lr": 0.1})


def test_a_function_gives_all_of_the_configuration(by_hand: Run) -> None:
    algorithm, made = found(by_hand, config=f"{__name__}:config")
    assert (algorithm, made.env, made.settings) == (Mine, "Own-v1", {"policies": {"a", "b"}})
    algorithm, made = found(by_hand, config=f"{__name__}:config", environment="CartPole-v1", env_config={"size": 3})
    assert (algorithm, made.env, made.env_config) == (Mine, "CartPole-v1", {"size": 3})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"algorithm": f"{__name__}:config", "environment": "x"}, ["algorithm: config is no Algorithm"]),
        ({"algorithm": f"{__name__}:Mine", "config": {"lrr": 1}, "environment": "x"}, ["config: Mine", "'lrr'"]),
        ({"config": "json:dumps"}, ["config"]),
        ({"config": f"{__name__}:Mine"}, ["config: it gives a Mine, no AlgorithmConfig"]),
        ({"algorithm": f"{__name__}:Mine"}, ["environment: neither the task nor its 'config' names one"]),
    ],
)
def test_what_rllib_could_not_train_is_refused(by_hand: Run, fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        found(by_hand, **fields)
    said(words, problem)


def test_a_package_that_rllib_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.rllib", None)

    with pytest.raises(ConfigurationProblem, match=r"RLlib cannot be imported .*; add ray\[rllib\]"):
        driver.need_rllib()
