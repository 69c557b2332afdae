"""What all connection types here have in common: how they are found, and what their extra says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import (
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowSecretsBackendAccessDenied,
    ErrorType,
)
from airflow.sdk.log import mask_secret

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.connections.misread import is_misread, spelled
from airflow_provider_air.contracts.connections import ConnectionFields
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError

CREDENTIALS_HINT = "Put them into the login, password or token of the connection: addresses are shown to people"


def get_connection(conn_id: str, hint: str) -> Connection:
    """
    Read a connection; for workers, threads of the triggerer, and the api-server.

    :param hint: what to create where there is none
    :raises ConfigurationError: there is none of this id, or this task may not read it
    :raises UnavailableError: Airflow's api-server does not answer
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowSecretsBackendAccessDenied as error:
        raise _denied(conn_id, error) from error
    except AirflowNotFoundException as error:
        line = line_to_supervisor()
        try:
            answer = None if line is None else line.send(_question(conn_id))
        except AirflowRuntimeError as refused:
            answer = refused.error
        if is_misread(answer):
            return BaseHook.get_connection(spelled(conn_id))
        raise _why_absent(conn_id, hint, answer) from error


async def aget_connection(conn_id: str, hint: str) -> Connection:
    """
    Read a connection on the triggerer's event loop.

    :param hint: what to create where there is none
    :raises ConfigurationError: there is none of this id, or this task may not read it
    :raises UnavailableError: Airflow's api-server does not answer
    """
    try:
        return await BaseHook.aget_connection(conn_id)
    except AirflowSecretsBackendAccessDenied as error:
        raise _denied(conn_id, error) from error
    except AirflowNotFoundException as error:
        line = line_to_supervisor()
        try:
            answer = None if line is None else await line.asend(_question(conn_id))
        except AirflowRuntimeError as refused:
            answer = refused.error
        if is_misread(answer):
            return await BaseHook.aget_connection(spelled(conn_id))
        raise _why_absent(conn_id, hint, answer) from error


def line_to_supervisor() -> Any:
    """
    Give what a task or trigger asks Airflow by; None in other processes.

    Airflow says "not defined" also where its api-server did not answer (3.3.2), which must not end a task for good: so
    what is absent is asked for once more, and it is heard why.
    """
    return getattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS", None)


def _question(conn_id: str) -> Any:
    from airflow.sdk.execution_time.comms import GetConnection

    return GetConnection(conn_id=conn_id)


def _why_absent(conn_id: str, hint: str, answer: Any) -> AirError:
    if getattr(answer, "error", None) in (ErrorType.API_SERVER_ERROR, ErrorType.GENERIC_ERROR):
        return UnavailableError(f"Airflow's api-server does not answer for the connection {conn_id!r}")
    return ConfigurationError(f"There is no Airflow connection {conn_id!r}", hint=hint)


def _denied(conn_id: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"This task may not read the Airflow connection {conn_id!r}: {error}")


def address_of(connection: Connection, default_scheme: str) -> str:
    """
    Give a connection's host as people write it, with a scheme and without a final slash; empty where there is none.

    The port counts where the host is no address with a scheme of its own.

    :raises ConfigurationError: a user or a password is inside
    """
    host = (connection.host or "").strip().rstrip("/")
    check_bare(host, "The host", where=f"connection {connection.conn_id}", hint=CREDENTIALS_HINT)
    if not host or "://" in host:
        return host
    return f"{connection.schema or default_scheme}://{host}" + (f":{connection.port}" if connection.port else "")


def url_of(extra: Mapping[str, Any], name: str, where: str) -> str | None:
    """
    Read a field of the extra that is an address for people, without a final slash; None where it is not given.

    :raises ConfigurationError: it is no http:// or https:// address, or a user or a password is inside
    """
    url = extra.get(name) or None
    if url is None:
        return None
    if isinstance(url, str):
        check_bare(url, repr(name), where=where, hint=CREDENTIALS_HINT)
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return url.rstrip("/")
    raise ConfigurationError(f"{name!r} must be an http:// or https:// address, not {url!r}", where=where)


def flag_of(extra: Mapping[str, Any], name: str, where: str) -> bool:
    """
    Read a switch of the extra that is on where it is not given.

    :raises ConfigurationError: it is neither true nor false
    """
    value = extra.get(name, True)
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name!r} must be true or false, not {value!r}", where=where)
    return value


def verify_of(extra: Mapping[str, Any], where: str) -> bool | str:
    """
    Read a connection's TLS settings, see :func:`airflow_provider_air.tls.context_for`.

    :raises ConfigurationError: ``ca_path`` or ``verify_tls`` is malformed
    """
    ca_path = extra.get("ca_path") or True
    if ca_path is not True and not isinstance(ca_path, str):
        raise ConfigurationError(f"'ca_path' must be the path of a file, not {ca_path!r}", where=where)
    return ca_path if flag_of(extra, "verify_tls", where) else False


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


def fields_of_connection(connection: Connection) -> ConnectionFields:
    """
    Give a connection as plain data, with its password masked in logs.

    :raises ConfigurationError: the connection's extra is no JSON object
    """
    if connection.password:
        mask_secret(connection.password)
    return ConnectionFields(
        conn_id=connection.conn_id,
        conn_type=connection.conn_type or "",
        host=connection.host,
        port=connection.port,
        login=connection.login,
        password=connection.password,
        schema=connection.schema,
        extra=extra_of(connection),
    )
