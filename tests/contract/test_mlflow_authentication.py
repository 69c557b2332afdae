"""A real MLflow server that wants a login and a password."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from mlflow_server import mlflow_server

from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.mlflow import MlflowHook
from tests.fakes.attachment import FakeConnections

pytestmark = pytest.mark.integration

PASSWORD = "canary-admin-password-93b0"
KEY = TaskKey("here", "flights", "manual__1", "train")
ATTEMPT = AttemptInfo(KEY, "air-train-1", "train-g1", 1, 1, "train", "ray_default", parameters={"rounds": 5})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mlflow_server(PASSWORD) as url:
        yield url


def connect(monkeypatch: pytest.MonkeyPatch, url: str, **fields: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": url, **fields}))


def opened() -> MlflowTracking:
    server = MlflowHook().get_conn()
    return MlflowTracker(experiment="with a password").open(FakeConnections(mlflow=server))


def test_a_run_is_tracked_and_the_job_gets_the_password_out_of_sight(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, url, login="admin", password=PASSWORD)
    tracking = opened()

    added = tracking.before_submit(ATTEMPT)
    tracking.on_end(ATTEMPT, added.state, Outcome("FAILED", "boom"))

    asked = {"params": {"run_id": added.state["run_id"]}, "trust_env": False}
    run = httpx.get(f"{url}/api/2.0/mlflow/runs/get", auth=("admin", PASSWORD), **asked)  # type: ignore[arg-type]
    assert run.json()["run"]["info"]["status"] == "FAILED"
    assert added.secrets == {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    assert PASSWORD not in json.dumps([dict(added.env_vars), dict(added.state)])
    assert MlflowHook().test_connection() == (True, "MLflow answers and accepts the credentials")


@pytest.mark.parametrize("fields", [{}, {"login": "admin", "password": "wrong"}], ids=["none", "wrong"])
def test_a_refusal_names_the_connection_and_tells_no_password(
    url: str, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    connect(monkeypatch, url, **fields)

    with pytest.raises(ConfigurationError, match=r"\(401\).*Check login, password or token") as caught:
        opened().before_submit(ATTEMPT)

    assert "wrong" not in str(caught.value)
    assert MlflowHook().test_connection()[0] is False
