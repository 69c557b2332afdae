"""Waits in the triggerer until a cluster takes work."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_provider_air.clusters.contract import ClusterRef, ClusterState
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.hooks.resolver import backend_of
from airflow_provider_air.triggers.base import OneEventTrigger
from airflow_provider_air.triggers.killing import finish, is_still_deferred
from airflow_provider_air.waiting import backoff_seconds

TASK_KEY = ("dag_id", "run_id", "task_id", "map_index")


class RayClusterTrigger(OneEventTrigger):
    """
    Fires ``{"cluster", "state", "message"}`` once the cluster is no longer starting, or the time is up.

    :param cluster: the JSON form of the cluster's reference
    :param timeout_seconds: how long to wait; then the event's state is ``starting``
    """

    def __init__(self, *, cluster: dict[str, Any], timeout_seconds: float = 600.0) -> None:
        super().__init__()
        self.cluster = cluster
        self.timeout_seconds = timeout_seconds

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "cluster": self.cluster,
            "timeout_seconds": self.timeout_seconds,
        }

    async def event(self) -> dict[str, Any]:
        """Look until there is something to say; runs in the triggerer."""
        ref = ClusterRef.from_json(self.cluster)
        end = time.monotonic() + self.timeout_seconds
        state, message = ClusterState.STARTING, ""
        for pause in backoff_seconds(0.5, 5.0, 1.3):
            try:
                status = await asyncio.to_thread(backend_of(ref.backend).describe, ref)
                state, message = status.state, status.message
            except UnavailableError as error:
                message = str(error)
            except ConfigurationError as error:
                state, message = ClusterState.FAILED, str(error)
            if state is not ClusterState.STARTING or time.monotonic() + pause > end:
                break
            await asyncio.sleep(pause)
        return {"cluster": self.cluster, "state": state.value, "message": message}

    async def on_kill(self) -> None:
        """Delete a cluster that belongs to the killed task; others are not this task's to delete."""
        ref = ClusterRef.from_json(self.cluster)
        if ref.owned and not self._fired:
            await finish(self._delete(ref))

    async def _delete(self, ref: ClusterRef) -> None:
        ti = self.task_instance
        task = None if ti is None else {name: getattr(ti, name) for name in TASK_KEY}
        if task is None or not await is_still_deferred(task):
            await asyncio.to_thread(backend_of(ref.backend).delete, ref)
