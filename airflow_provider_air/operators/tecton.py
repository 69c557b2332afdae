"""Materializes features in Tecton, and waits without a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_air.attachments.tecton.server import Materialization, Window
from airflow_provider_air.connections.ports import task_of
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import (
    ConfigurationError,
    DeadlineExceededError,
    MaterializationFailedError,
    ProtocolError,
)
from airflow_provider_air.hooks.tecton import TectonHook
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, not_before
from airflow_provider_air.workloads.fields import moment

if TYPE_CHECKING:
    from airflow.sdk import Context

# What the task remembers over its tries.
JOB_ID = "tecton_job_id"


class TectonMaterializeOperator(BaseOperator):
    """
    Run a materialization job in Tecton and wait for its end.

    A retry goes on with the job of the try before, and a job of the same window that runs already, or has
    succeeded, is not started a second time. The XCom is ``{"job_id", "state", "start", "end"}``. Tested against a
    double of Tecton's documented routes only.

    :param workspace: the feature view's workspace
    :param feature_view: its name; its batch trigger should be manual
    :param start, end: the window: ISO 8601 with a zone
    :param online, offline: the stores to write
    :param overwrite: write again what a job has written before
    """

    template_fields: Sequence[str] = ("tecton_conn_id", "workspace", "feature_view", "start", "end")

    def __init__(
        self,
        *,
        workspace: str,
        feature_view: str,
        start: str | datetime,
        end: str | datetime,
        online: bool = True,
        offline: bool = True,
        overwrite: bool = False,
        tecton_conn_id: str = "tecton_default",
        poll_interval_seconds: float = 10.0,
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.feature_view = feature_view
        self.start = start
        self.end = end
        self.online = online
        self.offline = offline
        self.overwrite = overwrite
        self.tecton_conn_id = tecton_conn_id
        self.poll_interval_seconds = poll_interval_seconds
        self.deferrable = deferrable
        self._job_id: str | None = None

    def execute(self, context: Context) -> Any:
        """
        Adopt or start the job, then wait.

        :raises AirflowFailException: a field or the connection is wrong, or Tecton refuses; not retried
        """
        with airflow_errors():
            window = self._window()
            job = self._settle(context, window)
            self._job_id = job.job_id
            if not job.is_live:
                return self._told(job)
            self.log.info("Waiting for Tecton's job %s", job.job_id)
            timeout = self.execution_timeout
            deadline = None if timeout is None else time.time() + timeout.total_seconds()
            from airflow_provider_air.triggers.tecton import TectonJobTrigger

            trigger = TectonJobTrigger(
                tecton_conn_id=self.tecton_conn_id,
                workspace=self.workspace,
                feature_view=self.feature_view,
                job_id=job.job_id,
                task=task_of(context),
                deadline=deadline,
                poll_interval_seconds=self.poll_interval_seconds,
                not_before=not_before(),
            )
            if not self.deferrable:
                return self.on_end(context, asyncio.run(trigger.event()))
        return self.defer(trigger=trigger, method_name=self.on_end.__name__, timeout=backstop(deadline))

    def on_end(self, context: Context, event: Any) -> Any:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            told = event if isinstance(event, dict) else {}
            job_id = str(context["task_state_store"].get(JOB_ID))
            if told.get("outcome") == "ended" and isinstance(told.get("value"), str):
                return self._told(Materialization(job_id, told["value"]))
            if told.get("outcome") == "deadline":
                TectonHook(self.tecton_conn_id).get_conn().cancel(self.workspace, self.feature_view, job_id)
                raise DeadlineExceededError(
                    f"Tecton's job did not end within the task's execution_timeout: {told.get('message')}",
                    where=job_id,
                )
            if told.get("outcome") == "refused":
                raise ConfigurationError(f"Tecton refuses us: {told.get('message')}", where=job_id)
            raise ProtocolError(f"The trigger's event is not understood: {event!r}"[:500])

    def on_kill(self) -> None:
        """Cancel the job that the worker waits for."""
        if self._job_id is not None:
            TectonHook(self.tecton_conn_id).get_conn().cancel(self.workspace, self.feature_view, self._job_id)

    def _settle(self, context: Context, window: Window) -> Materialization:
        server, store = TectonHook(self.tecton_conn_id).get_conn(), context["task_state_store"]
        known = store.get(JOB_ID)
        if known:
            job = server.job(self.workspace, self.feature_view, str(known))
            if job.is_live or job.has_succeeded:
                return job
        found = server.find(window)
        if found is not None and (found.is_live or not self.overwrite):
            self.log.info("Tecton has the job %s of this window already: %s", found.job_id, found.state)
        else:
            found = server.submit(window, overwrite=self.overwrite)
        store.set(JOB_ID, found.job_id)
        return found

    def _window(self) -> Window:
        start, end = moment(self.start, "start"), moment(self.end, "end")
        if start is None or end is None:
            raise ConfigurationError("'start' and 'end' must be given")
        window = Window(self.workspace, self.feature_view, start, end, self.online, self.offline)
        window.validate()
        return window

    def _told(self, job: Materialization) -> dict[str, str]:
        if not job.has_succeeded:
            raise MaterializationFailedError(
                f"Tecton's job ended as {job.state}", where=f"{self.workspace}.{self.feature_view}, job {job.job_id}"
            )
        return {"job_id": job.job_id, "state": job.state, "start": str(self.start), "end": str(self.end)}
