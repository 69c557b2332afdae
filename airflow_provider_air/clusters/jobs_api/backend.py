"""
Runs jobs by Ray's Jobs API.

Its incarnation is Ray's ``session_name``, which changes when a head restarts without a durable GCS and so forgets its
jobs. Only Ray's own words, "Job <id> does not exist", mean that a job is unknown; anybody else's 404 means that the
cluster cannot be reached now.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import (
    Accepted,
    FollowEnd,
    FollowSettings,
    JobLook,
    Loss,
    Observation,
    PreparedJob,
)
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.records import RecordBuffer
from airflow_provider_air.errors import ConfigurationError, ResultLostError, UnavailableError
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.feed import borrow_feed, shared_jobs
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.packages import upload
from airflow_provider_air.ray_api.requests import delete_job, get_job, get_version, list_jobs, stop_job, submit_job
from airflow_provider_air.waiting import patiently

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.contracts.runs import Clock
    from airflow_provider_air.ray_api.models import JobDetails, JobSubmission
    from airflow_provider_air.ray_api.transport import Transport

log = logging.getLogger(__name__)

SUBMIT_SECONDS = 90.0
# How long one question but a look is asked again.
PATIENCE_SECONDS = 15.0
RECORDS_SECONDS = 45.0
# Connecting and answering may take so long each; so a stop takes 3 s at most.
STOP_STEP_SECONDS = 1.5
SESSION_SECONDS = 30.0
READ_BYTES = 1024 * 1024
OWNER_KEYS = ("air_deployment", "air_task", "air_ledger")
"""What the metadata of a run's jobs says of their owner, the same in each of its tries."""


def incarnation_of(client: RayClient) -> str:
    """
    Ask which Ray answers.

    :raises AirError: none does
    """
    return client.send(get_version()).session_name


class JobsApi:
    """
    The jobs of one cluster whose dashboard can be reached.

    What its methods promise: :class:`~airflow_provider_air.contracts.jobs.JobBackend`.

    :param ref: names the cluster to all that share its poll
    :param open_transport: gives a fresh address and token; blocks
    :param dashboard_url: gives where people open the dashboard, where that is another address; blocks
    :param accepted: is told the id of each job that Ray has taken, again and again, before anybody else is; blocks
    :param grafana_url: gives where people watch the cluster's metrics, where somebody has said so; blocks
    """

    def __init__(
        self,
        ref: ClusterRef,
        open_transport: Callable[[ClusterRef], Transport],
        dashboard_url: Callable[[ClusterRef], str | None] = lambda ref: None,
        accepted: Callable[[str], None] = lambda submission_id: None,
        *,
        grafana_url: Callable[[ClusterRef], str | None] = lambda ref: None,
    ) -> None:
        self.ref = ref
        self._open_transport = open_transport
        self._dashboard_url = dashboard_url
        self._accepted = accepted
        self._grafana_url = grafana_url
        self._session: tuple[str, float, str] | None = None

    def transport(self) -> Transport:
        """
        Give a fresh address and token.

        :raises AirError: as the cluster's ``open_transport``
        """
        return self._open_transport(self.ref)

    def base_page(self) -> str:
        """Give where people open the dashboard; raises as :meth:`transport`."""
        # As people copy it, it ends with the page that they look at.
        address, _, _ = (self._dashboard_url(self.ref) or self.transport().base_url).partition("#")
        return address.rstrip("/")

    def submit(self, job: PreparedJob) -> Accepted:
        """
        Bring packages and job to the cluster; a lost reply is asked after, never guessed.

        :raises ConfigurationError: Ray rejected it, or has somebody else's job of this id
        :raises UnavailableError: no certainty within :data:`SUBMIT_SECONDS`
        """
        return patiently(lambda: self._submit_once(job), patience_seconds=SUBMIT_SECONDS)

    def _submit_once(self, job: PreparedJob) -> Accepted:
        submission_id = job.submission.submission_id
        with self._client() as client:
            for package in job.packages:
                upload(client, package)
            # Before, not after: then a head that restarts in between is never taken for one that knows the job.
            incarnation = incarnation_of(client)
            try:
                is_new = client.send(submit_job(job.submission))
            except UnavailableError as error:
                log.warning("Submitting %s: %s", submission_id, error)
                if client.send(get_job(submission_id)) is None:
                    raise
                is_new = False
            if not is_new:
                _check_owner(client, job.submission)
                log.info("Ray has job %s already", submission_id)
        self._accepted(submission_id)
        return Accepted(incarnation)

    def look(self, submission_id: str) -> JobLook:
        """
        Ask for a job, once; which Ray answers is asked anew where it does not know the job.

        :raises ConfigurationError: we are not let in
        :raises UnavailableError: the cluster does not answer, or somebody in front of it answers for it
        """
        transport = self.transport()
        with RayClient(transport, patience_seconds=0) as client:
            job = client.send(get_job(submission_id))
            known = self._session
            now = time.monotonic()
            if job is None or known is None or known[0] != transport.base_url or now > known[1]:
                known = self._session = (transport.base_url, now + SESSION_SECONDS, incarnation_of(client))
        return JobLook(job, known[2])

    def after_loss(self, accepted_on: str | None, seen_on: str | None) -> Loss:
        """Judge an unknown job: what was taken is lost with what took it; what never was can be sent again."""
        return "again" if accepted_on is None else "lost"

    def stop(self, submission_id: str) -> None:
        """Ask that it stops, and return; an unknown or ended job is fine. Raises as :meth:`look`."""
        with self._client() as client:
            client.send(stop_job(submission_id))

    def prepare_stop(self, submission_id: str) -> Callable[[], None]:
        """
        Give a stop whose address and token are known: one request, at most 3 s.

        :raises AirError: they cannot be known now
        """
        transport, call = self.transport(), stop_job(submission_id, timeout_seconds=STOP_STEP_SECONDS)

        def stop() -> None:
            with RayClient(transport, patience_seconds=0) as client:
                client.send(call)

        return stop

    def alive(self) -> Sequence[JobDetails]:
        """Give all jobs that have not ended, others' too. Raises as :meth:`look`."""
        return [job for job in self.all() if job.status.is_alive]

    async def jobs_now(self) -> Sequence[JobDetails]:
        """Give all jobs that Ray remembers, ended ones too, from a list that all who ask in this process share."""

        async def open_transport() -> Transport:
            return await asyncio.to_thread(self.transport)

        return await shared_jobs(self.ref.key, open_transport)

    def all(self) -> Sequence[JobDetails]:
        """Give all jobs that Ray remembers, others' too. Raises as :meth:`look`."""
        with self._client() as client:
            return client.send(list_jobs())

    def delete(self, submission_id: str) -> bool:
        """
        Have Ray forget an ended job, whose log files stay; tells whether it knew it. Raises as :meth:`look`.

        :raises RemoteFailureError: it has not ended
        """
        with self._client() as client:
            return client.send(delete_job(submission_id))

    def records(self, job: JobDetails) -> list[dict[str, Any]]:
        """
        Read all records of an ended job; incomplete ones as far as they go.

        :raises ResultLostError: the file holds something else than records
        :raises UnavailableError: nobody serves them now
        """
        return asyncio.run(self._read_records(job))

    async def _read_records(self, job: JobDetails) -> list[dict[str, Any]]:
        buffer = RecordBuffer()
        records: list[dict[str, Any]] = []
        transport = await asyncio.to_thread(self.transport)
        async with AsyncRayClient(transport, patience_seconds=RECORDS_SECONDS) as client:
            reader = LogReader(client)
            while data := await _read_patiently(reader, job, records_name(job.submission_id), buffer.offset):
                try:
                    records += buffer.feed(data)
                except ValueError as error:
                    raise ResultLostError(
                        f"The job's records cannot be read: {error}", where=job.submission_id
                    ) from error
        return records

    async def follow(self, settings: FollowSettings, clock: Clock) -> AsyncGenerator[Observation | FollowEnd]:
        """Yield what is new, then one :class:`FollowEnd`; asks together with all that follow jobs of this cluster."""

        async def open_transport() -> Transport:
            return await clock.in_thread(self.transport)

        async with (
            borrow_feed(self.ref.key, open_transport) as feed,
            aclosing(JobWatch(feed, settings, clock.now).follow()) as watch,
        ):
            async for seen in watch:
                yield seen

    def pages(self, submission_id: str | None = None) -> Mapping[str, str]:
        """
        Give the dashboard's pages, and that of the cluster's metrics where somebody has said where it is.

        :raises AirError: there is no address now
        """
        base = self.base_page()
        pages = {"ray_dashboard_url": base}
        if grafana := self._grafana_url(self.ref):
            pages["grafana_url"] = grafana
        if submission_id is not None:
            pages["ray_job_url"] = f"{base}/#/jobs/{quote(submission_id, safe='')}"
        return pages

    def _client(self) -> RayClient:
        return RayClient(self.transport(), patience_seconds=PATIENCE_SECONDS)


def _check_owner(client: RayClient, submission: JobSubmission) -> None:
    """See that the job of our id is ours."""
    job = client.send(get_job(submission.submission_id))
    if job is None:
        return
    ours, theirs = ({key: told.get(key) for key in OWNER_KEYS} for told in (submission.metadata, job.metadata))
    if ours != theirs:
        raise ConfigurationError(
            "The cluster has a job of this id, and it is somebody else's",
            where=submission.submission_id,
            hint="Give this one another submission_id",
        )


async def _read_patiently(reader: LogReader, job: JobDetails, name: str, offset: int) -> bytes:
    for pause in (0.5, 2.0, 5.0):
        try:
            return await reader.read(job, name, offset, READ_BYTES)
        except UnavailableError:
            await asyncio.sleep(pause)
    return await reader.read(job, name, offset, READ_BYTES)
