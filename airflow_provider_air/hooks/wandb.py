"""The public hook to Weights & Biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from airflow.sdk import BaseHook

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.errors import AirError
from airflow_provider_air.tls import context_for

if TYPE_CHECKING:
    from airflow_provider_air.attachments.wandb.tracker import WandbSite


class WandbHook(BaseHook):
    """
    Reads a ``wandb`` connection; needs no ``wandb`` installed.

    :param wandb_conn_id: the connection
    """

    conn_name_attr = "wandb_conn_id"
    default_conn_name = "wandb_default"
    conn_type = "wandb"
    hook_name = "Weights & Biases"

    def __init__(self, wandb_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.wandb_conn_id = wandb_conn_id

    def get_conn(self) -> WandbSite:
        """
        Read where runs go, and the key.

        :raises ConfigurationError: the connection is absent or has no key
        """
        site: WandbSite = AirflowConnections().open("wandb", self.wandb_conn_id)
        return site

    def test_connection(self) -> tuple[bool, str]:
        """Ask the API who we are."""
        try:
            site = self.get_conn()
            query = {"query": "query { viewer { username } }"}
            tls = context_for(site.base_url, site.verify)
            key = ("api", site.api_key)
            answer = httpx.post(f"{site.base_url}/graphql", json=query, auth=key, timeout=10, verify=tls)
            viewer = (answer.json().get("data") or {}).get("viewer") if answer.is_success else None
        except AirError as error:
            return False, str(error)
        except (httpx.HTTPError, ValueError) as error:
            return False, f"W&B does not answer: {str(error) or type(error).__name__}"
        if not viewer:
            return False, f"W&B does not accept the API key (HTTP status {answer.status_code})"
        return True, f"W&B knows the key as {viewer.get('username')}"
