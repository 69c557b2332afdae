"""The public hook to a Ray cluster's Jobs API."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.errors import AirError, ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
    from airflow_provider_air.ray_api.models import JobDetails, JobSubmission
    from airflow_provider_air.ray_api.transport import RayConnection, Transport


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
        from airflow_provider_air.ray_api.client import RayClient

        return RayClient(self._transport(AirflowConnections().open("ray", self.ray_conn_id)))

    async def aget_conn(self) -> AsyncRayClient:
        """Open an asynchronous client; close it after use."""
        from airflow_provider_air.connections.ray import aget_ray_connection, ray_connection_of
        from airflow_provider_air.ray_api.client import AsyncRayClient

        connection = await aget_ray_connection(self.ray_conn_id)
        # In a thread: masking its secrets talks to the supervisor, which must not happen on the event loop.
        return AsyncRayClient(self._transport(await asyncio.to_thread(ray_connection_of, connection)))

    def submit(self, entrypoint: str, *, submission_id: str | None = None, **options: Any) -> str:
        """
        Submit a job and return its submission id.

        A lost reply is asked after, so one call makes one job.

        :param options: fields of :class:`~airflow_provider_air.ray_api.models.JobSubmission`
        :raises ConfigurationError: Ray rejected the job, or the id is taken
        :raises UnavailableError: the cluster does not answer
        """
        from airflow_provider_air.ray_api.models import JobSubmission
        from airflow_provider_air.ray_api.requests import get_job, submit_job

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
        from airflow_provider_air.ray_api.models import JobSubmission
        from airflow_provider_air.ray_api.requests import get_job, submit_job

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
        from airflow_provider_air.ray_api.requests import get_job

        with self.get_conn() as client:
            return client.send(get_job(submission_id))

    async def astatus(self, submission_id: str) -> JobDetails | None:
        """Give a job's details; None where the cluster does not know it."""
        from airflow_provider_air.ray_api.requests import get_job

        async with await self.aget_conn() as client:
            return await client.send(get_job(submission_id))

    def list_jobs(self) -> list[JobDetails]:
        """Give all jobs that the cluster remembers."""
        from airflow_provider_air.ray_api.requests import list_jobs

        with self.get_conn() as client:
            jobs = client.send(list_jobs())
            return list(jobs)

    async def alist_jobs(self) -> list[JobDetails]:
        """Give all jobs that the cluster remembers."""
        from airflow_provider_air.ray_api.requests import list_jobs

        async with await self.aget_conn() as client:
            jobs = await client.send(list_jobs())
            return list(jobs)

    def stop(self, submission_id: str) -> bool:
        """Ask Ray to stop a job, without waiting; False where nothing was there to stop."""
        from airflow_provider_air.ray_api.requests import stop_job

        with self.get_conn() as client:
            return client.send(stop_job(submission_id))

    async def astop(self, submission_id: str) -> bool:
        """Ask Ray to stop a job, without waiting; False where nothing was there to stop."""
        from airflow_provider_air.ray_api.requests import stop_job

        async with await self.aget_conn() as client:
            return await client.send(stop_job(submission_id))

    def logs(self, submission_id: str) -> str:
        """Give a job's whole log, up to 32 MiB; for larger ones follow it in the task log."""
        return asyncio.run(self.alogs(submission_id))

    async def alogs(self, submission_id: str) -> str:
        """Give a job's whole log, up to 32 MiB."""
        from airflow_provider_air.ray_api.logs import LogReader

        async with await self.aget_conn() as client:
            return await LogReader(client).whole_log(submission_id)

    def test_connection(self) -> tuple[bool, str]:
        """Try the address and the token; runs inside the api-server, so it is two small requests."""
        from airflow_provider_air.ray_api.client import RayClient
        from airflow_provider_air.ray_api.requests import get_job, get_version

        try:
            transport = self._transport(AirflowConnections().open("ray", self.ray_conn_id))
            with RayClient(transport, patience_seconds=0) as client:
                version = client.send(get_version())
                client.send(get_job("air-connection-test"))
        except AirError as error:
            return False, str(error)
        return True, f"Ray {version.ray_version} answers and accepts the token"

    def _transport(self, connection: RayConnection) -> Transport:
        if connection.transport is None:
            raise ConfigurationError(
                f"This connection stands for clusters of the back end {connection.backend!r} and has no address",
                where=f"connection {self.ray_conn_id}",
                hint="Name a connection with the address of a cluster that runs",
            )
        return connection.transport


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
