"""How a job ended, in errors that say who is to blame; and its records, read home."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.drivers.job import EXIT_CONFIGURATION, EXIT_NOT_AFTER
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    JobFailedError,
    JobInfrastructureError,
    JobLostError,
    JobStoppedError,
    ProtocolError,
    ResultLostError,
    UnavailableError,
)
from airflow_provider_air.hooks.resolver import backend_of, open_feed
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.watching import JobWatch, WatchEnd, WatchSettings, log_entries
from airflow_provider_air.records import RecordBuffer, find_end, records_name

log = logging.getLogger(__name__)

READ_BYTES = 1024 * 1024
# Ray 2.60 job error types where the user's command itself ended badly; all others are Ray's trouble.
USER_ERRORS = ("JOB_ENTRYPOINT_COMMAND_ERROR", "JOB_ENTRYPOINT_COMMAND_START_ERROR", None)
LAST_LINES = 12
# How S3 tells, also where it may not say why (what answers a HEAD has no body); and how Google does.
EXPIRED = re.compile(
    r"expired.?token|request.?expired|HTTP status 400\) during HeadObject operation: No response body"
    r"|google::cloud::Status\(UNAUTHENTICATED",
    re.IGNORECASE,
)
EXPIRED_HINT = (
    "The job's credentials seem to have expired: a retry gets new ones and resumes. Where jobs run longer, raise the "
    "role's DurationSeconds (AWS), or use credentials='ambient'"
)
# Airflow's own deferral time-out is a backstop behind the deadline inside our trigger.
BACKSTOP_SECONDS = 120.0


def backstop(deadline: float | None) -> timedelta | None:
    """Give Airflow's own time-out of a deferral whose trigger watches a deadline in epoch seconds."""
    return None if deadline is None else timedelta(seconds=deadline - time.time() + BACKSTOP_SECONDS)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Map our errors to Airflow's at the one place where they meet: what no retry can help is not retried."""
    try:
        yield
    except ConfigurationError as error:
        raise AirflowFailException(str(error)) from error


def read_records(ref: ClusterRef, job: JobDetails) -> list[dict[str, Any]]:
    """
    Read all records of an ended job; blocks, for workers.

    Incomplete records are returned as far as they go: what that means is the caller's to judge.

    :raises ResultLostError: the file holds something else than records
    :raises UnavailableError: the cluster does not answer
    """
    return asyncio.run(_read_records(ref, job))


def read_records_of_failure(ref: ClusterRef, job: JobDetails) -> list[dict[str, Any]]:
    """Read what explains a failure; without it the job's own message does."""
    try:
        return read_records(ref, job)
    except AirError as error:
        log.warning("The records of job %s cannot be read: %s", job.submission_id, error)
        return []


async def _read_records(ref: ClusterRef, job: JobDetails) -> list[dict[str, Any]]:
    buffer = RecordBuffer()
    records: list[dict[str, Any]] = []
    async with AsyncRayClient(backend_of(ref.backend).open_transport(ref), patience_seconds=45) as client:
        reader = LogReader(client)
        name = records_name(job.submission_id)
        while data := await _read_patiently(reader, job, name, buffer.offset):
            try:
                records += buffer.feed(data)
            except ValueError as error:
                raise ResultLostError(f"The job's records cannot be read: {error}", where=job.submission_id) from error
    return records


async def _read_patiently(reader: LogReader, job: JobDetails, name: str, offset: int) -> bytes:
    for pause in (0.5, 2.0, 5.0):
        try:
            return await reader.read(job, name, offset, READ_BYTES)
        except UnavailableError:
            await asyncio.sleep(pause)
    return await reader.read(job, name, offset, READ_BYTES)


def show_rest_of_log(ref: ClusterRef, submission_id: str, offset: Any, limit_bytes: int) -> None:
    """
    Show what the triggerer left of an ended job's log, which a worker shows far faster; blocks, for workers.

    A log failure never fails a job: a warning tells what went wrong.

    :param offset: from which byte on, as the trigger's event tells it; None where nothing is left
    :param limit_bytes: where showing ends with a pointer to the whole log
    """
    if not isinstance(offset, int):
        return
    settings = WatchSettings(submission_id, unreachable_seconds=45.0, log_offset=offset, log_limit_bytes=limit_bytes)
    try:
        asyncio.run(_show_rest_of_log(ref, settings))
    except AirError as error:
        log.warning("The rest of the log of %s cannot be shown: %s", submission_id, error)


async def _show_rest_of_log(ref: ClusterRef, settings: WatchSettings) -> None:
    async with open_feed(ref) as feed, aclosing(JobWatch(feed, settings).follow()) as watch:
        async for seen in watch:
            if isinstance(seen, WatchEnd):
                return
            for entry in log_entries(seen.lines):
                log.info(entry)


def failure_of_end(
    outcome: Any,
    submission_id: str,
    job: JobDetails | None,
    message: str,
    records: Sequence[dict[str, Any]] = (),
) -> AirError:
    """
    Give the error for an end that is no success; the caller raises it.

    :param outcome: what the trigger's event says
    """
    state = "unknown" if job is None else job.status.value
    if outcome == "ended" and job is not None:
        return _failure_of_job(job, records)
    if outcome == "lost":
        return JobLostError(message or "The job is gone", where=submission_id, hint="A retry starts a new job")
    if outcome == "deadline":
        return DeadlineExceededError(
            f"The task's execution_timeout passed and the job was stopped; last state: {state}",
            where=submission_id,
            hint="Raise execution_timeout, or give the job more resources",
        )
    if outcome == "unreachable":
        return ClusterUnreachableError(
            f"The cluster stopped answering; last state of the job: {state}. {message}",
            where=submission_id,
            hint="The job may go on: a retry adopts it",
        )
    if outcome == "refused":
        return ConfigurationError(f"The cluster refuses us now: {message}", where=submission_id)
    return ProtocolError(f"The trigger's event has the unknown outcome {outcome!r}", where=submission_id)


def _failure_of_job(job: JobDetails, records: Sequence[dict[str, Any]]) -> AirError:
    where = job.submission_id
    if job.status is JobStatus.STOPPED:
        return JobStoppedError("The job was stopped, and not by this task", where=where)
    if job.status is JobStatus.SUCCEEDED:
        return ProtocolError("A job that succeeded was treated as a failure", where=where)
    last_lines = "\n".join(job.message.strip().splitlines()[-LAST_LINES:])
    end = find_end(records) or {}
    told = end.get("error") or {}
    exit_code = job.exit_code if job.exit_code is not None else _exit_code_in(job.message)
    if exit_code == EXIT_CONFIGURATION and records:
        return ConfigurationError(
            f"The job refuses its configuration: {told.get('message') or last_lines}", where=where
        )
    if exit_code == EXIT_NOT_AFTER and "not-after" in job.message:
        return DeadlineExceededError("The job passed its not-after time and ended itself", where=where)
    details: dict[str, Any] = {"error_type": job.error_type, "exit_code": exit_code, "last_lines": last_lines}
    if job.error_type not in USER_ERRORS:
        return JobInfrastructureError(
            f"Ray could not run the job ({job.error_type}): {last_lines}",
            where=where,
            hint="Retry; if it stays, look at the cluster",
            **details,
        )
    reason = f"{told['type']}: {told.get('message', '')}" if told.get("type") else f"exit code {exit_code}"
    hint = EXPIRED_HINT if EXPIRED.search(f"{reason} {last_lines}") else None
    return JobFailedError(
        f"The job failed: {reason}\nLast lines of the driver:\n{last_lines}\n", where=where, hint=hint, **details
    )


def _exit_code_in(message: str) -> int | None:
    found = re.search(r"exit code (-?\d+)", message)
    return int(found.group(1)) if found else None
