"""The ``ray`` connection: an address, or a cluster of another back end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.connections.base import (
    CREDENTIALS_HINT,
    aget_connection,
    extra_of,
    flag_of,
    get_connection,
    url_of,
    verify_of,
)
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.transport import RayConnection, Transport

# What a connection stands for that names no back end.
EXISTING = "existing"
DEFAULT_PORT = 8265
HINT = "Create one of type 'ray' with the dashboard's address, or give the operator a cluster="


def get_ray_connection(ray_conn_id: str) -> Connection:
    """
    Read a connection; for workers, and for the api-server.

    :raises ConfigurationError: there is none of this id
    """
    return get_connection(ray_conn_id, HINT)


async def aget_ray_connection(ray_conn_id: str) -> Connection:
    """
    Read a connection in the triggerer.

    :raises ConfigurationError: there is none of this id
    """
    return await aget_connection(ray_conn_id, HINT)


def ray_connection_of(connection: Connection) -> RayConnection:
    """
    Turn a ``ray`` connection into what it stands for.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    extra = extra_of(connection)
    where = f"connection {connection.conn_id}"
    backend = str(extra.get("backend") or EXISTING)
    said = RayConnection(
        backend,
        dashboard_url=url_of(extra, "dashboard_url", where),
        serve_url=url_of(extra, "serve_url", where),
        grafana_url=url_of(extra, "grafana_url", where),
    )
    if backend == EXISTING:
        return replace(said, transport=transport_of(connection))
    cluster = extra.get("cluster") or {}
    if not isinstance(cluster, Mapping):
        raise ConfigurationError("'cluster' must be an object of the cluster's fields", where=where)
    return replace(said, cluster=dict(cluster))


def transport_of(connection: Connection) -> Transport:
    """
    Turn a ``ray`` connection into address, token and TLS settings.

    :raises ConfigurationError: a field is missing or malformed; the message names it
    """
    extra = extra_of(connection)
    where = f"connection {connection.conn_id}"
    headers = extra.get("headers") or {}
    if not isinstance(headers, Mapping) or not all(isinstance(v, str) for v in headers.values()):
        raise ConfigurationError("'headers' must be an object of strings", where=where, hint='Such as {"X-Key": "…"}')
    for value in headers.values():
        mask_secret(value)
    token = connection.password or extra.get("token") or None
    if token:
        mask_secret(token)
        token = str(token).strip()
    for name, value in {"password (the token)": token or "", **headers}.items():
        # The message never quotes the value: it is a secret.
        if not f"{name}{value}".isascii() or not value.isprintable():
            raise ConfigurationError(
                f"{name!r} holds a character that no HTTP header can carry", where=where, hint="Paste it again"
            )
    return Transport(
        base_url=_base_url(connection, extra, where),
        token=token,
        headers=dict(headers),
        verify=verify_of(extra, where),
        client_certificate=_client_certificate(extra, where),
        reads_agents=flag_of(extra, "read_agents", where),
    )


def _base_url(connection: Connection, extra: Mapping[str, Any], where: str) -> str:
    address = str(extra.get("address") or connection.host or "").strip().rstrip("/")
    if not address:
        raise ConfigurationError(
            "The ray connection has no address",
            where=where,
            hint="Set its host to the dashboard's, such as 10.0.0.5",
        )
    check_bare(address, "The address", where=where, hint=CREDENTIALS_HINT)
    if "://" not in address:
        address = f"{connection.schema or 'http'}://{address}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"The scheme {parts.scheme}:// is no dashboard address",
            where=where,
            hint="Use http:// or https:// and the dashboard's port (8265), not ray:// (10001) or the GCS port (6379)",
        )
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    if not host or any(character.isspace() for character in host):
        raise ConfigurationError(f"The address {address!r} has no host", where=where, hint="Use http://host:port")
    return f"{parts.scheme}://{host}:{_port(parts, connection, where)}{parts.path.rstrip('/')}"


def _port(parts: SplitResult, connection: Connection, where: str) -> int:
    default = 443 if parts.scheme == "https" else DEFAULT_PORT
    try:
        port = default if parts.port is None and connection.port is None else int(parts.port or connection.port or 0)
    except ValueError as error:
        raise ConfigurationError(f"The port is wrong: {error}", where=where, hint="Use the dashboard's") from None
    if not 0 < port < 65536:
        raise ConfigurationError(f"The port {port} is none", where=where, hint=f"The dashboard's is {DEFAULT_PORT}")
    return port


def _client_certificate(extra: Mapping[str, Any], where: str) -> tuple[str, str] | None:
    certificate, key = extra.get("client_cert") or None, extra.get("client_key") or None
    for name, path in {"client_cert": certificate, "client_key": key}.items():
        if path is not None and not isinstance(path, str):
            raise ConfigurationError(f"{name!r} must be the path of a file, not {path!r}", where=where)
    if certificate is None and key is not None:
        raise ConfigurationError("'client_key' is given without 'client_cert'", where=where, hint="Give both paths")
    # One file may hold both.
    return None if certificate is None else (certificate, key or certificate)
