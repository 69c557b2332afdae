"""Airflow's connections, as the layers below ask for them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.connections.base import fields_of_connection, get_connection

# kind, which is a module beside this one -> what makes of a connection what the layers below take; loads on first use
_MAKERS: Mapping[str, str] = {
    "aws": "ConnectedAws",
    "google": "ConnectedGoogle",
    "kubernetes": "ConnectedKubernetes",
    "mlflow": "mlflow_server_of",
    "ray": "ray_connection_of",
    "tecton": "tecton_server_of",
    "wandb": "wandb_site_of",
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
        if kind not in _MAKERS:
            return fields_of_connection(get_connection(conn_id, f"Create one of type {kind!r}"))
        module = importlib.import_module(f"{__package__}.{kind}")
        return getattr(module, _MAKERS[kind])(get_connection(conn_id, module.HINT))
