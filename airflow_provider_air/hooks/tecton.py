"""The public hook to Tecton, and what replicas learn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.errors import AirError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.tecton.server import TectonServer


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
        server: TectonServer = AirflowConnections().open("tecton", self.tecton_conn_id)
        return server

    def test_connection(self) -> tuple[bool, str]:
        """Look at the fields alone: every documented route needs a workspace."""
        try:
            server = self.get_conn()
        except AirError as error:
            return False, str(error)
        return True, f"The fields are complete; {server.base_url} was not asked, since that needs a workspace"
