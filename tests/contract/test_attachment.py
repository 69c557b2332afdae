"""
What every tracker and feature store must do; a new one is one more harness.

A harness says how to make one and how its remote side looks from outside.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_air.attachment import Attachment, Luggage, Outcome, Voyage
from airflow_provider_air.errors import AirError, ProtocolError
from airflow_provider_air.identity import TaskKey
from airflow_provider_air.trackers.mlflow import OUTCOME_TAG, MlflowTracker, MlflowTracking
from airflow_provider_air.trackers.mlflow_server import MlflowServer
from tests.fakes.attachment import FakeTracker

RECORDS: list[dict[str, Any]] = [
    {"v": 1, "seq": 0, "t": 1.0, "kind": "metric", "values": {"rmse": 1.5}, "step": 1},
    {"v": 1, "seq": 1, "t": 2.0, "kind": "progress", "message": "half"},
    {"v": 1, "seq": 2, "t": 3.0, "kind": "metric", "values": {"rmse": 1.25}, "step": 2},
    {"v": 1, "seq": 3, "t": 4.0, "kind": "checkpoint", "uri": "s3://b/c"},
    {"v": 1, "seq": 4, "t": 5.0, "kind": "result", "value": {"rmse": 1.25}},
    {"v": 1, "seq": 5, "t": 6.0, "kind": "end", "status": "succeeded"},
]
STATUSES = ["SUCCEEDED", "FAILED", "STOPPED", "LOST", "DEADLINE"]


@dataclass
class Harness:
    """
    One attachment with its remote side.

    :param status_of: the remote run's status by the luggage that it came with, in the contract's words
    :param runs: how many remote runs there are
    :param broken: the same attachment with a remote side that does not answer
    :param secrets: what must not appear in the luggage
    """

    attachment: Attachment
    status_of: Callable[[Luggage], str]
    runs: Callable[[], int]
    broken: Attachment
    secrets: tuple[str, ...] = ()


def fake() -> Harness:
    tracker = FakeTracker()
    return Harness(
        tracker,
        lambda luggage: tracker.runs[str(luggage.state["run_id"])].status,
        lambda: len(tracker.runs),
        FakeTracker(refuses=True),
    )


def mlflow(server_url: str) -> Harness:
    server = MlflowServer(server_url, auth=("ada", "mlflow-canary-secret"))
    experiment = f"contract-{uuid.uuid4().hex}"

    def runs() -> list[Any]:
        found = server.call("GET", "experiments/get-by-name", experiment_name=experiment).get("experiment")
        if not found:
            return []
        runs: list[Any] = server.call("POST", "runs/search", {"experiment_ids": [found["experiment_id"]]}).get(
            "runs", []
        )
        return runs

    def status_of(luggage: Luggage) -> str:
        run = server.call("GET", "runs/get", run_id=luggage.state["run_id"])["run"]
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        return "RUNNING" if run["info"]["status"] == "RUNNING" else tags[OUTCOME_TAG]

    spec = MlflowTracker(experiment=experiment)
    return Harness(
        MlflowTracking(spec, server),
        status_of,
        lambda: len(runs()),
        MlflowTracking(spec, MlflowServer("http://127.0.0.1:9")),
        ("mlflow-canary-secret",),
    )


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.integration)])
def harness(request: pytest.FixtureRequest) -> Harness:
    return fake() if request.param == "fake" else mlflow(request.getfixturevalue("mlflow_url"))


def voyage(number: int = 1, task_id: str = "train") -> Voyage:
    key = TaskKey("here", "flights", "manual__1", task_id)
    return Voyage(key, f"air-{task_id}-{number}", key.run_name(1), 1, number, "train", "ray_default", {"rounds": 5})


def through_the_store(luggage: Luggage) -> Luggage:
    """Its state lies in Airflow's store between two processes."""
    return Luggage(luggage.env_vars, json.loads(json.dumps(dict(luggage.state))))


def test_it_implements_the_contract(harness: Harness) -> None:
    assert isinstance(harness.attachment, Attachment)


def test_its_luggage_is_plain(harness: Harness) -> None:
    luggage = harness.attachment.before_submit(voyage())

    assert all(isinstance(text, str) for item in luggage.env_vars.items() for text in item)
    assert json.loads(json.dumps(dict(luggage.state))) == luggage.state
    assert not any(name.startswith("AIR_") for name in luggage.env_vars)


def test_its_luggage_holds_no_secret(harness: Harness) -> None:
    luggage = harness.attachment.before_submit(voyage())

    text = json.dumps([dict(luggage.env_vars), dict(luggage.state)])
    assert not [secret for secret in harness.secrets if secret in text]


def test_preparing_an_attempt_twice_makes_one_remote_run(harness: Harness) -> None:
    first = harness.attachment.before_submit(voyage())
    second = harness.attachment.before_submit(voyage())

    assert second == first
    assert harness.runs() == 1


def test_another_task_gets_a_remote_run_of_its_own(harness: Harness) -> None:
    mine = harness.attachment.before_submit(voyage())
    other = harness.attachment.before_submit(voyage(task_id="tune"))
    harness.attachment.on_end(voyage(), mine.state, Outcome("FAILED", "boom"))

    assert (harness.status_of(mine), harness.status_of(other)) == ("FAILED", "RUNNING")


def test_a_retry_can_begin_after_a_failure(harness: Harness) -> None:
    first = harness.attachment.before_submit(voyage(1))
    harness.attachment.on_end(voyage(1), first.state, Outcome("FAILED", "boom"))
    second = harness.attachment.before_submit(voyage(2))
    harness.attachment.on_end(voyage(2), second.state, Outcome("SUCCEEDED"))

    assert harness.status_of(second) == "SUCCEEDED"


@pytest.mark.parametrize("status", STATUSES)
def test_every_end_is_noted(harness: Harness, status: str) -> None:
    luggage = through_the_store(harness.attachment.before_submit(voyage()))
    harness.attachment.on_end(
        voyage(), luggage.state, Outcome(status, "why", result={"rmse": 1.25} if status == "SUCCEEDED" else None)
    )

    assert harness.status_of(luggage) == status


def test_records_may_come_again_after_an_interruption(harness: Harness) -> None:
    luggage = through_the_store(harness.attachment.before_submit(voyage()))
    for records in (RECORDS[:4], RECORDS, []):
        harness.attachment.on_record(voyage(), luggage.state, records)
    harness.attachment.on_end(voyage(), luggage.state, Outcome("SUCCEEDED"))

    assert harness.status_of(luggage) == "SUCCEEDED"


def test_an_end_may_be_told_twice(harness: Harness) -> None:
    luggage = harness.attachment.before_submit(voyage())
    for _ in range(2):
        harness.attachment.on_end(voyage(), luggage.state, Outcome("STOPPED"))

    assert harness.status_of(luggage) == "STOPPED"


def test_the_end_of_an_attempt_that_was_killed_early_needs_no_records(harness: Harness) -> None:
    luggage = harness.attachment.before_submit(voyage())
    harness.attachment.on_end(voyage(), luggage.state, Outcome("LOST", "the head is gone"))

    assert harness.status_of(luggage) == "LOST"


@pytest.mark.parametrize("state", [{}, {"unknown": True}])
def test_a_state_that_is_not_its_own_does_no_harm(harness: Harness, state: dict[str, Any]) -> None:
    harness.attachment.on_record(voyage(), state, RECORDS)
    harness.attachment.on_end(voyage(), state, Outcome("FAILED"))

    assert harness.runs() == 0


def test_a_remote_side_that_does_not_answer_is_a_typed_error_before_anything_is_submitted(harness: Harness) -> None:
    with pytest.raises(AirError):
        harness.broken.before_submit(voyage())


def test_a_voyage_survives_json() -> None:
    assert Voyage.from_json(json.loads(json.dumps(voyage().to_json()))) == voyage()


@pytest.mark.parametrize("data", [None, {}, [], {"key": 1}, {"key": {}}, {**voyage().to_json(), "colour": "red"}])
def test_what_names_no_attempt_is_refused(data: Any) -> None:
    with pytest.raises(ProtocolError):
        Voyage.from_json(data)


# What only MLflow can show


@pytest.mark.integration
def test_mlflow_holds_params_and_each_metric_point_once_at_the_records_time(mlflow_url: str) -> None:
    server = MlflowServer(mlflow_url)
    tracking = MlflowTracking(MlflowTracker(experiment=f"points-{uuid.uuid4().hex}"), server)
    state = tracking.before_submit(voyage()).state
    for records in (RECORDS[:2], RECORDS):
        tracking.on_record(voyage(), state, records)

    data = server.call("GET", "runs/get", run_id=state["run_id"])["run"]["data"]
    history = server.call("GET", "metrics/get-history", run_id=state["run_id"], metric_key="rmse")["metrics"]
    assert {item["key"]: item["value"] for item in data["params"]} == {"rounds": "5"}
    assert [(p["step"], p["value"], p["timestamp"]) for p in history] == [(1, 1.5, 1000), (2, 1.25, 3000)]


@pytest.mark.integration
def test_mlflow_names_the_features_as_feast_does(mlflow_url: str) -> None:
    harness = mlflow(mlflow_url)
    luggage = harness.attachment.before_submit(voyage())
    features = {"project": "flights", "feature_service": "delay_v1", "feature_views": ["a", "b"], "fingerprint": "0f"}
    harness.attachment.on_record(voyage(), luggage.state, [{"kind": "progress", "message": "", "features": features}])

    run = MlflowServer(mlflow_url).call("GET", "runs/get", run_id=luggage.state["run_id"])["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}

    assert {name: tags[name] for name in tags if name.startswith("feast.")} == {
        "feast.project": "flights",
        "feast.feature_service": "delay_v1",
        "feast.feature_views": "a,b",
    }
    assert tags["air.features_fingerprint"] == "0f"


def test_mlflow_holds_one_nested_run_per_trial(mlflow_url: str) -> None:
    server = MlflowServer(mlflow_url)
    tracking = MlflowTracking(MlflowTracker(experiment=f"trials-{uuid.uuid4().hex}"), server)
    luggage = tracking.before_submit(voyage())
    trials = [
        {"trial_id": "a", "config": {"lr": 0.1}, "metrics": {"rmse": 1.0}, "error": None},
        {"trial_id": "b", "config": {"lr": 0.2}, "metrics": {}, "error": "boom"},
    ]
    for _ in range(2):
        tracking.on_end(voyage(), luggage.state, Outcome("SUCCEEDED", result={"trials": trials}))

    query = f"tags.`mlflow.parentRunId` = '{luggage.state['run_id']}'"
    body = {"experiment_ids": [luggage.state["experiment_id"]], "filter": query}
    nested = server.call("POST", "runs/search", body)["runs"]
    assert sorted((run["info"]["status"], run["data"]["params"][0]["value"]) for run in nested) == [
        ("FAILED", "0.2"),
        ("FINISHED", "0.1"),
    ]
