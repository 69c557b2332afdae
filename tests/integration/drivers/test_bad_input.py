"""Bad input ends a driver soon, with one message that names the field."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from typing import Any

import pandas
import pytest

from airflow_provider_air.workloads import batch_inference, rllib, train
from tests.integration.drivers.conftest import DriverJob, Submit

pytestmark = pytest.mark.integration

LOOP = {"train_loop": "loops:epochs", "train_loop_config": {"epochs": 2}}
INFERENCE = {"predictor": "loops:Twice", "input": "{data}", "output": {"uri": "{out}"}}

# What is said (field first), by driver and configuration. Some of it Airflow's side would refuse before.
PROBLEMS: dict[str, tuple[str, Mapping[str, Any], list[str]]] = {
    "loop of no module": (train.ENTRYPOINT, {"train_loop": "nowhere:loop"}, ["train_loop", "nowhere", "working_dir"]),
    "absent dataset": (
        train.ENTRYPOINT,
        {**LOOP, "datasets": {"train": "/no/such"}},
        ["datasets.train.uri", "/no/such"],
    ),
    "absent column": (
        train.ENTRYPOINT,
        {**LOOP, "datasets": {"train": {"uri": "{data}", "columns": ["x", "z"]}}},
        ["datasets.train.columns", "'z'", "'x', 'y'"],
    ),
    "too many workers": (
        train.ENTRYPOINT,
        {**LOOP, "scaling_config": {"num_workers": 50}},
        ["scaling_config", "CPU: 50", "the cluster has CPU: 4"],
    ),
    "a growing cluster that does not grow": (
        train.ENTRYPOINT,
        {**LOOP, "scaling_config": {"num_workers": 50}, "fixed_size": False, "resources_timeout_seconds": 3},
        ["scaling_config", "did not grow enough in 3 s", "CPU: 50"],
    ),
    "a column that the model needs": (
        batch_inference.ENTRYPOINT,
        {**INFERENCE, "predictor": "lightgbm", "checkpoint": "{model}"},
        ["input", "'feature'", "'x', 'y'"],
    ),
    "torch is absent": (
        rllib.ENTRYPOINT,
        {"algorithm": "PPO", "environment": "CartPole-v1", "stop": {"training_iteration": 1}},
        ["algorithm 'PPO'", "'torch'", "runtime_env"],
    ),
}
OUTAGES = {"a growing cluster that does not grow"}
if importlib.util.find_spec("torch") is not None:
    del PROBLEMS["torch is absent"]  # here it cannot be shown


@pytest.fixture(scope="module")
def jobs(submit: Submit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DriverJob]:
    """All of them at once: most of their time is waiting for Ray."""
    import lightgbm
    import numpy

    base = tmp_path_factory.mktemp("bad")
    places = {"data": base / "data", "out": base / "out", "model": base / "model"}
    for place in places.values():
        place.mkdir()
    pandas.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]}).to_parquet(base / "data" / "0.parquet")
    table = lightgbm.Dataset(numpy.arange(50.0).reshape(-1, 1), numpy.arange(50.0), feature_name=["feature"])
    lightgbm.train({"verbosity": -1, "num_threads": 1}, table, 1).save_model(base / "model" / "model.txt")

    def job(name: str) -> DriverJob:
        entrypoint, config, _ = PROBLEMS[name]
        place = {"run_name": name.replace(" ", "-"), "storage_path": str(base / "runs"), "fixed_size": True}
        text = json.dumps({**place, **config})
        for key, folder in places.items():
            text = text.replace(f"{{{key}}}", str(folder))
        return submit(entrypoint, {"config.json": text.encode()})

    return {name: job(name) for name in PROBLEMS}


@pytest.mark.parametrize("name", PROBLEMS)
def test_bad_input_is_named(name: str, jobs: dict[str, DriverJob]) -> None:
    # What may grow later is worth a retry.
    problem = jobs[name].outage() if name in OUTAGES else jobs[name].problem()
    assert [part for part in PROBLEMS[name][2] if part not in problem] == [], problem
