"""Asks the back end of a cluster that gives no word of its jobs: one that is gone will not come back with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_air.contracts.clusters import ClusterState
from airflow_provider_air.contracts.jobs import FollowEnd
from airflow_provider_air.errors import AirError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef
    from airflow_provider_air.contracts.jobs import Observation
    from airflow_provider_air.contracts.runs import Clock
    from airflow_provider_air.ray_api.models import JobDetails

# Many jobs of one cluster ask on their own, and a restart of what is in front of it is over by then.
ASK_SECONDS = 15.0
GONE_STATES = (ClusterState.ABSENT, ClusterState.FAILED, ClusterState.DELETING)


class Silence:
    """The silence of one watched job's cluster, from look to look; in the triggerer, or in the worker's event loop."""

    def __init__(self, backend: ClusterBackend, ref: ClusterRef, clock: Clock) -> None:
        self._backend = backend
        self._ref = ref
        self._clock = clock
        self._next: float | None = None
        self._job: JobDetails | None = None

    async def note(self, seen: Observation) -> FollowEnd | None:
        """Take in a look; gives how following ends where its cluster was found to be gone."""
        if seen.job is not None:
            self._next, self._job = None, seen.job
            return None
        now = self._clock.now()
        if self._next is None:
            self._next = now + ASK_SECONDS
        if now < self._next:
            return None
        self._next = now + ASK_SECONDS
        return await self.judge(self._job)

    async def judge(self, job: JobDetails | None) -> FollowEnd | None:
        """
        Ask whether the cluster is gone; None where it is not, or nobody knows.

        :param job: as it was seen last
        """
        try:
            status = await self._clock.in_thread(self._backend.describe, self._ref)
        except AirError:
            return None
        if status.state not in GONE_STATES:
            return None
        why = f"The cluster is {status.state.value}" + (f": {status.message}" if status.message else "")
        return FollowEnd("lost", job, why)
