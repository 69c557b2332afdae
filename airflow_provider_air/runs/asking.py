"""How a cluster is asked again, and for whom it was made; how a job is seen to stop, and what a refusal means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_air import waiting
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.errors import ClusterUnreachableError, UnavailableError
from airflow_provider_air.waiting import PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS, backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ListedCluster
    from airflow_provider_air.contracts.jobs import JobBackend
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import Clock
    from airflow_provider_air.ray_api.models import JobDetails

T = TypeVar("T")
STOP_SECONDS = 20.0


def refused_now(submission_id: str, state: str, message: str) -> ClusterUnreachableError:
    """
    Give the error for a cluster that took a job and lets us in no more; the caller raises it.

    No mistake that was known before the work began: what refuses us may be mended before the next try, which adopts.
    """
    return ClusterUnreachableError(
        f"The cluster refuses us now; last state of the job: {state}. {message}",
        where=submission_id,
        hint="Correct the connection. The job may go on: a retry adopts it",
    )


def patiently(ask: Callable[[], T], clock: Clock, seconds: float = PATIENCE_SECONDS) -> T:
    """
    Ask again for a while where nobody answers.

    :raises UnavailableError: nobody did
    """
    return waiting.patiently(ask, patience_seconds=seconds, now=clock.now, sleep=clock.sleep)


def patience_within(deadline: float | None, now: float) -> float:
    """
    Give for how many seconds a clean-up is tried beside an end that is known: it must not take the task's time.

    :param deadline: of the task, at which Airflow's alarm would fail it; epoch seconds
    """
    if deadline is None or deadline <= now:
        return PATIENCE_SECONDS
    return min(PATIENCE_SECONDS, max(SHORT_PATIENCE_SECONDS, (deadline - now) / 2))


def made_by(key: TaskKey, ref: ClusterRef, backend: ClusterBackend) -> ListedCluster | None:
    """
    Give a cluster as its back end remembers it, where a try of this task has made it, and not found it there.

    :raises UnavailableError: the back end does not answer
    """
    listed = backend.list(ClusterOwner(key.deployment, key), ref)
    return next((item for item in listed if item.ref.name == ref.name), None)


def stop_and_wait(jobs: JobBackend, job: JobDetails, clock: Clock) -> JobDetails | None:
    """
    Stop a job and give its last details; None where it became unknown, not terminal where it did not end in 20 s.

    :raises AirError: the cluster does not take the stop
    """
    patiently(lambda: jobs.stop(job.submission_id), clock)
    seen: JobDetails | None = job
    end = clock.now() + STOP_SECONDS
    for pause in backoff_seconds(0.2, 1.0):
        try:
            seen = jobs.look(job.submission_id).job
        except UnavailableError:
            if clock.now() + pause > end:
                raise
        if seen is None or seen.status.is_terminal or clock.now() + pause > end:
            return seen
        clock.sleep(pause)
    raise AssertionError("unreachable")
