"""A trigger whose connection is gone says so, instead of ending without an event."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_air.triggers.base import OneEventTrigger
from airflow_provider_air.triggers.mlflow import MlflowModelTrigger
from airflow_provider_air.triggers.tecton import TectonReadyTrigger

READY: dict[str, Any] = {"workspace": "prod", "kind": "feature_view", "name": "n", "store": "online", "ready_at": None}


@pytest.mark.parametrize(
    "trigger",
    [
        MlflowModelTrigger(mlflow_conn_id="gone", model_name="m"),
        TectonReadyTrigger(tecton_conn_id="gone", deadline=None, poll_interval_seconds=1.0, **READY),
    ],
    ids=["mlflow", "tecton"],
)
async def test_the_event_names_the_connection(trigger: OneEventTrigger, monkeypatch: pytest.MonkeyPatch) -> None:
    async def absent(conn_id: str) -> None:
        # As in a triggerer; here Airflow would look into its own database, and block.
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    monkeypatch.setattr(BaseHook, "aget_connection", absent)
    event = await trigger.event()

    assert event["outcome"] == "refused"
    assert "There is no Airflow connection 'gone'" in event["message"]
