"""``airflow air jobs list|logs|stop``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.cli.targets import command, moment, show, target_of_options
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, JobBackend
from airflow_provider_air.errors import ConfigurationError, DeadlineExceededError, RemoteFailureError
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.logs import LogReader, job_log_name
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.names import DEPLOYMENT, TRY, key_of
from airflow_provider_air.waiting import patiently, wait_until

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.ray_api.models import JobDetails

READ_BYTES = 1024 * 1024
NO_LIMIT_BYTES = sys.maxsize
STOP_SECONDS = 20.0
LOOK_SECONDS = 15.0


@command
def list_jobs_of_cluster(args: Namespace) -> None:
    """Print a cluster's jobs, the latest first, with the tasks that they belong to."""
    ref = target_of_options(args)
    jobs = backend_of(ref.backend).jobs(ref).all()
    mine = deployment_id()
    shown = [
        row_of(job, mine)
        for job in sorted(jobs, key=lambda job: job.start_time_ms or 0, reverse=True)
        if not (args.live and job.status.is_terminal) and not (args.mine and job.metadata.get(DEPLOYMENT) != mine)
    ]
    show(shown, args.output)


@command
def print_log(args: Namespace) -> None:
    """Print a job's log, and with ``--follow`` go on until its end."""
    ref = target_of_options(args)
    jobs = backend_of(ref.backend).jobs(ref)
    job = _known(jobs, args.submission_id)
    if args.follow:
        asyncio.run(_follow(jobs, job.submission_id))
    else:
        asyncio.run(_print_all(ref, job))


@command
def stop(args: Namespace) -> None:
    """Stop a job and print its last state; a job that has ended already is fine."""
    ref = target_of_options(args)
    jobs = backend_of(ref.backend).jobs(ref)
    job = _known(jobs, args.submission_id)
    if not job.status.is_terminal:
        jobs.stop(job.submission_id)
        job = _wait_for_end(jobs, job)
    if not job.status.is_terminal:
        raise RemoteFailureError(
            f"Ray did not stop the job; it is still {job.status.value}: {job.message}",
            where=job.submission_id,
            hint="A job that waits for resources ends only after Ray's start time-out (900 s)",
        )
    sys.stdout.write(f"{job.submission_id} {job.status.value}\n")


def row_of(job: JobDetails, deployment: str) -> dict[str, Any]:
    """
    Give a job's row.

    :param deployment: this deployment, to tell its jobs from others'
    """
    key = key_of(job.metadata)
    mapped = "" if key is None or key.map_index < 0 else f"[{key.map_index}]"
    owner = job.metadata.get(DEPLOYMENT)
    return {
        "submission_id": job.submission_id,
        "status": job.status.value,
        "dag_id": "" if key is None else key.dag_id,
        "run_id": "" if key is None else key.run_id,
        "task": "" if key is None else f"{key.task_id}{mapped}",
        "try": job.metadata.get(TRY, ""),
        "deployment": "this" if owner == deployment else owner or "",
        "started": moment(job.start_time_ms / 1000) if job.start_time_ms else "",
        "seconds": _duration(job),
    }


def _duration(job: JobDetails) -> str:
    if not job.start_time_ms:
        return ""
    end_ms = job.end_time_ms or time.time() * 1000
    return f"{max(0.0, (end_ms - job.start_time_ms) / 1000):.0f}"


def _known(jobs: JobBackend, submission_id: str) -> JobDetails:
    job = patiently(lambda: jobs.look(submission_id), patience_seconds=LOOK_SECONDS).job
    if job is None:
        raise ConfigurationError(
            "The cluster does not know this job", where=submission_id, hint="See: airflow air jobs list"
        )
    return job


def _wait_for_end(jobs: JobBackend, job: JobDetails) -> JobDetails:
    """Give the last details; not terminal where it could not be stopped in time."""
    last = job

    def ended() -> bool | None:
        nonlocal last
        last = _known(jobs, job.submission_id)
        return last.status.is_terminal or None

    with contextlib.suppress(DeadlineExceededError):
        wait_until(ended, what=f"the end of {job.submission_id}", timeout_seconds=STOP_SECONDS)
    return last


async def _print_all(ref: ClusterRef, job: JobDetails) -> None:
    name, offset = job_log_name(job.submission_id), 0
    async with AsyncRayClient(backend_of(ref.backend).open_transport(ref)) as client:
        reader = LogReader(client)
        while data := await reader.read(job, name, offset, READ_BYTES):
            offset += len(data)
            sys.stdout.buffer.write(data)
    sys.stdout.flush()


async def _follow(jobs: JobBackend, submission_id: str) -> None:
    settings = FollowSettings(submission_id, unreachable_seconds=60.0, log_limit_bytes=NO_LIMIT_BYTES)
    async with contextlib.aclosing(jobs.follow(settings, RealClock())) as seen_so_far:
        async for seen in seen_so_far:
            if not isinstance(seen, FollowEnd):
                sys.stdout.writelines(f"{line}\n" for line in seen.lines)
                sys.stdout.flush()
            elif seen.outcome == "ended" and seen.job is not None:
                sys.stderr.write(f"The job has ended: {seen.job.status.value}\n")
            else:
                raise RemoteFailureError(f"The job is {seen.outcome}: {seen.message}", where=submission_id)
