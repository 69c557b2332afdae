"""
Queues for a cluster that takes only so many jobs at once.

Counts the live jobs that the cluster tells, and the admissions that have not become a job yet; those are known to one
process, so several triggerers, or workers with ``deferrable=False``, may exceed the limit. An Airflow pool with
``include_deferred`` is the exact limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.runs import Clock
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.runs.names import TASK

# An admitted task that has not submitted by then lost its worker: its place is given on.
GRANT_SECONDS = 120.0
LOOK_SECONDS = 1.0
GRANT_LOOK_SECONDS = 5.0


@dataclass
class _Grant:
    """A place that was given, until the job that it is for lives."""

    submission_id: str
    until: float
    next_look: float


# cluster -> task -> its place
_grants: dict[tuple[str, str], dict[str, _Grant]] = {}


def check_limit(limit: Any) -> None:
    """:raises ConfigurationError: this is no number of jobs that a cluster could take."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"'max_concurrent_jobs' must be a whole number of at least 1, not {limit!r}")


def take_place(
    ref: ClusterRef, task: str, submission_id: str, limit: int, jobs: Sequence[JobDetails], clock: Clock
) -> bool:
    """
    Take a place on the cluster where there is one; no await in here, so all of a process are asked in turn.

    :param task: names the task instance
    :param submission_id: of the job that the place is for
    :param jobs: the cluster's live jobs; the task's own do not count: they are stopped before its next one is sent
    """
    now = clock.now()
    jobs = [job for job in jobs if job.metadata.get(TASK) != task]
    alive = {job.submission_id for job in jobs}
    grants = _grants.setdefault((ref.backend, ref.name), {})
    grants.pop(task, None)
    for other, grant in list(grants.items()):
        # Its job is there: the job counts instead.
        if grant.until < now or grant.submission_id in alive:
            del grants[other]
    if len(jobs) + len(grants) >= limit:
        return False
    grants[task] = _Grant(submission_id, now + GRANT_SECONDS, now + GRANT_LOOK_SECONDS)
    return True


def places_to_look_at(ref: ClusterRef, clock: Clock) -> dict[str, str]:
    """
    Give the places whose jobs should be asked for, since a short one comes and goes between two lists of live jobs.

    :return: task to submission id; each is given to one caller in :data:`GRANT_LOOK_SECONDS`
    """
    now = clock.now()
    due = {task: grant for task, grant in _grants.get((ref.backend, ref.name), {}).items() if now >= grant.next_look}
    for grant in due.values():
        grant.next_look = now + GRANT_LOOK_SECONDS
    return {task: grant.submission_id for task, grant in due.items()}


def give_back(ref: ClusterRef, task: str) -> None:
    """Give back a place that was taken and is not used."""
    grants = _grants.get((ref.backend, ref.name), {})
    grants.pop(task, None)
    if not grants:
        _grants.pop((ref.backend, ref.name), None)
