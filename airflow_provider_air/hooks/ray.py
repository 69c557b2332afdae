"""The ``ray`` connection and the public hook to a Ray cluster's Jobs API."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.connections import aget_connection, extra_of, get_connection, verify_of
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.models import JobDetails, JobSubmission
from airflow_provider_air.ray_api.requests import get_job, get_version, list_jobs, stop_job, submit_job
from airflow_provider_air.ray_api.transport import Transport

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
    )


def _base_url(connection: Connection, extra: Mapping[str, Any], where: str) -> str:
    address = str(extra.get("address") or connection.host or "").strip().rstrip("/")
    if not address:
        raise ConfigurationError(
            "The ray connection has no address",
            where=where,
            hint="Set its host to the dashboard's, such as 10.0.0.5",
        )
    if "://" not in address:
        address = f"{connection.schema or 'http'}://{address}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"The scheme {parts.scheme}:// is no dashboard address",
            where=where,
            hint="Use http:// or https:// and the dashboard's port (8265), not ray:// (10001) or the GCS port (6379)",
        )
    if parts.username or parts.password:
        raise ConfigurationError(
            "The address holds a user or a password, which Ray does not know",
            where=where,
            hint="Put the cluster's token into the password of the connection",
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


class RayHook(BaseHook):
    """
    Speaks to the Jobs API of the cluster behind a ``ray`` connection; needs no ``ray`` installed.

    Each verb has an asynchronous twin with the prefix ``a`` for triggers and async tasks.

    :param ray_conn_id: the connection
    """

    conn_name_attr = "ray_conn_id"
    default_conn_name = "ray_default"
    conn_type = "ray"
    hook_name = "Ray"

    def __init__(self, ray_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.ray_conn_id = ray_conn_id

    def get_conn(self) -> RayClient:
        """
        Open a client; close it after use.

        :raises ConfigurationError: the connection is absent or malformed
        """
        return RayClient(transport_of(get_ray_connection(self.ray_conn_id)))

    async def aget_conn(self) -> AsyncRayClient:
        """Open an asynchronous client; close it after use."""
        return AsyncRayClient(transport_of(await aget_ray_connection(self.ray_conn_id)))

    def submit(self, entrypoint: str, *, submission_id: str | None = None, **options: Any) -> str:
        """
        Submit a job and return its submission id.

        A lost reply is asked after, so one call makes one job.

        :param options: fields of :class:`~airflow_provider_air.ray_api.models.JobSubmission`
        :raises ConfigurationError: Ray rejected the job, or the id is taken
        :raises UnavailableError: the cluster does not answer
        """
        submission = JobSubmission(submission_id or _fresh_id(), entrypoint, **options)
        with self.get_conn() as client:
            try:
                is_new = client.send(submit_job(submission))
            except AirError:
                if client.send(get_job(submission.submission_id)) is None:
                    raise
                is_new = True
        return _checked(submission, is_new)

    async def asubmit(self, entrypoint: str, *, submission_id: str | None = None, **options: Any) -> str:
        """Submit a job as :meth:`submit` does."""
        submission = JobSubmission(submission_id or _fresh_id(), entrypoint, **options)
        async with await self.aget_conn() as client:
            try:
                is_new = await client.send(submit_job(submission))
            except AirError:
                if await client.send(get_job(submission.submission_id)) is None:
                    raise
                is_new = True
        return _checked(submission, is_new)

    def status(self, submission_id: str) -> JobDetails | None:
        """Give a job's details; None where the cluster does not know it."""
        with self.get_conn() as client:
            return client.send(get_job(submission_id))

    async def astatus(self, submission_id: str) -> JobDetails | None:
        """Give a job's details; None where the cluster does not know it."""
        async with await self.aget_conn() as client:
            return await client.send(get_job(submission_id))

    def list_jobs(self) -> list[JobDetails]:
        """Give all jobs that the cluster remembers."""
        with self.get_conn() as client:
            return client.send(list_jobs())

    async def alist_jobs(self) -> list[JobDetails]:
        """Give all jobs that the cluster remembers."""
        async with await self.aget_conn() as client:
            return await client.send(list_jobs())

    def stop(self, submission_id: str) -> bool:
        """Ask Ray to stop a job, without waiting; False where nothing was there to stop."""
        with self.get_conn() as client:
            return client.send(stop_job(submission_id))

    async def astop(self, submission_id: str) -> bool:
        """Ask Ray to stop a job, without waiting; False where nothing was there to stop."""
        async with await self.aget_conn() as client:
            return await client.send(stop_job(submission_id))

    def logs(self, submission_id: str) -> str:
        """Give a job's whole log, up to 32 MiB; for larger ones follow it in the task log."""
        import asyncio

        return asyncio.run(self.alogs(submission_id))

    async def alogs(self, submission_id: str) -> str:
        """Give a job's whole log, up to 32 MiB."""
        async with await self.aget_conn() as client:
            return await LogReader(client).whole_log(submission_id)

    def test_connection(self) -> tuple[bool, str]:
        """Try the address and the token; runs inside the api-server, so it is two small requests."""
        try:
            with RayClient(transport_of(get_ray_connection(self.ray_conn_id)), patience_seconds=0) as client:
                version = client.send(get_version())
                client.send(get_job("air-connection-test"))
        except AirError as error:
            return False, str(error)
        return True, f"Ray {version.ray_version} answers and accepts the token"


def _fresh_id() -> str:
    return f"air-hook-{secrets.token_hex(8)}"


def _checked(submission: JobSubmission, is_new: bool) -> str:
    if not is_new:
        raise ConfigurationError(
            "A job of this submission id exists already",
            where=submission.submission_id,
            hint="Choose another id",
        )
    return submission.submission_id
