"""Waits for a job that another task or another system submitted; shows no log, stops nothing."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.errors import AirError
from airflow_provider_air.hooks.resolver import open_feed
from airflow_provider_air.triggers.base import OneEventTrigger


class RayJobStateTrigger(OneEventTrigger):
    """
    Fires ``{"submission_id", "job": {JobDetails} | None, "message"}`` once the job has ended or is unknown.

    :param cluster: the JSON form of the cluster's reference
    :param unreachable_seconds: how long the cluster may not answer
    """

    def __init__(self, *, cluster: dict[str, Any], submission_id: str, unreachable_seconds: float = 600.0) -> None:
        super().__init__()
        self.cluster = cluster
        self.submission_id = submission_id
        self.unreachable_seconds = unreachable_seconds

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "cluster": self.cluster,
            "submission_id": self.submission_id,
            "unreachable_seconds": self.unreachable_seconds,
        }

    async def event(self) -> dict[str, Any]:
        """Look, with all others that wait for jobs of this cluster, until the job has ended; runs in the triggerer."""
        try:
            return await self._wait()
        except AirError as error:
            return self._event(None, str(error))

    async def _wait(self) -> dict[str, Any]:
        silent_since: float | None = None
        async with (
            open_feed(ClusterRef.from_json(self.cluster)) as feed,
            feed.watching(self.submission_id),
        ):
            while True:
                look = await feed.look(self.submission_id)
                if look.error is None:
                    silent_since = None
                    if look.job is None or look.job.status.is_terminal:
                        return self._event(look.job, "" if look.job else "The cluster does not know the job")
                    continue
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > self.unreachable_seconds:
                    return self._event(None, str(look.error))

    def _event(self, job: Any, message: str) -> dict[str, Any]:
        return {"submission_id": self.submission_id, "job": job.to_json() if job else None, "message": message}
