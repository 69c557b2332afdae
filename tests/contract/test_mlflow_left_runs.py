"""Runs that stay open in a real MLflow server are found in all experiments, and ended once their DAG run is over."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from airflow_provider_air.attachments.mlflow.left_runs import LeftRuns
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.registry import runs_left_at
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.runs.cleaning import Cleaning, Report, RunState
from tests.fakes.attachment import FakeConnections

pytestmark = pytest.mark.integration


class Airflow:
    """One deployment that tracks in a server."""

    def __init__(self, url: str) -> None:
        self.name = f"here-{uuid.uuid4().hex[:8]}"
        self.server = MlflowServer(url)
        self.connections = FakeConnections(mlflow=self.server)
        self.log: list[str] = []

    def begin(self, run_id: str, *, deployment: str | None = None, workload: str = "train") -> tuple[Any, Any, Any]:
        """Begin a tracked attempt, in an experiment of its own."""
        key = TaskKey(deployment or self.name, "flights", run_id, "train")
        attempt = AttemptInfo(key, f"air-{run_id}", f"train-{run_id}-g1", 1, 1, workload, "ray_default")
        tracking = MlflowTracker(experiment=uuid.uuid4().hex).open(self.connections)
        return tracking, attempt, tracking.before_submit(attempt).state

    def run(self, state: Any) -> Any:
        return self.server.call("GET", "runs/get", run_id=state["run_id"])["run"]

    def status(self, state: Any) -> str:
        return str(self.run(state)["info"]["status"])

    def info(self, message: str, /, *values: Any) -> None:
        self.log.append(message % values)

    warning = info

    def clean(self, *, only_tell: bool = False) -> Report:
        def state(key: TaskKey) -> RunState:
            return "live" if key.run_id.startswith("live") else "over"

        neighbour = runs_left_at("mlflow", "mlflow_default", self.connections)
        report = Cleaning(self.name, state, self, only_tell=only_tell).clean([neighbour])
        assert report.outages == {}
        return report


@pytest.fixture
def airflow(mlflow_url: str) -> Airflow:
    return Airflow(mlflow_url)


def test_runs_that_nobody_has_ended_are_killed_and_no_others(airflow: Airflow) -> None:
    _, _, left = airflow.begin("over-ä/1")
    _, _, live = airflow.begin("live-1")
    _, _, theirs = airflow.begin("over-2", deployment="elsewhere")
    tracking, attempt, ended = airflow.begin("over-3")
    tracking.on_end(attempt, ended, Outcome("SUCCEEDED", result={}))

    assert airflow.clean(only_tell=True).count("would be taken") == 1
    assert airflow.status(left) == "RUNNING"
    assert airflow.clean().count("taken") == 1

    assert [airflow.status(state) for state in (left, live, theirs, ended)] == [
        "KILLED",
        "RUNNING",
        "RUNNING",
        "FINISHED",
    ]
    tags = {tag["key"]: tag["value"] for tag in airflow.run(left)["data"]["tags"]}
    assert tags["air.outcome"] == "ABANDONED"
    assert "clean-up" in tags["air.message"]
    assert airflow.run(left)["info"]["end_time"]
    assert airflow.clean().count("taken") == 0


def test_the_nested_runs_of_trials_end_with_theirs(airflow: Airflow) -> None:
    tracking, attempt, left = airflow.begin("over-1", workload="tune")
    trial = {"seq": 0, "t": 1.0, "kind": "progress", "trial": "a", "trial_state": "running", "config": {"x": 1}}
    tracking.on_records(attempt, left, [trial])
    body = {"experiment_ids": [left["experiment_id"]], "filter": f"tags.`mlflow.parentRunId` = '{left['run_id']}'"}

    airflow.clean()
    (nested,) = airflow.server.call("POST", "runs/search", body)["runs"]
    assert nested["info"]["status"] == "KILLED"
    assert airflow.status(left) == "KILLED"


def test_a_run_that_ends_between_the_look_and_the_taking_keeps_its_end(airflow: Airflow) -> None:
    tracking, attempt, left = airflow.begin("over-1")
    neighbour = LeftRuns(airflow.server)
    (item,) = [item for item in neighbour.left() if item.name == left["run_id"]]
    assert neighbour.use_of(item) == ""
    tracking.on_end(attempt, left, Outcome("SUCCEEDED", result={}))
    assert "ended it meanwhile" in neighbour.use_of(item)


def test_a_server_that_is_away_is_an_outage_and_other_kinds_leave_nothing_open() -> None:
    airflow = Airflow("http://127.0.0.1:1")
    with pytest.raises(UnavailableError):
        list(LeftRuns(airflow.server).left())
    with pytest.raises(ConfigurationError, match="needs no clean-up"):
        runs_left_at("wandb", "wandb_default", airflow.connections)
