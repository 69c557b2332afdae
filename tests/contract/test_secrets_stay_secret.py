"""One run with a secret in every connection: none is in anything that somebody who only looks can see."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from airflow.sdk import Asset

from airflow_provider_air import MlflowTracker, RayTrainOperator, S3Storage, WandbTracker
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import UnavailableError
from tests.deferrals import DEFERS, deferred, event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.object_stores import ROLE, STATIC_SECRET, aws_connection, s3_client, s3_server

pytestmark = pytest.mark.integration

MLFLOW_PASSWORD = "canary-mlflow-41d7"
WANDB_KEY = "canary" + "0" * 34
RESULT: dict[str, Any] = {
    "run_name": "r", "uri": "s3://models/r", "metrics": {"rmse": 1.0}, "best_metrics": None, "checkpoint": None,
    "best_checkpoint": None, "checkpoints": [], "history": [], "history_rows": 0, "history_uri": "",
    "resumed_from": None, "seconds": 1.0, "features": {"feature_service": "delay_v1"},
}  # fmt: skip
MODEL = Asset("model://delays")


@pytest.fixture
def head() -> Iterator[FakeRayDashboard]:
    with FakeRayDashboard() as head:
        yield head


@pytest.fixture(autouse=True)
def connections(
    head: FakeRayDashboard, mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pytest.MonkeyPatch]:
    """Connections of every type that a training may name, each with a secret."""
    with s3_server() as url:
        s3_client(url).create_bucket(Bucket="models")
        made = {
            "ray_default": {"conn_type": "ray", "host": head.url, "password": head.token},
            "mlflow_default": {
                "conn_type": "mlflow",
                "host": mlflow_url,
                "login": "air",
                "password": MLFLOW_PASSWORD,
            },
            "wandb_default": {"conn_type": "wandb", "password": WANDB_KEY, "extra": json.dumps({"entity": "air"})},
        }
        for name, fields in made.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))
        monkeypatch.setenv("AIRFLOW_CONN_STORE", aws_connection(url, role_arn=ROLE))
        monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS", "0")
        yield monkeypatch


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with supervised(Supervisor()) as supervisor:
        yield supervisor


def train(tracker: Any) -> RayTrainOperator:
    return RayTrainOperator(
        task_id="train",
        train_loop="code:train",
        tracker=tracker,
        storage=S3Storage("store", "s3://models/runs", credentials="session"),
        execution_timeout=timedelta(minutes=5),
        outlets=[MODEL],
        **DEFERS,
    )


def in_mlflow(url: str) -> str:
    """Give all that the tracking server tells of all runs."""
    answer = httpx.post(f"{url}/api/2.0/mlflow/experiments/search", json={"max_results": 100}, trust_env=False)
    ids = [found["experiment_id"] for found in answer.json()["experiments"]]
    runs = httpx.post(f"{url}/api/2.0/mlflow/runs/search", json={"experiment_ids": ids}, trust_env=False)
    return answer.text + runs.text


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_no_secret_of_a_connection_is_shown_anywhere(
    head: FakeRayDashboard,
    supervisor: Supervisor,
    mlflow_url: str,
    kind: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Airflow's default; below it, botocore logs what AWS answers.
    caplog.set_level(logging.INFO)
    tracker = MlflowTracker(experiment="secrets") if kind == "mlflow" else WandbTracker(project="secrets")
    store, operator = Store(), train(tracker)
    context = task_context(store)
    context["outlet_events"] = {MODEL: type("Event", (), {"extra": {}})()}

    pause = deferred(operator, context)
    (name,) = head.jobs
    write_records(head, name, {"kind": "result", "value": encode(RESULT)}, {"kind": "end", "status": "succeeded"})
    head.append_log(name, "Hello\n")
    head.set_status(name, "SUCCEEDED")
    event = event_of(pause.trigger)
    result = resume(operator, context, pause, event)

    parts = {
        "rendered fields": {field: repr(getattr(operator, field)) for field in operator.template_fields},
        "XComs": [context["ti"].xcoms, supervisor.history, result],
        "state store": store.rows,
        "trigger": [pause.trigger.serialize(), event],
        "job listing": httpx.get(f"{head.url}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"}).text,
        "asset extra": context["outlet_events"][MODEL].extra,
        "tracker": in_mlflow(mlflow_url),
        "logs": [caplog.text, *capfd.readouterr()],
        "request paths": [str(request) for request in head.requests],
    }
    inside = head.shipped()
    session = json.loads(next(line for line in inside.splitlines() if '"AWS_SESSION_TOKEN"' in line))
    secrets: dict[str, str] = {
        "Ray token": str(head.token),
        "tracker": MLFLOW_PASSWORD if kind == "mlflow" else WANDB_KEY,
        "S3 key": STATIC_SECRET,
        "S3 session key": session["AWS_SECRET_ACCESS_KEY"],
        "S3 session": session["AWS_SESSION_TOKEN"],
    }
    shown = [
        (what, where) for what, secret in secrets.items() for where, told in parts.items() if secret in _text(told)
    ]
    assert shown == []
    # Else the scan would look for what is not in use. The key that made the session stays here.
    assert [what for what, secret in secrets.items() if secret in inside] == [
        "tracker",
        "S3 session key",
        "S3 session",
    ]
    assert "s3://models/runs" in _text(parts["rendered fields"])
    assert name in _text(parts["job listing"])


def _text(told: Any) -> str:
    return told if isinstance(told, str) else json.dumps(told, default=str)


def test_an_error_does_not_tell_them_either(
    head: FakeRayDashboard, supervisor: Supervisor, connections: pytest.MonkeyPatch
) -> None:
    dead = {"conn_type": "mlflow", "host": "http://127.0.0.1:9", "login": "air", "password": MLFLOW_PASSWORD}
    connections.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps(dead))

    with pytest.raises(UnavailableError, match="MLflow does not answer") as caught:
        train(MlflowTracker()).execute(task_context(Store()))

    said = f"{caught.value}{caught.value.__cause__}{sys.exc_info()}"
    assert [secret for secret in (MLFLOW_PASSWORD, str(head.token), STATIC_SECRET) if secret in said] == []
    assert head.jobs == {}
