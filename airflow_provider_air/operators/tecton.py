"""Materializes features in Tecton, and waits without a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_air.attachments.tecton.server import Materialization, Window
from airflow_provider_air.connections.ports import read_fields, task_of, try_of
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import (
    AirError,
    ConfigurationError,
    DeadlineExceededError,
    MaterializationFailedError,
)
from airflow_provider_air.hooks.tecton import TectonHook
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, not_before
from airflow_provider_air.workloads.fields import moment

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.attachments.tecton.server import TectonServer
    from airflow_provider_air.triggers.tecton import TectonJobTrigger

# What the task remembers over its tries: ``job_id``, the numbers of the try that tell a clear, and the ``deadline`` of
# the try that waits.
JOB = "tecton_job"


class TectonMaterializeOperator(BaseOperator):
    """
    Run a materialization job in Tecton and wait for its end.

    A retry goes on with the job of the try before, and a job of the same window that runs already, or has
    succeeded, is not started a second time; with ``overwrite`` a person's clear of a success starts one. The XCom is
    ``{"job_id", "state", "start", "end"}``. Tested against a double of Tecton's documented routes only.

    :param workspace: the feature view's workspace
    :param feature_view: its name; its batch trigger should be manual
    :param start, end: the window: ISO 8601 with a zone
    :param online, offline: the stores to write
    :param overwrite: write again what a job has written before
    """

    template_fields: Sequence[str] = (
        "tecton_conn_id",
        "workspace",
        "feature_view",
        "start",
        "end",
        "online",
        "offline",
        "overwrite",
        "poll_interval_seconds",
    )

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
        self._cancels: Callable[[], None] | None = None
        self._is_wanted: Callable[[], bool] | None = None

    def execute(self, context: Context) -> Any:
        """
        Adopt or start the job, then wait.

        :raises AirflowFailException: a field or the connection is wrong, or Tecton refuses; not retried
        """
        with airflow_errors():
            read_fields(self)
            window = self._window()
            server = TectonHook(self.tecton_conn_id).get_conn()
            timeout = self.execution_timeout
            deadline = None if timeout is None else time.time() + timeout.total_seconds()
            job = self._settle(context, server, window, deadline)
            if not job.is_live:
                return self._told(job)
            self.log.info("Waiting for Tecton's job %s", job.job_id)
            self._prepare_kill(context, server, job.job_id)
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
                return self.on_end(context, self._wait(trigger))
        return self.defer(trigger=trigger, method_name=self.on_end.__name__, timeout=backstop(deadline))

    def _wait(self, trigger: TectonJobTrigger) -> dict[str, Any]:
        try:
            return asyncio.run(trigger.event())
        except AirflowTaskTimeout:
            # Whose act it was is known here, so it is done before Airflow calls on_kill.
            self._cancel()
            raise

    def on_end(self, context: Context, event: Any) -> Any:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            from airflow_provider_air.triggers.polling import failure_of_wait

            told = event if isinstance(event, dict) else {}
            job_id, outcome = str(_known(context).get("job_id")), told.get("outcome")
            if outcome == "ended" and isinstance(told.get("value"), str):
                return self._told(Materialization(job_id, told["value"]))
            if outcome in ("deadline", "unreachable"):
                TectonHook(self.tecton_conn_id).get_conn().cancel(self.workspace, self.feature_view, job_id)
                raise DeadlineExceededError(
                    f"Tecton's job did not end within the task's execution_timeout: {told.get('message')}",
                    where=job_id,
                )
            if outcome == "refused":
                job = self._look_again(context, "Tecton refused the trigger")
                if job is not None and not job.is_live:
                    return self._told(job)
            raise failure_of_wait(event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Come back from a deferral, also from a broken one: a next try goes on with the job, the last one cancels it.

        Airflow calls this instead of ``execute``; a crashed trigger and a deferral time-out arrive here only.
        """
        if next_method == TRIGGER_FAIL_REPR:
            with airflow_errors():
                job = self._look_again(context, "The trigger ended without an event")
                if job is not None and job.has_succeeded:
                    return self._told(job)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """
        Cancel the job where a person stopped the task, nobody can tell, or no try is left; else the next one goes on.

        Runs inside a signal handler, so it is a request or two with all resolved beforehand, in less than 4 s.
        """
        if self._cancels is not None and (self._is_wanted is None or self._is_wanted()):
            self._cancel()

    def _prepare_kill(self, context: Context, server: TectonServer, job_id: str) -> None:
        from airflow_provider_air.connections.task_states import KillQuestion

        self._cancels = partial(server.cancel, self.workspace, self.feature_view, job_id, quickly=True)
        self._is_wanted = KillQuestion(task_of(context)).is_wanted if try_of(context).has_next else None

    def _cancel(self) -> None:
        if self._cancels is None:
            return
        try:
            self._cancels()
        except AirError as error:
            self.log.warning("Tecton's job could not be cancelled: %s", error)

    def _look_again(self, context: Context, why: str) -> Materialization | None:
        """Look at a job whose end no trigger has seen; cancel it where nobody will wait for it any more."""
        known = _known(context)
        try:
            server = TectonHook(self.tecton_conn_id).get_conn()
            job = server.job(self.workspace, self.feature_view, str(known.get("job_id")))
        except AirError as error:
            self.log.warning("%s, and Tecton's job cannot be asked for: %s", why, error)
            return None
        deadline = known.get("deadline")
        is_late = deadline is not None and time.time() >= deadline
        if job.is_live and (is_late or not try_of(context).has_next):
            self.log.warning("%s: cancelling Tecton's job %s", why, job.job_id)
            self._prepare_kill(context, server, job.job_id)
            self._cancel()
        elif job.is_live:
            self.log.warning("%s: the next try goes on with job %s", why, job.job_id)
        return job

    def _settle(
        self, context: Context, server: TectonServer, window: Window, deadline: float | None
    ) -> Materialization:
        known, this = _known(context), try_of(context)
        job = None if not known else server.job(self.workspace, self.feature_view, str(known["job_id"]))
        # Who clears a success that overwrites wants it written again.
        is_again = self.overwrite and known and this.is_cleared_since(known)
        if job is None or not (job.is_live or (job.has_succeeded and not is_again)):
            job = self._find_or_start(server, window)
        context["task_state_store"].set(JOB, {"version": 1, "job_id": job.job_id, "deadline": deadline, **this.numbers})
        return job

    def _find_or_start(self, server: TectonServer, window: Window) -> Materialization:
        found = server.find(window)
        if found is not None and (found.is_live or not self.overwrite):
            self.log.info("Tecton has the job %s of this window already: %s", found.job_id, found.state)
            return found
        return server.submit(window, overwrite=self.overwrite)

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


def _known(context: Context) -> dict[str, Any]:
    """Give what the task remembers; nothing where it is none of ours."""
    known: Any = context["task_state_store"].get(JOB)
    return known if isinstance(known, dict) and known.get("job_id") else {}
