"""What all triggers here have in common: one event, and not before the worker that deferred to it has left."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_air.connections.api_server import ApiServer, api_server
from airflow_provider_air.runs.values import plain


class OneEventTrigger(BaseTrigger):
    """
    Base of triggers that watch something remote and fire one event about it.

    Their arguments are stored, encrypted; a trigger of another version may have been given some that this one does not
    know: they are passed over, so that an upgrade stops nothing.

    :param not_before: epoch seconds before which nothing is fired, see :mod:`airflow_provider_air.triggers.deferring`;
        None: at once
    """

    def __init__(self, *, not_before: float | None = None, **unknown: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.not_before = not_before
        self._fired = False

    @abc.abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Give the constructor's arguments as plain JSON: no secrets."""

    @abc.abstractmethod
    async def event(self) -> dict[str, Any]:
        """Wait, and give the event: plain JSON without secrets, which is stored in the clear; in the triggerer."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give class path and arguments."""
        arguments = {**self.arguments(), "version": 1, "not_before": self.not_before}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once there is something to say, and an api-server for the worker that it wakes; in the triggerer."""
        # ``airflow dags test`` runs triggers where there is no api-server.
        server = None if self.trigger_id is None else api_server()
        if server is not None:
            await server.meet()
        try:
            told = await self.event()
        except Exception:
            # Airflow wakes a worker for this, too.
            await self._settle(server)
            raise
        await self._settle(server)
        # Set before the event leaves: Airflow may call on_kill on a trigger that lingers after its yield.
        self._fired = True
        yield TriggerEvent(plain(told))

    async def _settle(self, server: ApiServer | None) -> None:
        await asyncio.sleep(max(0.0, (self.not_before or 0.0) - time.time()))
        if server is not None:
            await server.wait(self.log)
