"""Waits in the triggerer until a registered model has a version or an alias, by HTTP only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_air.attachments.mlflow.models import ModelRegistry
from airflow_provider_air.connections.base import aget_connection
from airflow_provider_air.connections.mlflow import HINT, mlflow_server_of
from airflow_provider_air.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer


class MlflowModelTrigger(PollingTrigger):
    """
    Fires ``{"outcome", "version", "message"}``; the outcome is ready, deadline, unreachable or refused.

    :param alias: wait until a version has it; without it, until there is a version
    :param at_least: the lowest version that counts
    :param deadline: epoch seconds at which it gives up
    :param poll_interval_seconds: the pause between two looks
    """

    there = "ready"
    value_name = "version"

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
        fields = {
            "mlflow_conn_id": mlflow_conn_id,
            "model_name": model_name,
            "alias": alias,
            "at_least": at_least,
            "deadline": deadline,
            "poll_interval_seconds": poll_interval_seconds,
        }
        super().__init__(fields, **more)

    async def server(self) -> MlflowServer:
        """Open MLflow's."""
        return mlflow_server_of(await aget_connection(self.fields["mlflow_conn_id"], HINT))

    def look(self, server: MlflowServer) -> int | None:
        """Ask for the version."""
        fields = self.fields
        found = ModelRegistry(server).look(fields["model_name"], fields["alias"], fields["at_least"])
        return None if found is None else found.version
