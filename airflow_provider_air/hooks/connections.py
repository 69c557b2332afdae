"""What all connection types here have in common: how they are found, and what their extra says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_provider_air.errors import ConfigurationError


def get_connection(conn_id: str, hint: str) -> Connection:
    """
    Read a connection; for workers, threads of the triggerer, and the api-server.

    :param hint: what to create where there is none
    :raises ConfigurationError: there is none of this id
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise _absent(conn_id, hint) from error


async def aget_connection(conn_id: str, hint: str) -> Connection:
    """
    Read a connection on the triggerer's event loop.

    :param hint: what to create where there is none
    :raises ConfigurationError: there is none of this id
    """
    try:
        return await BaseHook.aget_connection(conn_id)
    except AirflowNotFoundException as error:
        raise _absent(conn_id, hint) from error


def _absent(conn_id: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"There is no Airflow connection {conn_id!r}", hint=hint)


def verify_of(extra: Mapping[str, Any], where: str) -> bool | str:
    """
    Read a connection's TLS settings, as httpx takes them.

    :raises ConfigurationError: ``ca_path`` or ``verify_tls`` is malformed
    """
    ca_path = extra.get("ca_path") or True
    if ca_path is not True and not isinstance(ca_path, str):
        raise ConfigurationError(f"'ca_path' must be the path of a file, not {ca_path!r}", where=where)
    verify_tls = extra.get("verify_tls", True)
    if not isinstance(verify_tls, bool):
        raise ConfigurationError(f"'verify_tls' must be true or false, not {verify_tls!r}", where=where)
    return ca_path if verify_tls else False


def extra_of(connection: Connection) -> dict[str, Any]:
    """:raises ConfigurationError: the connection's extra is no JSON object."""
    if not connection.extra:
        return {}
    try:
        # Airflow itself reads malformed JSON as {}: then TLS settings would silently be others than meant.
        extra = json.loads(connection.extra)
    except ValueError as error:
        raise ConfigurationError(
            f"The extra is no JSON: {error}", where=f"connection {connection.conn_id}", hint="Correct it"
        ) from None
    if not isinstance(extra, dict):
        raise ConfigurationError(
            f"The extra must be a JSON object, not {type(extra).__name__}",
            where=f"connection {connection.conn_id}",
            hint='Such as {"verify_tls": true}',
        )
    return dict(connection.extra_dejson)
