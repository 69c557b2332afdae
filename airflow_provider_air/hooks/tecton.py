"""The ``tecton`` connection, and what replicas learn from it."""

from __future__ import annotations

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.drivers.online.tecton import URL
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.feature_stores.contract import OnlineStore
from airflow_provider_air.feature_stores.tecton import TectonFeatures, TectonServer
from airflow_provider_air.hooks.connections import get_connection

HINT = "Create one of type 'tecton' with the deployment's address and an API key as password"


class TectonHook(BaseHook):
    """
    Speaks to the Tecton behind a ``tecton`` connection; needs no ``tecton`` installed.

    :param tecton_conn_id: the connection
    """

    conn_name_attr = "tecton_conn_id"
    default_conn_name = "tecton_default"
    conn_type = "tecton"
    hook_name = "Tecton"

    def __init__(self, tecton_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.tecton_conn_id = tecton_conn_id

    def get_conn(self) -> TectonServer:
        """
        Open the server.

        :raises ConfigurationError: the connection is absent or malformed
        """
        return server_of(get_connection(self.tecton_conn_id, HINT))

    def test_connection(self) -> tuple[bool, str]:
        """Look at the fields alone: every documented route needs a workspace."""
        try:
            server = self.get_conn()
        except AirError as error:
            return False, str(error)
        return True, f"The fields are complete; {server.base_url} was not asked, since that needs a workspace"


def server_of(connection: Connection) -> TectonServer:
    """
    Turn a ``tecton`` connection into a server.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    where = f"connection {connection.conn_id}"
    host = (connection.host or "").strip().rstrip("/")
    if not host:
        raise ConfigurationError("The tecton connection has no host", where=where, hint="https://example.tecton.ai")
    if not connection.password:
        raise ConfigurationError("The tecton connection has no password", where=where, hint="Put the API key there")
    mask_secret(connection.password)
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}" + (f":{connection.port}" if connection.port else "")
    return TectonServer(host, connection.password)


def open_online(features: TectonFeatures) -> OnlineStore:
    """
    Give replicas the deployment's address, and look up their feature service with Airflow's own key, which stays here.

    :raises ConfigurationError: the connection is absent or malformed
    """
    server = TectonHook(features.tecton_conn_id).get_conn()
    return OnlineStore(
        {URL: server.base_url}, lambda: server.check_feature_service(features.workspace, features.feature_service)
    )
