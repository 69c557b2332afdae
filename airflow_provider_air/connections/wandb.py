"""The ``wandb`` connection."""

from __future__ import annotations

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.attachments.wandb.tracker import WandbSite
from airflow_provider_air.connections.base import address_of, extra_of, url_of, verify_of
from airflow_provider_air.errors import ConfigurationError

HINT = "Create one of type 'wandb' with the API key as password, or use mode='offline'"


def wandb_site_of(connection: Connection) -> WandbSite:
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
    extra, where = extra_of(connection), f"connection {connection.conn_id}"
    host = address_of(connection, "https")
    app = url_of(extra, "app_url", where) or host or WandbSite.app_url
    entity, verify = extra.get("entity") or None, verify_of(extra, where)
    return WandbSite(host or WandbSite.base_url, app, entity, connection.password, verify)
