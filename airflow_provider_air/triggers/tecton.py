"""Waits in the triggerer for Tecton: for a materialization job, or until features are ready. By HTTP only."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_air.connections.base import aget_connection
from airflow_provider_air.connections.tecton import HINT, tecton_server_of
from airflow_provider_air.errors import AirError
from airflow_provider_air.triggers.killing import finish, why_killed
from airflow_provider_air.triggers.polling import PollingTrigger

if TYPE_CHECKING:
    from airflow_provider_air.attachments.tecton.server import TectonServer


class _TectonTrigger(PollingTrigger):
    """Fires ``{"outcome", "value", "message"}``; the outcome is ended, deadline, unreachable or refused."""

    async def server(self) -> TectonServer:
        """Open Tecton's."""
        return tecton_server_of(await aget_connection(self.fields["tecton_conn_id"], HINT))


class TectonJobTrigger(_TectonTrigger):
    """
    Waits for the end of a materialization job; the event's value is its last state.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the task that waits
    :param deadline: epoch seconds at which it gives up, or None
    """

    def __init__(
        self,
        *,
        tecton_conn_id: str,
        workspace: str,
        feature_view: str,
        job_id: str,
        task: dict[str, Any],
        deadline: float | None = None,
        poll_interval_seconds: float = 10.0,
        **more: Any,
    ) -> None:
        fields = {
            "tecton_conn_id": tecton_conn_id,
            "workspace": workspace,
            "feature_view": feature_view,
            "job_id": job_id,
            "task": task,
            "deadline": deadline,
            "poll_interval_seconds": poll_interval_seconds,
        }
        super().__init__(fields, **more)

    def look(self, server: TectonServer) -> str | None:
        """Ask for the job."""
        job = server.job(self.fields["workspace"], self.fields["feature_view"], self.fields["job_id"])
        return None if job.is_live else job.state

    async def on_kill(self) -> None:
        """Cancel the job when a person cleared the task or marked it."""
        if not self._fired:
            await finish(self._cancel())

    async def _cancel(self) -> None:
        if await why_killed(self.fields["task"], self.log) == "moved":
            return
        try:
            server = await self.server()
            named = (self.fields["workspace"], self.fields["feature_view"], self.fields["job_id"])
            await asyncio.to_thread(server.cancel, *named)
        except AirError as error:
            self.log.warning("Tecton's job %s could not be cancelled: %s", self.fields["job_id"], error)


class TectonReadyTrigger(_TectonTrigger):
    """
    Waits until features are there up to a moment; the event's value is until when they are.

    :param kind: ``feature_view`` or ``feature_service``
    :param store: ``online`` or ``offline``
    :param ready_at: ISO 8601 with a zone
    :param deadline: epoch seconds at which it gives up, or None
    """

    def __init__(
        self,
        *,
        tecton_conn_id: str,
        workspace: str,
        kind: str,
        name: str,
        store: str,
        ready_at: str,
        deadline: float | None = None,
        poll_interval_seconds: float = 10.0,
        **more: Any,
    ) -> None:
        fields = {
            "tecton_conn_id": tecton_conn_id,
            "workspace": workspace,
            "kind": kind,
            "name": name,
            "store": store,
            "ready_at": ready_at,
            "deadline": deadline,
            "poll_interval_seconds": poll_interval_seconds,
        }
        super().__init__(fields, **more)

    def look(self, server: TectonServer) -> str | None:
        """Ask until when features are ready."""
        fields = self.fields
        ready = server.ready_time(fields["workspace"], kind=fields["kind"], name=fields["name"], store=fields["store"])
        if ready is None or ready < datetime.fromisoformat(fields["ready_at"]):
            return None
        return ready.isoformat()
