"""Waits for a job that another task or another system submitted; shows no log, stops nothing."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings
from airflow_provider_air.contracts.runs import event_text
from airflow_provider_air.errors import AirError
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.watch import job_to_event
from airflow_provider_air.triggers.base import OneEventTrigger


class RayJobStateTrigger(OneEventTrigger):
    """
    Fires ``{"submission_id", "outcome", "job": {JobDetails} | None, "message"}`` once the job has ended or is unknown.

    :param cluster: the JSON form of the cluster's reference
    :param deadline: epoch seconds at which it gives up
    :param unreachable_seconds: how long the cluster may not answer
    """

    def __init__(
        self,
        *,
        cluster: dict[str, Any],
        submission_id: str,
        deadline: float | None = None,
        unreachable_seconds: float = 600.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.cluster = cluster
        self.submission_id = submission_id
        self.deadline = deadline
        self.unreachable_seconds = unreachable_seconds

    def arguments(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return {
            "cluster": self.cluster,
            "submission_id": self.submission_id,
            "deadline": self.deadline,
            "unreachable_seconds": self.unreachable_seconds,
        }

    async def event(self) -> dict[str, Any]:
        """Look, with all others that wait for jobs of this cluster, until the job has ended; runs in the triggerer."""
        try:
            end = await self._end()
        except AirError as error:
            end = FollowEnd("refused", message=str(error))
        return {
            "submission_id": self.submission_id,
            "outcome": end.outcome,
            "job": job_to_event(end.job, self.log),
            "message": event_text(end.message, self.log),
        }

    async def _end(self) -> FollowEnd:
        ref = ClusterRef.from_json(self.cluster)
        # Nothing of its log is read: others show it.
        settings = FollowSettings(
            self.submission_id, until=self.deadline, unreachable_seconds=self.unreachable_seconds, log_limit_bytes=0
        )
        async with aclosing(backend_of(ref.backend).jobs(ref).follow(settings, RealClock())) as seen_of_it:
            async for seen in seen_of_it:
                if isinstance(seen, FollowEnd):
                    return seen
        raise AssertionError("following ends with its end")
