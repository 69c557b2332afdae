"""The public hook to an MLflow server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.errors import AirError

if TYPE_CHECKING:
    from airflow_provider_air.attachments.mlflow.server import MlflowServer


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
        server: MlflowServer = AirflowConnections().open("mlflow", self.mlflow_conn_id)
        return server

    def test_connection(self) -> tuple[bool, str]:
        """Try the address and the credentials; ``/health`` would answer even where every call is refused."""
        try:
            self.get_conn().call("GET", "experiments/search", max_results=1)
        except AirError as error:
            return False, str(error)
        return True, "MLflow answers and accepts the credentials"
