"""Waits in the triggerer until a Serve application is healthy, by HTTP only."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from airflow_provider_air.connections.ports import backend_of
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.runs import event_text
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.triggers.base import OneEventTrigger
from airflow_provider_air.workloads.serve import readiness


class RayServeTrigger(OneEventTrigger):
    """
    Fires ``{"application", "ready", "outcome", "message"}``; the outcome is ready, deadline, unreachable or refused.

    :param cluster: the JSON form of the cluster's reference
    :param replicas: how many replicas must run, for each deployment or by deployment
    :param deadline: epoch seconds at which it gives up
    :param poll_interval_seconds: the pause between two looks
    :param unreachable_seconds: how long the cluster may not answer
    """

    def __init__(
        self,
        *,
        cluster: dict[str, Any],
        application: str,
        replicas: int | dict[str, int] | None = None,
        deadline: float | None = None,
        poll_interval_seconds: float = 5.0,
        unreachable_seconds: float = 600.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.cluster = cluster
        self.application = application
        self.replicas = replicas
        self.deadline = deadline
        self.poll_interval_seconds = poll_interval_seconds
        self.unreachable_seconds = unreachable_seconds

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "cluster": self.cluster,
            "application": self.application,
            "replicas": self.replicas,
            "deadline": self.deadline,
            "poll_interval_seconds": self.poll_interval_seconds,
            "unreachable_seconds": self.unreachable_seconds,
        }

    async def event(self) -> dict[str, Any]:
        """Look until it is ready or the time is over; runs in the triggerer."""
        try:
            outcome, message = await self._wait()
        except AirError as error:
            outcome, message = "refused", str(error)
        return {
            "application": self.application,
            "ready": outcome == "ready",
            "outcome": outcome,
            "message": event_text(message, self.log),
        }

    async def _wait(self) -> tuple[str, str]:
        silent_since: float | None = None
        ref = ClusterRef.from_json(self.cluster)
        serving = backend_of(ref.backend).serving(ref)
        while True:
            try:
                found = await asyncio.to_thread(serving.application, self.application)
                ready, message = readiness(found, self.replicas)
                silent_since = None
                if ready:
                    return "ready", message
            except UnavailableError as error:
                message = str(error)
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since >= self.unreachable_seconds:
                    return "unreachable", message
            if self.deadline is not None and time.time() >= self.deadline:
                return "deadline", message
            await asyncio.sleep(self.poll_interval_seconds)
