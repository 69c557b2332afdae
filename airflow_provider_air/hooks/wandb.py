"""The ``wandb`` connection."""

from __future__ import annotations

import httpx
from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.connections import extra_of, get_connection
from airflow_provider_air.trackers.wandb import WandbSite, WandbTracker, WandbTracking

HINT = "Create one of type 'wandb' with the API key as password, or use mode='offline'"


def open_tracker(spec: WandbTracker) -> WandbTracking:
    """
    Turn an author's spec into a tracker that can be used; an offline one needs no connection.

    :raises ConfigurationError: the connection is absent or malformed
    """
    return WandbTracking(spec, None if spec.mode == "offline" else WandbHook(spec.wandb_conn_id).get_conn())


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
        return site_of(get_connection(self.wandb_conn_id, HINT))

    def test_connection(self) -> tuple[bool, str]:
        """Ask the API who we are."""
        try:
            site = self.get_conn()
            query = {"query": "query { viewer { username } }"}
            answer = httpx.post(f"{site.base_url}/graphql", json=query, auth=("api", site.api_key), timeout=10)
            viewer = (answer.json().get("data") or {}).get("viewer") if answer.is_success else None
        except AirError as error:
            return False, str(error)
        except (httpx.HTTPError, ValueError) as error:
            return False, f"W&B does not answer: {str(error) or type(error).__name__}"
        if not viewer:
            return False, f"W&B does not accept the API key (HTTP status {answer.status_code})"
        return True, f"W&B knows the key as {viewer.get('username')}"


def site_of(connection: Connection) -> WandbSite:
    """
    Turn a ``wandb`` connection into a site.

    :raises ConfigurationError: it has no key; the message says what to do
    """
    if not connection.password:
        raise ConfigurationError(
            "The wandb connection has no password",
            where=f"connection {connection.conn_id}",
            hint="Put the API key there",
        )
    mask_secret(connection.password)
    extra = extra_of(connection)
    host = (connection.host or "").strip().rstrip("/")
    if host and "://" not in host:
        host = f"{connection.schema or 'https'}://{host}" + (f":{connection.port}" if connection.port else "")
    base = host or WandbSite.base_url
    app = str(extra.get("app_url") or (host if host else WandbSite.app_url)).rstrip("/")
    return WandbSite(base, app, extra.get("entity") or None, connection.password)
