"""What W&B is told of a run, and what it would refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.attachments.wandb.tracker import CONFIG_CHARACTERS, NAME_CHARACTERS, WandbTracker
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.drivers.wire.names import WANDB_CONFIG
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.attachment import FakeConnections
from tests.kinds import parameters
from tests.kinds.metrics import TASKS

INFO = AttemptInfo(TaskKey("here", "flights", "manual__1", "train"), "air-1", "flights-train-g1", 1, 1, "train", "c")
KEYS, NAMES = parameters(TASKS)


def told(info: AttemptInfo) -> dict[str, str]:
    spec = WandbTracker(mode="offline", offline_dir="/runs")
    return dict(spec.open(FakeConnections()).before_submit(info).env_vars)


@pytest.mark.parametrize(("dag", "run", "task", "index"), KEYS, ids=NAMES)
def test_a_group_has_a_name_that_is_taken(dag: str, run: str, task: str, index: int) -> None:
    given = told(replace(INFO, key=TaskKey("here", dag, run, task, index)))

    assert len(given["WANDB_RUN_GROUP"]) <= NAME_CHARACTERS
    assert given["WANDB_RUN_GROUP"].startswith(f"{dag}__"[:100])


def test_groups_of_two_runs_are_two() -> None:
    runs = {(dag, run) for dag, run, _, _ in KEYS}

    assert len({told(replace(INFO, key=TaskKey("here", *run, "t")))["WANDB_RUN_GROUP"] for run in runs}) == len(runs)


def test_parameters_that_are_too_much_are_left_out_of_the_config() -> None:
    given = json.loads(told(replace(INFO, parameters={"text": "x" * CONFIG_CHARACTERS}))[WANDB_CONFIG])

    assert set(given) == {"airflow"}
    assert json.loads(told(replace(INFO, parameters={"lr@1": 0.5}))[WANDB_CONFIG])["lr@1"] == 0.5


@pytest.mark.parametrize(
    "fields",
    [
        {"project": ""},
        {"project": "a/b"},
        {"project": "a:b"},
        {"project": "50%"},
        {"project": "x" * 129},
        {"tags": [""]},
        {"tags": ["x" * 65]},
        {"tags": ["one,two"]},
    ],
)
def test_what_wandb_would_refuse_on_the_cluster_is_said_before(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(fields))[:3]):
        WandbTracker(**fields).validate()


def test_names_in_any_script_are_taken() -> None:
    WandbTracker(project="полёты 2026", tags=["ночь", "größe"]).validate()


@pytest.mark.parametrize("workload", ["train", "tune"])
@pytest.mark.parametrize("required", [True, False])
def test_the_driver_knows_whether_the_work_goes_on_without_it(workload: str, required: bool) -> None:
    tracker = WandbTracker(mode="offline", offline_dir="/shared", required=required)
    attempt = replace(INFO, workload=workload)

    environment = tracker.open(FakeConnections()).before_submit(attempt).env_vars

    assert ("RAY_AIRFLOW_WANDB_OPTIONAL" in environment) is not required
