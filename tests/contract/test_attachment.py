"""
What every tracker and feature store must do; a new one is one more harness.

A harness says how to make one and, where it keeps runs, how its remote side looks from outside.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.attachments.checks import specs_of
from airflow_provider_air.attachments.feast.features import FeastFeatures
from airflow_provider_air.attachments.mlflow.left_runs import OUTCOME_TAG
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.registry import from_json, to_json
from airflow_provider_air.attachments.tecton.features import TectonFeatures
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.attachments.wandb.tracker import WandbSite, WandbTracker
from airflow_provider_air.contracts.attachments import Additions, Attachment, AttachmentSpec, Outcome
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, DataRef
from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError
from tests.fakes.attachment import (
    CALLS,
    SERVERS,
    FakeCatalog,
    FakeConnections,
    FakeTracker,
    FakeTrackerSpec,
)
from tests.fakes.tecton import KEY as TECTON_KEY
from tests.fakes.tecton import FakeTecton

RECORDS: list[dict[str, Any]] = [
    {"v": 1, "seq": 0, "t": 1.0, "kind": "metric", "values": {"rmse": 1.5}, "step": 1},
    {"v": 1, "seq": 1, "t": 2.0, "kind": "progress", "message": "half"},
    {"v": 1, "seq": 2, "t": 3.0, "kind": "metric", "values": {"rmse": 1.25}, "step": 2},
    {"v": 1, "seq": 3, "t": 4.0, "kind": "checkpoint", "uri": "s3://b/c"},
    {"v": 1, "seq": 4, "t": 5.0, "kind": "result", "value": {"rmse": 1.25}},
    {"v": 1, "seq": 5, "t": 6.0, "kind": "end", "status": "succeeded"},
]
STATUSES = ["SUCCEEDED", "SKIPPED", "FAILED", "STOPPED", "LOST", "DEADLINE", "ABANDONED"]
NOBODY = "http://127.0.0.1:9"


@dataclass
class Harness:
    """
    One attachment with its remote side.

    :param connections: what opens it
    :param broken: connections by which it cannot come along; None where nothing can be in its way
    :param workload: one that it suits
    :param secrets: what must not appear where others can read it
    """

    spec: AttachmentSpec
    connections: FakeConnections
    broken: FakeConnections | None = None
    workload: str = "train"
    secrets: tuple[str, ...] = ()

    @property
    def attachment(self) -> Attachment:
        return self.spec.open(self.connections)

    def attempt(self, number: int = 1, task_id: str = "train") -> AttemptInfo:
        return replace(attempt(number, task_id), workload=self.workload)


@dataclass
class Tracker(Harness):
    """
    One that keeps runs.

    :param status_of: the remote run's status by what it added, in the contract's words
    :param runs: how many remote runs there are
    """

    status_of: Callable[[Additions], str] = lambda additions: ""
    runs: Callable[[], int] = lambda: 0


def fake_tracker() -> Tracker:
    tracker = SERVERS["contract"] = FakeTracker()
    return Tracker(
        FakeTrackerSpec("contract"),
        FakeConnections(),
        status_of=lambda additions: tracker.runs[str(additions.state["run_id"])].status,
        runs=lambda: len(tracker.runs),
    )


def mlflow(server_url: str) -> Tracker:
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

    def status_of(additions: Additions) -> str:
        run = server.call("GET", "runs/get", run_id=additions.state["run_id"])["run"]
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        return "RUNNING" if run["info"]["status"] == "RUNNING" else tags[OUTCOME_TAG]

    return Tracker(
        MlflowTracker(experiment=experiment),
        FakeConnections(mlflow=server),
        FakeConnections(mlflow=MlflowServer(NOBODY)),
        secrets=("mlflow-canary-secret",),
        status_of=status_of,
        runs=lambda: len(runs()),
    )


@pytest.fixture(params=["fake", pytest.param("mlflow", marks=pytest.mark.integration)])
def tracker(request: pytest.FixtureRequest) -> Tracker:
    return fake_tracker() if request.param == "fake" else mlflow(request.getfixturevalue("mlflow_url"))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "feature_store.yaml").write_text("project: flights\n")
    return tmp_path


@pytest.fixture
def tecton() -> Iterator[FakeTecton]:
    with FakeTecton() as server:
        yield server


def make(name: str, request: pytest.FixtureRequest) -> Harness:
    get = request.getfixturevalue
    if name == "fake tracker":
        return fake_tracker()
    if name == "fake catalog":
        CALLS.clear()
        return Harness(
            FakeCatalog("contract", folder=str(get("repo"))), FakeConnections(), secrets=("canary-of-the-catalog",)
        )
    if name == "mlflow":
        return mlflow(get("mlflow_url"))
    if name == "wandb":
        site = FakeConnections(wandb=WandbSite(entity="team", api_key="wandb-canary-key"))
        return Harness(WandbTracker(project="delays"), site, FakeConnections(), secrets=("wandb-canary-key",))
    if name == "wandb offline":
        return Harness(WandbTracker(mode="offline", offline_dir="/shared"), FakeConnections())
    if name.startswith("feast"):
        workload = "serve" if "serving" in name else "train"
        return Harness(FeastFeatures(str(get("repo")), "delay_v1"), FakeConnections(), workload=workload)
    return Harness(
        TectonFeatures("prod", "delay_v1"),
        FakeConnections(tecton=TectonServer(get("tecton").url, TECTON_KEY)),
        FakeConnections(tecton=TectonServer(get("tecton").url, "of a stranger")),
        workload="serve",
        secrets=(TECTON_KEY,),
    )


NAMES = ["fake tracker", "fake catalog", "wandb", "wandb offline", "feast", "feast serving", "tecton"]


@pytest.fixture(params=[*NAMES, pytest.param("mlflow", marks=pytest.mark.integration)])
def harness(request: pytest.FixtureRequest) -> Harness:
    return make(request.param, request)


def attempt(number: int = 1, task_id: str = "train") -> AttemptInfo:
    return AttemptInfo(
        TaskKey("here", "flights", "manual__1", task_id),
        submission_id=f"air-{task_id}-{number}",
        run_name=f"flights-{task_id}-g1",
        generation=1,
        try_number=number,
        workload="train",
        cluster="ray_default",
        storage="s3://ml/runs",
        parameters={"rounds": 5},
        inputs=(DataRef("raw", "s3://ml/rows"),),
    )


def through_the_store(additions: Additions) -> Additions:
    """Its state lies in Airflow's store between two processes."""
    return replace(additions, state=json.loads(json.dumps(dict(additions.state))))


# What every one must do


def test_it_implements_the_contract(harness: Harness) -> None:
    assert isinstance(harness.spec, AttachmentSpec)
    assert isinstance(harness.attachment, Attachment)


def test_what_an_author_writes_is_checked_and_survives_the_store(harness: Harness) -> None:
    (spec,) = specs_of(harness.spec, "tracker")
    stored = json.loads(json.dumps(to_json(spec)))

    assert from_json(stored) == spec
    assert from_json({**stored, "fields": {**stored["fields"], "of a newer version": 1}}) == spec


def test_its_templates_are_fields_of_its_own(harness: Harness) -> None:
    assert set(harness.spec.template_fields) <= set(asdict(harness.spec))  # type: ignore[call-overload]


def test_it_suits_its_workload_and_takes_over_inputs_that_there_are(harness: Harness) -> None:
    inputs = () if harness.workload == "serve" else (DataRef("raw", "s3://ml/rows"), DataRef("other", "s3://ml/other"))
    request = JobRequest("python train.py", payload={}, inputs=inputs)

    assert set(harness.spec.check(request, harness.workload, "s3://ml/runs")) <= {item.name for item in inputs}


def test_what_it_adds_is_plain(harness: Harness) -> None:
    added = harness.attachment.before_submit(harness.attempt())

    texts = (added.env_vars, added.secrets, added.application_env, added.links)
    assert all(isinstance(text, str) for given in texts for item in given.items() for text in item)
    assert json.loads(json.dumps(dict(added.state))) == added.state
    assert not any(name.startswith("AIR_") for name in (*added.env_vars, *added.secrets, *added.application_env))
    assert all(isinstance(data, bytes) for data in added.payload.values())
    assert all(isinstance(folder, Path) and folder.is_dir() for folder in added.folders.values())
    assert all(isinstance(item, DataRef) for item in added.inputs)
    assert "config.json" not in added.payload


def test_what_others_can_read_holds_no_secret(harness: Harness) -> None:
    added = harness.attachment.before_submit(harness.attempt())

    shown = [dict(given) for given in (added.env_vars, added.application_env, added.state, added.links)]
    text = json.dumps([*shown, to_json(harness.spec)]) + repr(added)
    assert not [secret for secret in harness.secrets if secret in text]


def test_every_call_may_be_repeated(harness: Harness) -> None:
    for _ in range(2):
        harness.attachment.probe()
    first, second = (harness.attachment.before_submit(harness.attempt()) for _ in range(2))
    state = through_the_store(first).state
    for records in (RECORDS[:4], RECORDS, []):
        harness.attachment.on_records(harness.attempt(), state, records)
    for _ in range(2):
        harness.attachment.on_end(harness.attempt(), state, Outcome("STOPPED"))

    assert second == first


@pytest.mark.parametrize("status", STATUSES)
def test_every_end_is_taken(harness: Harness, status: str) -> None:
    added = through_the_store(harness.attachment.before_submit(harness.attempt()))
    harness.attachment.on_end(harness.attempt(), added.state, Outcome(status, "why"))


@pytest.mark.parametrize("state", [{}, {"unknown": True}])
def test_a_state_that_is_not_its_own_does_no_harm(harness: Harness, state: dict[str, Any]) -> None:
    harness.attachment.on_records(harness.attempt(), state, RECORDS)
    harness.attachment.on_end(harness.attempt(), state, Outcome("FAILED"))

    if isinstance(harness, Tracker):
        assert harness.runs() == 0


def test_what_is_in_its_way_is_a_typed_error_before_any_cluster_starts(harness: Harness) -> None:
    if harness.broken is None:
        harness.attachment.probe()
    else:
        with pytest.raises(AirError):
            harness.spec.open(harness.broken).probe()


# What every one must do that keeps runs


def test_preparing_an_attempt_twice_makes_one_remote_run(tracker: Tracker) -> None:
    first = tracker.attachment.before_submit(attempt())
    second = tracker.attachment.before_submit(attempt())

    assert second == first
    assert tracker.runs() == 1


def test_a_probe_makes_no_run(tracker: Tracker) -> None:
    tracker.attachment.probe()

    assert tracker.runs() == 0


def test_another_task_gets_a_remote_run_of_its_own(tracker: Tracker) -> None:
    mine = tracker.attachment.before_submit(attempt())
    other = tracker.attachment.before_submit(attempt(task_id="tune"))
    tracker.attachment.on_end(attempt(), mine.state, Outcome("FAILED", "boom"))

    assert (tracker.status_of(mine), tracker.status_of(other)) == ("FAILED", "RUNNING")


def test_a_retry_can_begin_after_a_failure(tracker: Tracker) -> None:
    first = tracker.attachment.before_submit(attempt(1))
    tracker.attachment.on_end(attempt(1), first.state, Outcome("FAILED", "boom"))
    second = tracker.attachment.before_submit(attempt(2))
    tracker.attachment.on_end(attempt(2), second.state, Outcome("SUCCEEDED"))

    assert tracker.status_of(second) == "SUCCEEDED"


@pytest.mark.parametrize("status", STATUSES)
def test_every_end_is_noted(tracker: Tracker, status: str) -> None:
    added = through_the_store(tracker.attachment.before_submit(attempt()))
    tracker.attachment.on_end(
        attempt(), added.state, Outcome(status, "why", result={"rmse": 1.25} if status == "SUCCEEDED" else None)
    )

    assert tracker.status_of(added) == status


def test_records_may_come_again_after_an_interruption(tracker: Tracker) -> None:
    added = through_the_store(tracker.attachment.before_submit(attempt()))
    for records in (RECORDS[:4], RECORDS, []):
        tracker.attachment.on_records(attempt(), added.state, records)
    tracker.attachment.on_end(attempt(), added.state, Outcome("SUCCEEDED"))

    assert tracker.status_of(added) == "SUCCEEDED"


def test_an_end_may_be_told_twice(tracker: Tracker) -> None:
    added = tracker.attachment.before_submit(attempt())
    for _ in range(2):
        tracker.attachment.on_end(attempt(), added.state, Outcome("STOPPED"))

    assert tracker.status_of(added) == "STOPPED"


def test_the_end_of_an_attempt_that_was_killed_early_needs_no_records(tracker: Tracker) -> None:
    added = tracker.attachment.before_submit(attempt())
    tracker.attachment.on_end(attempt(), added.state, Outcome("LOST", "the head is gone"))

    assert tracker.status_of(added) == "LOST"


def test_a_remote_side_that_does_not_answer_is_a_typed_error_before_anything_is_submitted(tracker: Tracker) -> None:
    if tracker.broken is None:
        SERVERS["contract"].refuses = True
    with pytest.raises(AirError):
        tracker.spec.open(tracker.broken or tracker.connections).before_submit(attempt())


# What crosses processes


def test_an_attempt_survives_json() -> None:
    assert AttemptInfo.from_json(json.loads(json.dumps(attempt().to_json()))) == attempt()


def test_an_attempt_of_a_newer_version_is_read_without_what_is_not_known_here() -> None:
    assert AttemptInfo.from_json({**attempt().to_json(), "colour": "red"}) == attempt()


@pytest.mark.parametrize("data", [None, {}, [], {"key": 1}, {"key": {}}])
def test_what_names_no_attempt_is_refused(data: Any) -> None:
    with pytest.raises(ProtocolError):
        AttemptInfo.from_json(data)


# What only MLflow can show


@pytest.mark.integration
def test_mlflow_holds_params_and_each_metric_point_once_at_the_records_time(mlflow_url: str) -> None:
    server = MlflowServer(mlflow_url)
    tracking = MlflowTracker(experiment=f"points-{uuid.uuid4().hex}").open(FakeConnections(mlflow=server))
    state = tracking.before_submit(attempt()).state
    for records in (RECORDS[:2], RECORDS):
        tracking.on_records(attempt(), state, records)

    data = server.call("GET", "runs/get", run_id=state["run_id"])["run"]["data"]
    history = server.call("GET", "metrics/get-history", run_id=state["run_id"], metric_key="rmse")["metrics"]
    assert {item["key"]: item["value"] for item in data["params"]} == {"rounds": "5"}
    assert [(p["step"], p["value"], p["timestamp"]) for p in history] == [(1, 1.5, 1000), (2, 1.25, 3000)]


@pytest.mark.integration
def test_mlflow_names_the_features_as_feast_does(mlflow_url: str) -> None:
    harness = mlflow(mlflow_url)
    added = harness.attachment.before_submit(attempt())
    features = {"project": "flights", "feature_service": "delay_v1", "feature_views": ["a", "b"], "fingerprint": "0f"}
    harness.attachment.on_records(attempt(), added.state, [{"kind": "progress", "message": "", "features": features}])

    run = MlflowServer(mlflow_url).call("GET", "runs/get", run_id=added.state["run_id"])["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}

    assert {name: tags[name] for name in tags if name.startswith("feast.")} == {
        "feast.project": "flights",
        "feast.feature_service": "delay_v1",
        "feast.feature_views": "a,b",
    }
    assert tags["air.features_fingerprint"] == "0f"


@pytest.mark.integration
def test_mlflow_holds_one_nested_run_per_trial(mlflow_url: str) -> None:
    server = MlflowServer(mlflow_url)
    tracking = MlflowTracker(experiment=f"trials-{uuid.uuid4().hex}").open(FakeConnections(mlflow=server))
    added = tracking.before_submit(attempt())
    trials = [
        {"trial_id": "a", "config": {"lr": 0.1}, "metrics": {"rmse": 1.0}, "error": None},
        {"trial_id": "b", "config": {"lr": 0.2}, "metrics": {}, "error": "boom"},
    ]
    for _ in range(2):
        tracking.on_end(attempt(), added.state, Outcome("SUCCEEDED", result={"trials": trials}))

    query = f"tags.`mlflow.parentRunId` = '{added.state['run_id']}'"
    body = {"experiment_ids": [added.state["experiment_id"]], "filter": query}
    nested = server.call("POST", "runs/search", body)["runs"]
    assert sorted((run["info"]["status"], run["data"]["params"][0]["value"]) for run in nested) == [
        ("FAILED", "0.2"),
        ("FINISHED", "0.1"),
    ]


@pytest.mark.integration
def test_mlflow_refuses_a_deleted_experiment_before_any_cluster_starts(mlflow_url: str) -> None:
    server, name = MlflowServer(mlflow_url), f"deleted-{uuid.uuid4().hex}"
    made = server.call("POST", "experiments/create", {"name": name})
    server.call("POST", "experiments/delete", {"experiment_id": made["experiment_id"]})

    with pytest.raises(ConfigurationError, match="is deleted"):
        MlflowTracker(experiment=name).open(FakeConnections(mlflow=server)).probe()


@pytest.mark.integration
def test_mlflow_gives_the_page_of_its_run(mlflow_url: str) -> None:
    added = mlflow(mlflow_url).attachment.before_submit(attempt())

    page = f"{mlflow_url}/#/experiments/{added.state['experiment_id']}/runs/{added.state['run_id']}"
    assert added.links == {"mlflow_url": page}


# What only those can show that need their connection for nothing but the start


@pytest.mark.parametrize("name", ["wandb", "tecton"])
def test_a_job_that_has_ended_is_judged_without_the_connection(name: str, request: pytest.FixtureRequest) -> None:
    made = make(name, request)
    added = made.attachment.before_submit(made.attempt())

    later = made.spec.open(FakeConnections())
    later.on_records(made.attempt(), added.state, RECORDS)
    later.on_end(made.attempt(), added.state, Outcome("SUCCEEDED"))
