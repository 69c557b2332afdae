"""The ``mlflow`` connection."""

from __future__ import annotations

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.connections import extra_of, get_connection, verify_of
from airflow_provider_air.trackers.mlflow import MlflowTracker, MlflowTracking
from airflow_provider_air.trackers.mlflow_server import MlflowServer

HINT = "Create one of type 'mlflow' with the tracking server's address"


def open_tracker(spec: MlflowTracker) -> MlflowTracking:
    """
    Turn an author's spec into a tracker that can be used; for workers and threads of the triggerer.

    :raises ConfigurationError: the connection is absent or malformed
    """
    return MlflowTracking(spec, MlflowHook(spec.mlflow_conn_id).get_conn())


class MlflowHook(BaseHook):
    """
    Speaks to the MLflow server behind an ``mlflow`` connection; needs no ``mlflow`` installed.

    :param mlflow_conn_id: the connection
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow_default"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.mlflow_conn_id = mlflow_conn_id

    def get_conn(self) -> MlflowServer:
        """
        Open the server.

        :raises ConfigurationError: the connection is absent or malformed
        """
        return server_of(get_connection(self.mlflow_conn_id, HINT))

    def test_connection(self) -> tuple[bool, str]:
        """Try the address and the credentials; ``/health`` would answer even where every call is refused."""
        try:
            self.get_conn().call("GET", "experiments/search", max_results=1)
        except AirError as error:
            return False, str(error)
        return True, "MLflow answers and accepts the credentials"


def server_of(connection: Connection) -> MlflowServer:
    """
    Turn an ``mlflow`` connection into a server.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    extra = extra_of(connection)
    where = f"connection {connection.conn_id}"
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise ConfigurationError("The mlflow connection has no host", where=where, hint="Set it to http://host:5000")
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
        ui_url=extra.get("ui_url"),
        auth=(connection.login, connection.password or "") if connection.login else None,
        token=token,
        verify=verify_of(extra, where),
    )
