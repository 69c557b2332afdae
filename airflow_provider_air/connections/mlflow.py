"""The ``mlflow`` connection."""

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.connections.base import CREDENTIALS_HINT, extra_of, url_of, verify_of
from airflow_provider_air.errors import ConfigurationError

HINT = "Create one of type 'mlflow' with the tracking server's address"


def mlflow_server_of(connection: Connection) -> MlflowServer:
    """
    Turn an ``mlflow`` connection into a server.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    extra = extra_of(connection)
    where = f"connection {connection.conn_id}"
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise ConfigurationError("The mlflow connection has no host", where=where, hint="Set it to http://host:5000")
    check_bare(host, "The host", where=where, hint=CREDENTIALS_HINT)
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{host}"
    if not host.startswith(("http://", "https://")):
        raise ConfigurationError("The host must be an http:// or https:// address", where=where)
    scheme, _, rest = host.partition("://")
    place, _, path = rest.partition("/")
    if connection.port and ":" not in place:
        place = f"{place}:{connection.port}"
    token = extra.get("token") or (connection.password if connection.password and not connection.login else None)
    for secret in (token, connection.password):
        if secret:
            mask_secret(secret)
    return MlflowServer(
        f"{scheme}://{place}" + (f"/{path}" if path else ""),
        ui_url=url_of(extra, "ui_url", where),
        auth=(connection.login, connection.password or "") if connection.login else None,
        token=token,
        verify=verify_of(extra, where),
    )
