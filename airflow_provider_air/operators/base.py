"""
The edge between Airflow and a run, and what all job operators share.

A workload's operator adds its fields, ``build_job`` and, where it reports a result, ``read_result``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from airflow_provider_air.attachments.checks import specs_of
from airflow_provider_air.connections.arguments import plain_argument
from airflow_provider_air.connections.ports import (
    environment_of,
    group_of,
    local_roots,
    manifest_of,
    read_fields,
    run_ports,
    target_of,
    task_of,
    try_of,
)
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.contracts.storage import JobAccess, StorageSpec
from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.links.mlflow import MlflowRunLink
from airflow_provider_air.links.ray import GrafanaLink, RayDashboardLink, RayJobLink
from airflow_provider_air.operators.fields import check_fields, check_sent, redacted
from airflow_provider_air.operators.outlets import quietly, tell_outlets
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, grace_seconds, not_before

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.connections.task_states import KillQuestion
    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.errors import AirError
    from airflow_provider_air.runs.ledger import KeepCluster, OnClear
    from airflow_provider_air.runs.plan import BuildInfo, Collected, Plan
    from airflow_provider_air.runs.run import Run


class RunOperator(BaseOperator):
    """
    Base of the operators whose work is a run: steps that are waited for on the worker or in the triggerer.

    :param deferrable: wait in the triggerer without a worker slot; False waits on the worker, by the same code. By
        default Airflow's ``[operators] default_deferrable``
    :param deferral_grace_seconds: how long a worker waits in place before it defers, so that short work ends without;
        by default ``[air] deferral_grace_seconds``
    """

    template_fields: Sequence[str] = ("deferral_grace_seconds",)

    def __init__(
        self, *, deferrable: bool = DEFAULT_DEFERRABLE, deferral_grace_seconds: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.deferral_grace_seconds = deferral_grace_seconds
        self._run: Any = None
        self._kill: KillQuestion | None = None
        self._is_stopped = False
        self._facts: Mapping[str, Any] = {}

    def open_run(self, context: Context) -> Any:
        """Give the run: its steps, and how it is killed; runs in the worker, and asks for nothing remote."""
        raise NotImplementedError

    def begin(self, context: Context, run: Any) -> Wait | Done:
        """Ask for what the task is about; runs in the worker."""
        raise NotImplementedError

    def done(self, context: Context, result: Any) -> Any:
        """Give the task's XCom; runs in the worker."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """
        Ask for it, and wait: in place for a while, then in the triggerer.

        :raises AirflowFailException: the DAG, a connection or the environment is wrong; not retried
        :raises AirflowSkipException: there was nothing to do
        :raises AirError: this try failed; Airflow's retries apply
        """
        with airflow_errors():
            run = self._open(context)
            with self._within_its_time(run):
                return self._go_on(context, run, self.begin(context, run))

    def on_event(self, context: Context, event: Any) -> Any:
        """Go on after a deferral; called by Airflow on a worker, with the trigger's event."""
        with airflow_errors():
            run = self._open(context)
            with self._within_its_time(run):
                return self._go_on(context, run, run.resume(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Come back from a deferral, also from a broken one: then a next try adopts what runs, and the last one stops it.

        Airflow calls this instead of ``execute``; a crashed trigger and a deferral time-out arrive here only.
        """
        if next_method == TRIGGER_FAIL_REPR:
            with airflow_errors():
                run = self._open(context)
                if (done := run.trigger_failed()) is not None:
                    return self._go_on(context, run, done)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """
        Stop what runs where a person stopped the task, nobody can tell, or no try is left; else the next one goes on.

        Runs inside a signal handler, so it is a request or two with all resolved beforehand, in less than 4 s.
        """
        self._is_stopped = True
        if self._run is not None and self._kill is not None:
            self._run.kill(self._kill.is_wanted)

    @contextmanager
    def _within_its_time(self, run: Any) -> Iterator[None]:
        """Airflow's own alarm bounds what a worker does: where it rings, nothing after it would be heard."""
        try:
            yield
        except AirflowTaskTimeout:
            run.expire()
            raise

    def _open(self, context: Context) -> Any:
        from airflow_provider_air.connections.task_states import KillQuestion

        read_fields(self)
        self._kill = KillQuestion(task_of(context))
        self._run = self.open_run(context)
        if self._is_stopped:
            # Airflow goes on after its signal handler, which came before there was anything to stop.
            self._run.kill(self._kill.is_wanted)
        return self._run

    def _go_on(self, context: Context, run: Any, step: Wait | Done) -> Any:
        grace = grace_seconds(self.deferral_grace_seconds)
        while isinstance(step, Wait):
            # Tasks that start together would let each other pass: a worker counts its own admissions alone.
            is_for_triggerer = step.what == "room" or (step.what == "pause" and (step.until or 0) > time.time() + grace)
            if self.deferrable and is_for_triggerer:
                self._defer(context, step)
            event = run.wait(step, time.time() + grace if self.deferrable else None)
            if event is None:
                self._defer(context, step)
            step = run.resume(event)
        if step.skipped is not None:
            raise AirflowSkipException(step.skipped)
        self._facts = step.facts
        return self.done(context, step.result)

    def _defer(self, context: Context, step: Wait) -> None:
        from airflow_provider_air.triggers.run import RayRunTrigger

        trigger = RayRunTrigger(step=step.to_json(), task=task_of(context), not_before=not_before())
        self.defer(trigger=trigger, method_name=self.on_event.__name__, timeout=backstop(step.until))


class RayJobOperator(RunOperator):
    """
    Base of the operators that run one Ray job.

    :param cluster: a cluster spec (one without a name is this task's own), or the XCom of a task that made one
    :param ray_conn_id: the ``ray`` connection, where ``cluster`` is not given
    :param tracker: such as ``MlflowTracker()``, or a list of trackers: the run is noted there, whatever happens to it
    :param deferrable: and ``deferral_grace_seconds``: see :class:`RunOperator`
    :param on_clear: what a clear by a person does: ``auto`` resumes after anything but a success
    :param cluster_timeout_seconds: how long a cluster may take to become ready
    :param max_concurrent_jobs: how many live jobs the cluster takes; further ones wait without a worker slot
    :param unreachable_timeout_seconds: how long the cluster may not answer while its job runs
    :param log_limit_bytes: how much of the job's log is shown in the task log; 0 or None: nothing, but where it is.
        Records and progress are shown in any case
    :param keep_cluster: ``on_failure`` leaves a cluster of the task's own after a failed attempt for people to look at,
        until the task's next try, or its expiry; ``never``: it always goes with the attempt
    """

    template_fields: Sequence[str] = (
        *RunOperator.template_fields,
        "cluster",
        "ray_conn_id",
        "tracker",
        "on_clear",
        "cluster_timeout_seconds",
        "max_concurrent_jobs",
        "unreachable_timeout_seconds",
        "log_limit_bytes",
        "keep_cluster",
    )
    operator_extra_links: Sequence[BaseOperatorLink] = (
        RayJobLink(),
        RayDashboardLink(),
        MlflowRunLink(),
        GrafanaLink(),
    )
    workload: ClassVar[str] = "submit"
    # Of the operators that take them.
    submission_id: str | None = None
    wait: bool = True
    skip_on_exit_code: tuple[int, ...] = ()

    def __init__(
        self,
        *,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        tracker: Any = None,
        on_clear: OnClear = "auto",
        cluster_timeout_seconds: float = 600.0,
        max_concurrent_jobs: int | None = None,
        unreachable_timeout_seconds: float = 600.0,
        log_limit_bytes: int | None = 64 * 1024 * 1024,
        keep_cluster: KeepCluster = "never",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.tracker = tracker
        self.on_clear: OnClear = on_clear
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.max_concurrent_jobs = max_concurrent_jobs
        self.unreachable_timeout_seconds = unreachable_timeout_seconds
        self.log_limit_bytes = log_limit_bytes
        self.keep_cluster: KeepCluster = keep_cluster

    # What a workload's operator writes

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """
        Say what to run, from the rendered fields; runs in the worker before anything remote, for a new job only.

        :raises ConfigurationError: a field is wrong
        """
        raise NotImplementedError

    def check_job(self, request: JobRequest) -> None:
        """
        Refuse what must not be sent, before anything remote.

        :raises ConfigurationError: a field of the operator is wrong
        """
        check_fields(self)

    def attachments(self) -> Sequence[AttachmentSpec]:
        """
        Give the trackers and feature stores of the run, as the author wrote them.

        :raises ConfigurationError: one is none, or wrong by itself
        """
        return specs_of(self.tracker, "tracker")

    def storage_spec(self) -> StorageSpec | None:
        """
        Give the task's storage; None without one.

        :raises ConfigurationError: it is no storage
        """
        return None

    def job_environment(self) -> JobAccess:
        """
        Give what the job's environment gets at the last moment, for a new job only; may read connections.

        :raises ConfigurationError: a connection is absent or malformed
        """
        return JobAccess()

    def read_result(self, value: Any, where: Collected) -> Any:
        """Turn the driver's result into the task's XCom."""
        return value

    def read_failure(self, error: AirError) -> AirError:
        """Tell a job's failure in the workload's words."""
        return error

    def next_look(self, context: Context, result: Any) -> float | None:
        """
        Give after how many seconds another job is to run, because this result is not the last one; None: it is.

        :raises AirError: it is the last one, and not what the task waits for
        """
        return None

    def tracked_parameters(self) -> Mapping[str, Any]:
        """Give what a tracker notes of the author's settings; plain JSON."""
        return {}

    def push_result(self, context: Context, result: Any) -> None:
        """Store more of the result than the task's XCom; nothing by default."""

    def told_of_asset(self, result: Any) -> Mapping[str, Any]:
        """
        Say what the result is to those who read the task's outlets, see :mod:`airflow_provider_air.operators.outlets`.

        :return: of ``uri``, ``rows``, ``metrics``, ``model`` and ``version`` what is known
        """
        return {}

    # The edge to the run

    def dry_run(self) -> None:
        """Print, beside the rendered fields, the manifest of a cluster of the task's own, where it has one."""
        super().dry_run()
        if (text := manifest_of(self, is_owned=True)) is not None:
            sys.stdout.write(text)

    def open_run(self, context: Context) -> Run:
        """Give the run of one job."""
        # The engine loads where a task runs: a DAG that is only parsed pays for the fields.
        from airflow_provider_air.runs.run import Run

        return Run(self._plan(context), try_of(context), run_ports(context, self.log))

    def begin(self, context: Context, run: Run) -> Wait | Done:
        """Adopt the job where an earlier try started it, else submit it."""
        return run.begin()

    def done(self, context: Context, result: Any) -> Any:
        """Give the job's result, whose values Airflow takes."""
        from airflow_provider_air.connections.values import carried, has_outputs

        # The job has succeeded: nothing in its value may fail the task now.
        result = carried(result, self.log)
        if self.multiple_outputs and result is not None and not has_outputs(result):
            self.log.warning(
                "There are no XComs by the result's keys ('multiple_outputs'): it is no dict with text keys, or stands "
                "for one, see load_result()"
            )
            self.multiple_outputs = False
        self.push_result(context, result)
        with quietly(self.log, "The events of the task's outlets do not say what has come of it"):
            tell_outlets(self.outlets, context, self.told_of_asset(result), self._facts)
        return result

    def _build(self, context: Context, info: BuildInfo) -> JobRequest:
        # Only for a new job: what mapped tasks have returned is read from Airflow.
        for name in self.template_fields:
            setattr(self, name, plain_argument(getattr(self, name)))
        return replace(self.build_job(context, info), local_roots=local_roots(self, context))

    def _plan(self, context: Context) -> Plan:
        from airflow_provider_air.runs.plan import Plan

        limit = self.max_concurrent_jobs
        if limit is None and (group := group_of(self)) is not None:
            limit = group.max_concurrent_jobs
        return Plan(
            workload=self.workload,
            target=lambda: target_of(self, context),
            build=lambda info: self._build(context, info),
            check=self.check_job,
            check_sent=check_sent,
            attachments=self.attachments,
            storage=self.storage_spec,
            environment=self.job_environment,
            context_env=lambda: environment_of(context),
            read_result=lambda value, where: self.read_result(decode(value), where),
            read_failure=self.read_failure,
            again=lambda result: self.next_look(context, result),
            parameters=lambda: redacted(self.tracked_parameters()),
            timeout_seconds=None if self.execution_timeout is None else self.execution_timeout.total_seconds(),
            cluster_timeout_seconds=self.cluster_timeout_seconds,
            max_concurrent_jobs=limit,
            unreachable_timeout_seconds=self.unreachable_timeout_seconds,
            log_limit_bytes=self.log_limit_bytes or 0,
            on_clear=self.on_clear,
            wait=self.wait,
            submission_id=self.submission_id,
            keep_cluster=self.keep_cluster,
            skip_on_exit_code=self.skip_on_exit_code,
        )
