"""
Queues for a cluster that takes only so many jobs at once.

Counts the live jobs that Ray tells, and the admissions that have not become a job yet; those are known to
one triggerer process, so several triggerers may exceed the limit by a few for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.hooks.resolver import open_feed
from airflow_provider_air.identity import TASK
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.triggers.base import OneEventTrigger

# An admitted task that has not submitted by then lost its worker: its place is given on.
GRANT_SECONDS = 120.0
LOOK_SECONDS = 1.0

# cluster -> task -> until when its place is kept, and how many jobs it had when it was given
_grants: dict[tuple[str, str], dict[str, tuple[float, int]]] = {}


def check_limit(limit: Any) -> None:
    """:raises ConfigurationError: this is no number of jobs that a cluster could take."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"'max_concurrent_jobs' must be a whole number of at least 1, not {limit!r}")


class RayAdmissionTrigger(OneEventTrigger):
    """
    Fires ``{"cluster", "admitted", "message"}`` once the cluster has room for this task's job.

    :param cluster: the JSON form of the cluster's reference
    :param task: names the task instance, as its jobs' metadata does
    :param max_concurrent_jobs: how many live jobs the cluster takes
    :param deadline: epoch seconds at which waiting ends without admission
    """

    def __init__(
        self, *, cluster: dict[str, Any], task: str, max_concurrent_jobs: int, deadline: float | None = None
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.task_name = task
        self.max_concurrent_jobs = max_concurrent_jobs
        self.deadline = deadline

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "cluster": self.cluster,
            "task": self.task_name,
            "max_concurrent_jobs": self.max_concurrent_jobs,
            "deadline": self.deadline,
        }

    async def event(self) -> dict[str, Any]:
        """Wait for room; runs in the triggerer."""
        try:
            admitted, message = await self.wait(), ""
        except AirError as error:
            admitted, message = False, str(error)
        return {"cluster": self.cluster, "admitted": admitted, "message": message}

    async def wait(self) -> bool:
        """
        Return True once there is room, False at the deadline.

        :raises AirError: the cluster cannot be asked
        """
        ref = ClusterRef.from_json(self.cluster)
        silent_since: float | None = None
        said = False
        async with open_feed(ref) as feed:
            while self.deadline is None or time.time() < self.deadline:
                try:
                    jobs = await feed.all_jobs(max_age_seconds=LOOK_SECONDS)
                    silent_since = None
                    if self._take_place((ref.backend, ref.name), jobs):
                        return True
                    if not said:
                        self.log.info("The cluster runs %s jobs at most: waiting for room", self.max_concurrent_jobs)
                        said = True
                except UnavailableError:
                    silent_since = silent_since or time.monotonic()
                    if time.monotonic() - silent_since > GRANT_SECONDS:
                        raise
                await asyncio.sleep(LOOK_SECONDS)
        return False

    def _take_place(self, cluster: tuple[str, str], jobs: list[JobDetails]) -> bool:
        # No await in here: all who wait in this process are asked one after the other.
        now = time.monotonic()
        known = Counter(job.metadata.get(TASK) for job in jobs)
        grants = _grants.setdefault(cluster, {})
        for task, (until, jobs_before) in list(grants.items()):
            # Its job is there, or was: a short one may come and go between two looks.
            if until < now or known[task] > jobs_before:
                del grants[task]
        live = sum(not job.status.is_terminal for job in jobs)
        if live + len(grants) >= self.max_concurrent_jobs:
            return False
        grants[self.task_name] = (now + GRANT_SECONDS, known[self.task_name])
        return True
