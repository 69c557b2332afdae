"""Waits in the triggerer until a registered model has a version or an alias, by HTTP only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_provider_air.attachments.mlflow.models import ModelRegistry
from airflow_provider_air.connections.base import aget_connection
from airflow_provider_air.connections.mlflow import HINT, mlflow_server_of
from airflow_provider_air.contracts.runs import event_text
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.triggers.base import OneEventTrigger


class MlflowModelTrigger(OneEventTrigger):
    """
    Fires ``{"outcome", "version", "message"}``; the outcome is ready, deadline or refused.

    A server that does not answer is asked again until the deadline.

    :param alias: wait until a version has it; without it, until there is a version
    :param at_least: the lowest version that counts
    :param deadline: epoch seconds at which it gives up
    :param poll_interval_seconds: the pause between two looks
    """

    def __init__(
        self,
        *,
        mlflow_conn_id: str,
        model_name: str,
        alias: str | None = None,
        at_least: int = 1,
        deadline: float | None = None,
        poll_interval_seconds: float = 10.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.mlflow_conn_id = mlflow_conn_id
        self.model_name = model_name
        self.alias = alias
        self.at_least = at_least
        self.deadline = deadline
        self.poll_interval_seconds = poll_interval_seconds

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "mlflow_conn_id": self.mlflow_conn_id,
            "model_name": self.model_name,
            "alias": self.alias,
            "at_least": self.at_least,
            "deadline": self.deadline,
            "poll_interval_seconds": self.poll_interval_seconds,
        }

    async def event(self) -> dict[str, Any]:
        """Look until it is there or the time is over; runs in the triggerer."""
        try:
            outcome, version, message = await self._wait()
        except AirError as error:
            outcome, version, message = "refused", None, str(error)
        return {"outcome": outcome, "version": version, "message": event_text(message, self.log)}

    async def _wait(self) -> tuple[str, int | None, str]:
        server = mlflow_server_of(await aget_connection(self.mlflow_conn_id, HINT))
        registry = ModelRegistry(server)
        while True:
            message = "it is not there yet"
            try:
                version = await RealClock().in_spare_thread(registry.look, self.model_name, self.alias, self.at_least)
                if version is not None:
                    return "ready", version.version, ""
            except UnavailableError as error:
                message = str(error)
            if self.deadline is not None and time.time() >= self.deadline:
                return "deadline", None, message
            await asyncio.sleep(self.poll_interval_seconds)
