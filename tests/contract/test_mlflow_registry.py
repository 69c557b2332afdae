"""Registration, promotion and waiting, by the real registry of a real MLflow server."""

from __future__ import annotations

import asyncio
import json
import math
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_air import MlflowModelSensor, MlflowPromoteOperator
from airflow_provider_air.attachments.mlflow.models import ModelRegistry, ModelVersion
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError, ModelRejectedError, ProtocolError, UnavailableError
from tests.fakes.attachment import FakeConnections
from tests.fakes.task_context import FakeTaskInstance, Store, task_context

pytestmark = pytest.mark.integration
CHECKPOINT = "s3://models/run/checkpoint_1"


class Model:
    """A registered model of one test, and runs of a DAG that make versions of it."""

    def __init__(self, url: str) -> None:
        self.name = f"delays-{uuid.uuid4().hex}"
        self.server = MlflowServer(url)
        self.registry = ModelRegistry(self.server)

    def train(
        self,
        run_id: str,
        rmse: float | None,
        *,
        checkpoint: str = CHECKPOINT,
        features: Any = None,
        told: dict[str, Any] | None = None,
        **tags: str,
    ) -> AttemptInfo:
        """
        Do what a training with a tracker does.

        :param rmse: what it reports last
        :param told: more of its result
        """
        key = TaskKey("here", "flights", run_id, "train")
        attempt = AttemptInfo(key, f"air-{run_id}", f"train-{run_id}-g1", 1, 1, "train", "ray_default")
        spec = MlflowTracker(experiment=self.name, tags=tags, register_as=self.name)
        tracking = spec.open(FakeConnections(mlflow=self.server))
        state = tracking.before_submit(attempt).state
        if rmse is not None:
            record = {"v": 1, "seq": 0, "t": 1.0, "kind": "metric", "values": {"rmse": rmse}, "step": 1}
            tracking.on_records(attempt, state, [record])
        for _ in range(2):  # a retry hands the outcome over again
            self.told = tracking.on_end(
                attempt,
                state,
                Outcome("SUCCEEDED", result={"checkpoint": checkpoint, "features": features, **(told or {})}),
            )
        return attempt

    def promote(self, run_id: str, **options: Any) -> Any:
        """Run the operator as a worker does."""
        fields = {"metric": "rmse", "mode": "min", "model_name": self.name, **options}
        operator = MlflowPromoteOperator(task_id="promote", mlflow_conn_id="registry", **fields)
        run = SimpleNamespace(dag_id="flights", run_id=run_id)
        self.ti = FakeTaskInstance()
        return operator.execute({"ti": self.ti, "dag_run": run})

    def aliases(self) -> dict[str, int]:
        """Give which version has which alias."""
        found = {alias: self.registry.with_alias(self.name, alias) for alias in ("champion", "previous-champion")}
        return {alias: version.version for alias, version in found.items() if version is not None}


@pytest.fixture
def model(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("AIRFLOW_CONN_REGISTRY", json.dumps({"conn_type": "mlflow", "host": mlflow_url}))
    return Model(mlflow_url)


def test_a_run_becomes_one_version_with_its_tags(model: Model) -> None:
    model.train("a", 2.0, dataset="2013")

    (version,) = model.registry.versions(model.name)

    assert (version.version, version.source) == (1, CHECKPOINT)
    assert {"dataset": "2013", "air.dag_id": "flights", "air.run_id": "a"}.items() <= version.tags.items()
    assert model.told == {"model": {"name": model.name, "version": 1, "url": model.server.model_url(model.name, 1)}}
    assert model.registry.metrics(version) == {"rmse": 2.0}


def with_best(rmse: float | None) -> dict[str, Any]:
    """Give the result of a training whose best checkpoint was reported with this."""
    metrics = {} if rmse is None else {"rmse": rmse}
    return {
        "best_checkpoint": f"{CHECKPOINT}0",
        "checkpoints": [{"uri": f"{CHECKPOINT}0", "metrics": metrics}, {"uri": CHECKPOINT, "metrics": {"rmse": 9.0}}],
    }


def test_a_version_is_judged_by_its_own_checkpoint_and_not_by_the_last_report(model: Model) -> None:
    model.train("ends badly", 9.0, told=with_best(1.0))
    told = model.promote("ends badly", threshold=2.0)
    assert {"passed": True, "why": "it passed", "version": 1}.items() <= model.ti.xcoms["mlflow_gate"].items()
    model.train("ends well", 0.5, told=with_best(3.0))
    with pytest.raises(AirflowSkipException, match="rmse=3 is worse than the threshold 2"):
        model.promote("ends well", threshold=2.0)
    verdict = model.ti.xcoms["mlflow_gate"]
    assert (verdict["passed"], verdict["version"], verdict["metric"]) == (False, 2, "rmse")
    assert "rmse=3 is worse than the threshold 2" in verdict["why"]
    model.train("without", 0.5, told=with_best(None))
    with pytest.raises(AirflowSkipException, match=r"no finite metric 'rmse', but \[\]"):
        model.promote("without", threshold=2.0)

    assert (told["version"], told["source"], told["uri"]) == (1, f"{CHECKPOINT}0", f"models:/{model.name}/1")
    run = model.server.call("GET", "runs/get", run_id=model.registry.version(model.name, 1).run_id)["run"]
    assert {point["key"]: point["value"] for point in run["data"]["metrics"]} == {"rmse": 9.0, "best.rmse": 1.0}
    assert model.aliases() == {"champion": 1}


def test_a_version_that_somebody_else_has_made_is_judged_by_its_run(model: Model) -> None:
    attempt = model.train("a", 2.0)
    run_id = model.registry.versions(model.name)[0].run_id
    model.registry._server.call(
        "POST", "model-versions/create", {"name": model.name, "source": CHECKPOINT, "run_id": run_id}
    )

    assert model.promote(attempt.key.run_id, version=2, threshold=2.5)["version"] == 2


def test_a_deployment_learns_with_which_features_the_model_was_trained(model: Model) -> None:
    model.train("plain", 3.0)
    assert model.promote("plain")["feature_service"] is None
    model.train("joined", 2.0, features={"project": "p", "feature_service": "delay_v2", "feature_views": ["a", "b"]})

    assert model.promote("joined")["feature_service"] == "delay_v2"
    assert model.registry.version(model.name, 2).tags["feast.feature_views"] == "a,b"


def test_a_local_checkpoint_is_uploaded_and_can_be_read(model: Model, mlflow_url: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model 1.txt").write_text("tree")

    model.train("a", 2.0, checkpoint=str(tmp_path))

    (version,) = model.registry.versions(model.name)
    path = version.source.partition(":")[2].lstrip("/") + "/deep/model%201.txt"
    assert httpx.get(f"{mlflow_url}/api/2.0/mlflow-artifacts/artifacts/{path}").text == "tree"


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        ("/nowhere/checkpoint", ConfigurationError, "cannot be read on this worker"),
        ("", ProtocolError, "no checkpoint"),
    ],
)
def test_what_cannot_be_registered_says_why(model: Model, checkpoint: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        model.train("a", 2.0, checkpoint=checkpoint)
    assert model.registry.versions(model.name) == []


def test_only_a_better_model_takes_the_alias(model: Model) -> None:
    model.train("a", 2.0)
    assert model.promote("a", threshold=2.5)["promoted"] is True
    model.train("worse", 2.1)
    with pytest.raises(AirflowSkipException, match=r"rmse=2\.1 is not better than the current 2 by 0"):
        model.promote("worse")
    assert model.aliases() == {"champion": 1}

    model.train("better", 1.5)
    told = model.promote("better", min_improvement=0.5)
    again = model.promote("better")

    assert (told["version"], told["previous"], told["source"]) == (3, 1, CHECKPOINT)
    assert again["promoted"] is True
    assert model.aliases() == {"champion": 3, "previous-champion": 1}
    assert model.registry.version(model.name, 3).tags["air.promoted.champion"] == "1 -> 3"


@pytest.mark.parametrize(
    ("rmse", "options", "message"),
    [
        (3.0, {"threshold": 2.5}, "worse than the threshold 2.5"),
        (None, {}, "no finite metric 'rmse'"),
        (math.nan, {}, "no finite metric 'rmse'"),
        (1.0, {"metric": "mae"}, r"no finite metric 'mae', but \['rmse'\]"),
    ],
    ids=["threshold", "absent", "not a number", "another metric"],
)
def test_a_first_model_must_pass_the_threshold(
    model: Model, rmse: float | None, options: dict[str, Any], message: str
) -> None:
    model.train("a", rmse)

    with pytest.raises(ModelRejectedError, match=message):
        model.promote("a", on_rejection="fail", **options)

    assert model.aliases() == {}


def test_models_that_were_judged_by_other_data_are_not_compared(model: Model) -> None:
    model.train("a", 2.0, dataset="2012")
    model.promote("a", same_tag="dataset")
    model.train("b", 1.0, dataset="2013")

    with pytest.raises(AirflowSkipException, match=r"'dataset' is '2013' and the current version's is '2012'"):
        model.promote("b", same_tag="dataset")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "best"}, "'mode' must be min or max"),
        ({"metric": ""}, "'metric' is empty"),
        ({"threshold": "low"}, "'threshold' must be a number"),
        ({"threshold": math.nan}, "'threshold' must be a number"),
        ({"min_improvement": -1}, "must not be negative"),
        ({"on_rejection": "warn"}, "'on_rejection' must be skip or fail"),
        ({"version": "newest"}, "'version' must be a number"),
        ({"version": 7}, "has no version 7"),
        ({"alias": ""}, "must not be empty"),
        ({}, "registered no version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_moves_nothing(model: Model, options: dict[str, Any], message: str) -> None:
    model.train("another run", 2.0)

    with pytest.raises(AirflowFailException, match=message):
        model.promote("this run", **options)

    assert model.aliases() == {}


def test_an_alias_that_somebody_else_moved_is_not_overwritten(model: Model) -> None:
    for run_id in ("a", "b"):
        model.train(run_id, 2.0)
    first, second = model.registry.versions(model.name)
    model.registry.promote(first, "champion", instead_of=None)

    with pytest.raises(UnavailableError, match="moved the alias 'champion'"):
        model.registry.promote(second, "champion", instead_of=None)

    assert model.aliases() == {"champion": 1}


def sensor(model: Model, **options: Any) -> Any:
    fields = {"model_name": model.name, "mlflow_conn_id": "registry", "timeout": 60, "poke_interval": 0.1, **options}
    return MlflowModelSensor(task_id="wait", **fields)


async def event_of(trigger: Any) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError("the trigger ended without an event")


def test_a_sensor_waits_for_a_version_and_for_an_alias(model: Model) -> None:
    for_version, for_alias = sensor(model), sensor(model, alias="champion", at_least="1")
    with pytest.raises(TaskDeferred) as deferred:
        for_version.execute(task_context(Store()))

    async def train_while_it_waits() -> dict[str, Any]:
        waiting = asyncio.create_task(event_of(deferred.value.trigger))
        await asyncio.to_thread(model.train, "a", 2.0)
        return await waiting

    assert for_version.on_event({}, asyncio.run(train_while_it_waits())) == 1
    with pytest.raises(TaskDeferred):
        for_alias.execute(task_context(Store()))
    model.promote("a")
    assert for_alias.execute(task_context(Store())) == 1
    assert sensor(model, at_least=2, deferrable=False).poke({}).is_done is False


def test_a_sensor_says_what_it_waited_for(model: Model) -> None:
    late = sensor(model, alias="champion")
    late.timeout = 0
    with pytest.raises(TaskDeferred) as deferred:
        late.execute(task_context(Store()))
    event = asyncio.run(event_of(deferred.value.trigger))
    with pytest.raises(AirflowSensorTimeout, match=rf"{model.name} @champion was not there within 0 s"):
        late.on_event({}, event)


def test_a_version_reads_back(model: Model) -> None:
    model.train("a", 2.0)
    (version,) = model.registry.versions(model.name)
    assert model.registry.version(model.name, 1) == version == ModelVersion(**vars(version))
