"""Airflow's connections, as the layers below ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import Connection

from airflow_provider_air.connections import aws, google, mlflow, ray, tecton, wandb
from airflow_provider_air.connections.base import fields_of_connection, get_connection

# kind -> what to create where there is no such connection, and what is made of one
_KINDS: Mapping[str, tuple[str, Callable[[Connection], Any]]] = {
    "aws": (aws.HINT, aws.ConnectedAws),
    "google": (google.HINT, google.ConnectedGoogle),
    "mlflow": (mlflow.HINT, mlflow.mlflow_server_of),
    "ray": (ray.HINT, ray.ray_connection_of),
    "tecton": (tecton.HINT, tecton.tecton_server_of),
    "wandb": (wandb.HINT, wandb.wandb_site_of),
}


class AirflowConnections:
    """The :class:`~airflow_provider_air.contracts.connections.Connections` of Airflow's processes."""

    def open(self, kind: str, conn_id: str) -> Any:
        """
        Read a connection; blocks.

        :raises ConfigurationError: there is none of this id, or it is malformed
        :raises MissingExtraError: what opens this kind is not installed
        :raises UnavailableError: Airflow's api-server does not answer
        """
        hint, make = _KINDS.get(kind, (f"Create one of type {kind!r}", fields_of_connection))
        return make(get_connection(conn_id, hint))
