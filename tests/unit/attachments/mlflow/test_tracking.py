"""What arrives in MLflow of whatever a job reports, by MLflow's own checks."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.attachments.mlflow.batches import MOST_REFUSED
from airflow_provider_air.attachments.mlflow.names import NAME_TAG, name_of
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.drivers.wire.metrics import metrics_of
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.mlflow import FakeMlflow
from tests.kinds import parameters
from tests.kinds.metrics import NAMES as NAME_KINDS
from tests.kinds.metrics import NUMBERS, TASKS

INFO = AttemptInfo(TaskKey("here", "flights", "manual__1", "train"), "air-1", "flights-train-g1", 1, 1, "train", "c")
ODD = [original for original, _ in parameters(NAME_KINDS)[0]]


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    with FakeMlflow() as server:
        yield server


def tracking(mlflow: FakeMlflow, **fields: Any) -> MlflowTracking:
    return MlflowTracking(MlflowServer(mlflow.url), "delays", tags=fields)


def metric(seq: int, values: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"v": 1, "seq": seq, "t": float(seq), "kind": "metric", "values": values, "step": seq, **fields}


def state_of(mlflow: FakeMlflow, info: AttemptInfo = INFO) -> dict[str, Any]:
    return dict(tracking(mlflow).before_submit(info).state)


def test_metrics_of_any_name_arrive_and_keep_their_original(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    tracking(mlflow).on_records(INFO, state, [metric(1, dict.fromkeys(ODD, 0.5))])

    run = mlflow.runs[state["run_id"]]
    assert {name for name, _, _ in run["metrics"]} == {name_of(name) for name in ODD}
    assert run["tags"][NAME_TAG + name_of("ndcg@10")] == "ndcg@10"
    assert len([tag for tag in run["tags"] if tag.startswith(NAME_TAG)]) == len(parameters(NAME_KINDS[1:])[0])


def test_parameters_of_any_name_and_length_arrive(mlflow: FakeMlflow) -> None:
    given = {**dict.fromkeys(ODD, 1), "long": "x" * 100_000, "wide": "語" * 6000, "none": None, "deep": {"lr@1": 0.1}}
    given |= {f"p{number}": "語" * 6000 for number in range(100)}
    state = state_of(mlflow, replace(INFO, parameters=given))

    params = mlflow.runs[state["run_id"]]["params"]
    assert {name_of(name) for name in given if name not in ("none", "deep")} <= set(params)
    assert params[name_of("deep.lr@1")] == "0.1"
    assert params["long"].startswith("xxx")
    assert "100000 characters" in params["long"]


def test_a_retry_with_other_parameters_rewrites_none_and_adds_what_is_new(
    mlflow: FakeMlflow, caplog: pytest.LogCaptureFixture
) -> None:
    first = state_of(mlflow, replace(INFO, parameters={"lr": 0.1, "odd@": 1}))
    second = state_of(mlflow, replace(INFO, parameters={"lr": 0.2, "odd@": 2, "depth": 3}))

    assert first == second
    assert mlflow.runs[first["run_id"]]["params"] == {"lr": "0.1", name_of("odd@"): "1", "depth": "3"}
    assert caplog.messages == []


def test_what_is_refused_alone_keeps_nothing_else_away(mlflow: FakeMlflow, caplog: pytest.LogCaptureFixture) -> None:
    state = state_of(mlflow)
    mlflow.refuses = {"m7", "m800"}
    records = [metric(seq, {f"m{number}": 1.0 for number in range(1500)}) for seq in (1, 2)]
    with caplog.at_level(logging.WARNING):
        tracking(mlflow).on_records(INFO, state, records)

    arrived = mlflow.runs[state["run_id"]]["metrics"]
    assert len(arrived) == 2 * 1498
    [said] = caplog.messages
    assert "refused 4 of 3000 metrics" in said
    assert "m800" in said


def test_a_run_that_takes_nothing_is_not_asked_for_each_point(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    mlflow.deleted.add(state["run_id"])
    before = mlflow.batches

    with pytest.raises(ConfigurationError, match="active"):
        tracking(mlflow).on_records(INFO, state, [metric(seq, {"a": 1.0}) for seq in range(30_000)])
    assert mlflow.batches - before < 4 * MOST_REFUSED


@pytest.mark.parametrize(("reported", "expected"), parameters(NUMBERS)[0], ids=parameters(NUMBERS)[1])
def test_whatever_is_reported_arrives_as_its_numbers(
    mlflow: FakeMlflow, reported: Any, expected: dict[str, Any]
) -> None:
    state = state_of(mlflow)
    tracking(mlflow).on_records(INFO, state, [metric(1, metrics_of(reported))])

    assert mlflow.runs[state["run_id"]]["metrics"] == {
        (name_of(name), 1, str(float(number))) for name, number in expected.items()
    }


def test_thirty_thousand_points_are_thirty_calls_and_all_there(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    before = mlflow.batches
    tracking(mlflow).on_records(INFO, state, [metric(seq, {"loss": 1.0}) for seq in range(30_000)])

    assert mlflow.batches - before == 30
    assert len(mlflow.runs[state["run_id"]]["metrics"]) == 30_000


def test_trials_have_their_nested_metrics_and_nan(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    trial = {
        "trial_id": "t1",
        "config": {"lr@": 0.1, "net": {"depth": 3}},
        "metrics": {"val": {"ndcg@10": 0.5}, "loss": math.nan, "note": "good", "none": None},
    }
    many = {"trial_id": "t2", "metrics": {f"m{number}": 1.0 for number in range(2500)}}

    tracking(mlflow).on_end(INFO, state, Outcome("SUCCEEDED", result={"trials": [trial, many]}))

    _, first, second = mlflow.runs.values()
    assert first["params"] == {name_of("lr@"): "0.1", "net.depth": "3"}
    assert first["metrics"] == {(name_of("val/ndcg@10"), 0, "0.5"), ("loss", 0, "nan")}
    assert len(second["metrics"]) == 2500


@pytest.mark.parametrize(("dag", "run", "task", "index"), parameters(TASKS)[0], ids=parameters(TASKS)[1])
def test_tasks_of_any_name_have_a_run(mlflow: FakeMlflow, dag: str, run: str, task: str, index: int) -> None:
    info = replace(INFO, key=TaskKey("here", dag, run, task, index))
    state = dict(tracking(mlflow, **{"team@x": "y" * 9000}).before_submit(info).state)
    tracking(mlflow).on_end(info, state, Outcome("FAILED", "why " * 5000))

    tags = mlflow.runs[state["run_id"]]["tags"]
    assert (tags["air.dag_id"], tags["air.run_id"], tags["air.task_id"]) == (dag, run, task)
    assert name_of("team@x") in tags


def test_the_jobs_own_calls_go_on_in_the_run_and_lose_nothing(mlflow: FakeMlflow) -> None:
    added = tracking(mlflow).before_submit(INFO)

    assert dict(added.env_vars) == {
        "MLFLOW_TRACKING_URI": mlflow.url,
        "MLFLOW_EXPERIMENT_ID": "7",
        "MLFLOW_RUN_ID": added.state["run_id"],
    }, "asynchronous logging would drop what a script has logged last"


def test_pages_are_where_people_open_them_as_they_copy_it() -> None:
    server = MlflowServer("http://mlflow:5000", ui_url="https://mlflow.example.com/team/#/experiments/7")

    assert server.run_url("7", "r") == "https://mlflow.example.com/team/#/experiments/7/runs/r"
