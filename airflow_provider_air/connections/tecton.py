"""The ``tecton`` connection."""

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.connections.base import address_of, extra_of, verify_of
from airflow_provider_air.errors import ConfigurationError

HINT = "Create one of type 'tecton' with the deployment's address and an API key as password"


def tecton_server_of(connection: Connection) -> TectonServer:
    """
    Turn a ``tecton`` connection into a server.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    where = f"connection {connection.conn_id}"
    host = address_of(connection, "https")
    if not host:
        raise ConfigurationError("The tecton connection has no host", where=where, hint="https://example.tecton.ai")
    if not connection.password:
        raise ConfigurationError("The tecton connection has no password", where=where, hint="Put the API key there")
    mask_secret(connection.password)
    return TectonServer(host, connection.password, verify_of(extra_of(connection), where))
