"""A real MLflow server that wants a login and a password."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from mlflow_server import mlflow_server

from airflow_provider_air.attachment import Outcome, Voyage
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.mlflow import MlflowHook, open_tracker
from airflow_provider_air.identity import TaskKey
from airflow_provider_air.trackers.mlflow import MlflowTracker

pytestmark = pytest.mark.integration

PASSWORD = "canary-admin-password-93b0"
KEY = TaskKey("here", "flights", "manual__1", "train")
VOYAGE = Voyage(KEY, "air-train-1", KEY.run_name(1), 1, 1, "train", "ray_default", {"rounds": 5})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with mlflow_server(PASSWORD) as url:
        yield url


def connect(monkeypatch: pytest.MonkeyPatch, url: str, **fields: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": url, **fields}))


def test_a_run_is_tracked_and_the_job_gets_the_password_out_of_sight(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, url, login="admin", password=PASSWORD)
    tracking = open_tracker(MlflowTracker(experiment="with a password"))

    luggage = tracking.before_submit(VOYAGE)
    tracking.on_end(VOYAGE, luggage.state, Outcome("FAILED", "boom"))

    asked = {"params": {"run_id": luggage.state["run_id"]}, "trust_env": False}
    run = httpx.get(f"{url}/api/2.0/mlflow/runs/get", auth=("admin", PASSWORD), **asked)  # type: ignore[arg-type]
    assert run.json()["run"]["info"]["status"] == "FAILED"
    assert luggage.secrets == {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    assert PASSWORD not in json.dumps([dict(luggage.env_vars), dict(luggage.state)])
    assert MlflowHook().test_connection() == (True, "MLflow answers and accepts the credentials")


@pytest.mark.parametrize("fields", [{}, {"login": "admin", "password": "wrong"}], ids=["none", "wrong"])
def test_a_refusal_names_the_connection_and_tells_no_password(
    url: str, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str]
) -> None:
    connect(monkeypatch, url, **fields)

    with pytest.raises(ConfigurationError, match=r"\(401\).*Check login, password or token") as caught:
        open_tracker(MlflowTracker(experiment="with a password")).before_submit(VOYAGE)

    assert "wrong" not in str(caught.value)
    assert MlflowHook().test_connection()[0] is False
