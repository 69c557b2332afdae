"""Packages that the cluster lacks, by name."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from airflow_provider_air.drivers.train import trainers
from airflow_provider_air.drivers.tune import search
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


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
