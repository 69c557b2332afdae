"""
The one lifecycle of all job operators: resolve the cluster, settle, submit or adopt, wait, collect.

A workload's operator adds its fields, ``build_job`` and, where it reports a result, ``read_result``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR

from airflow_provider_air.attachment import Outcome
from airflow_provider_air.clusters.contract import ClusterRef, ClusterState
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    DeadlineExceededError,
    ProtocolError,
    ResultLostError,
)
from airflow_provider_air.hooks.attachments import check_spec
from airflow_provider_air.hooks.clusters import (
    enclosing_group,
    ensure_cluster,
    leave_cluster,
    look_at_cluster,
    target_of,
    task_key_of,
    task_of,
    wait_for_cluster,
)
from airflow_provider_air.hooks.outcome import (
    BACKSTOP_SECONDS,
    airflow_errors,
    backstop,
    failure_of_end,
    read_records,
    read_records_of_failure,
    show_rest_of_log,
)
from airflow_provider_air.hooks.resolver import backend_of
from airflow_provider_air.identity import OnClear
from airflow_provider_air.links.mlflow import MlflowRunLink
from airflow_provider_air.links.ray import RayDashboardLink, RayJobLink, push_links
from airflow_provider_air.operators.attempts import Attempts, Ride, number_of_clears
from airflow_provider_air.operators.fields import VISIBLE, check_fields, check_secrets
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.ray_api.packages import Package
from airflow_provider_air.ray_api.requests import stop_job
from airflow_provider_air.records import result_of
from airflow_provider_air.triggers.admission import RayAdmissionTrigger
from airflow_provider_air.triggers.cluster import RayClusterTrigger
from airflow_provider_air.triggers.job import RayJobTrigger
from airflow_provider_air.workloads.job import JobRequest, prepare

if TYPE_CHECKING:
    from airflow.sdk import Context


class RayJobOperator(BaseOperator):
    """
    Base of the operators that run one Ray job.

    :param cluster: a cluster spec (then the cluster is this task's own), or the XCom of a task that made one
    :param ray_conn_id: the ``ray`` connection, where ``cluster`` is not given
    :param tracker: such as ``MlflowTracker()``: the run is noted there, whatever happens to the job
    :param deferrable: wait in the triggerer without a worker slot; False waits on the worker, by the same code
    :param on_clear: what a clear by a person does: ``auto`` resumes after anything but a success
    :param cluster_timeout_seconds: how long a cluster may take to become ready
    :param max_concurrent_jobs: how many live jobs the cluster takes; further ones wait without a worker slot
    :param unreachable_timeout_seconds: how long the cluster may not answer while its job runs
    :param log_limit_bytes: how much of the job's log is shown in the task log
    """

    template_fields: Sequence[str] = ("cluster", "ray_conn_id", "tracker")
    operator_extra_links: Sequence[BaseOperatorLink] = (RayJobLink(), RayDashboardLink(), MlflowRunLink())
    workload: ClassVar[str] = "submit"

    def __init__(
        self,
        *,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        tracker: Any = None,
        deferrable: bool = True,
        on_clear: OnClear = "auto",
        cluster_timeout_seconds: float = 600.0,
        max_concurrent_jobs: int | None = None,
        unreachable_timeout_seconds: float = 600.0,
        log_limit_bytes: int = 64 * 1024 * 1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.tracker = tracker
        self.deferrable = deferrable
        self.on_clear: OnClear = on_clear
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.max_concurrent_jobs = max_concurrent_jobs
        self.unreachable_timeout_seconds = unreachable_timeout_seconds
        self.log_limit_bytes = log_limit_bytes
        self._stop_target: tuple[Any, str] | None = None
        self._killed = False

    # What a workload's operator writes

    def build_job(self, context: Context) -> JobRequest:
        """
        Say what to run, from the rendered fields; runs in the worker before anything remote.

        :raises ConfigurationError: a field is wrong
        """
        raise NotImplementedError

    def check_reach(self) -> None:
        """Check what a new job needs elsewhere, before any cluster starts; not called for a job that is there."""

    def stage(self, packages: Sequence[Package]) -> None:
        """Put code that is too large for Ray where ``code_uri`` of the request says; none without such."""

    def read_result(self, value: Any) -> Any:
        """Turn the driver's result into the task's XCom."""
        return value

    def tracked_parameters(self) -> Mapping[str, Any]:
        """Give what a tracker notes of the author's settings; plain JSON, no secrets."""
        return {}

    def push_result(self, context: Context, result: Any) -> None:
        """Store more of the result than the task's XCom; nothing by default."""

    # The lifecycle, on the worker

    def execute(self, context: Context) -> Any:
        """
        Run the job: adopt it where an earlier try started it, else submit it; then wait.

        :raises AirflowFailException: the DAG, a connection or the environment is wrong; not retried
        :raises AirError: this try failed; Airflow's retries apply
        """
        with airflow_errors():
            check_fields(self)
            check_spec(self.tracker, "tracker")
            request = self.build_job(context)
            check_secrets({name: getattr(request, name) for name in VISIBLE})
            target = target_of(self, context)
            prepare(request, "air-check", metadata={}, not_after=None)
            attempts = self._open(context)
            attempts.open_try(
                max_tries=context["ti"].max_tries,
                clear_number=number_of_clears(context["dag_run"]),
                on_clear=self.on_clear,
            )
            decision = attempts.settle()
            if decision is not None and decision.action != "submit":
                ref = ClusterRef.from_json(decision.attempt.cluster)
                if decision.action == "collect" and decision.job is not None:
                    return self._finish(context, attempts, ref, decision.job)
                return self._wait(context, ref, decision.attempt.submission_id)
            self.check_reach()
            ref = ensure_cluster(target, attempts.key)
            if self.deferrable and look_at_cluster(ref).state is ClusterState.STARTING:
                self._defer_for_cluster(ref)
            return self._admit(context, attempts, ref, self._deadline())

    def on_cluster_ready(self, context: Context, event: Any, deadline: float | None = None) -> Any:
        """Go on once the cluster is there; called by Airflow on a worker, after the cluster's trigger."""
        with airflow_errors():
            ref = ClusterRef.from_json(event.get("cluster") if isinstance(event, dict) else None)
            return self._admit(context, self._open(context), ref, deadline)

    def _admit(self, context: Context, attempts: Attempts, ref: ClusterRef, deadline: float | None) -> Any:
        """Wait for room on a cluster that takes only so many jobs at once."""
        limit = self.max_concurrent_jobs
        if limit is None and self.cluster is None and (group := enclosing_group(self)) is not None:
            limit = group.max_concurrent_jobs
        if limit is None:
            return self._submit(context, attempts, ref, deadline)
        trigger = RayAdmissionTrigger(
            cluster=ref.to_json(), task=str(attempts.key), max_concurrent_jobs=limit, deadline=deadline
        )
        if self.deferrable:
            self.defer(
                trigger=trigger,
                method_name=self.on_admitted.__name__,
                kwargs={"deadline": deadline},
                timeout=backstop(deadline),
            )
        event = {"cluster": ref.to_json(), "admitted": asyncio.run(trigger.wait())}
        return self.on_admitted(context, event, deadline)

    def on_admitted(self, context: Context, event: Any, deadline: float | None = None) -> Any:
        """Submit once the cluster has room; called by Airflow on a worker."""
        with airflow_errors():
            event = event if isinstance(event, dict) else {}
            ref = ClusterRef.from_json(event.get("cluster"))
            if event.get("message"):
                raise ClusterUnreachableError(str(event["message"]), where=ref.name)
            if event.get("admitted") is not True:
                raise DeadlineExceededError(
                    "The task's execution_timeout passed while it waited for room on the cluster",
                    where=ref.name,
                    hint="Raise max_concurrent_jobs or execution_timeout",
                )
            return self._submit(context, self._open(context), ref, deadline)

    def _submit(self, context: Context, attempts: Attempts, ref: ClusterRef, deadline: float | None) -> Any:
        try:
            wait_for_cluster(ref, self.cluster_timeout_seconds)
            submission_id = self._submit_once(context, attempts, self.build_job(context), ref, deadline)
        except AirError:
            leave_cluster(ref)
            raise
        return self._wait(context, ref, submission_id, deadline)

    def _submit_once(
        self,
        context: Context,
        attempts: Attempts,
        request: JobRequest,
        ref: ClusterRef,
        deadline: float | None,
    ) -> str:
        current = attempts.ledger.current
        intended = current is not None and current.phase == "intended" and current.cluster == ref.to_json()
        attempt = current if intended and current else attempts.begin(ref, has_records=request.has_records)
        riders = attempts.riders(attempt)
        request = riders.board(request)
        attempts.pack(attempt.submission_id, riders.luggage)
        metadata = attempts.key.metadata(attempt, context["ti"].try_number)
        prepared = prepare(request, attempt.submission_id, metadata=metadata, not_after=deadline)
        self.stage(prepared.staged)
        transport = backend_of(ref.backend).open_transport(ref)
        self._stop_target = (transport, attempt.submission_id)
        with RayClient(transport) as client:
            if context["ti"].try_number > 1:
                attempts.stop_strays(client)
            attempts.submit(client, attempt, prepared)
            if self._killed:
                client.send(stop_job(attempt.submission_id))
        backend_of(ref.backend).attach_job(ref, attempt.submission_id)
        return attempt.submission_id

    def _wait(self, context: Context, ref: ClusterRef, submission_id: str, deadline: float | None = None) -> Any:
        transport = backend_of(ref.backend).open_transport(ref)
        self._stop_target = (transport, submission_id)
        context["ti"].xcom_push(key="submission_id", value=submission_id)
        deadline = deadline or self._deadline()
        attempts = self._open(context)
        attempt = attempts.find(submission_id)
        riders = attempts.riders(attempt) if attempt else None
        push_links(context["ti"], transport.base_url, submission_id, riders.luggage if riders else {})
        trigger = RayJobTrigger(
            cluster=ref.to_json(),
            submission_id=submission_id,
            task=task_of(context),
            deadline=deadline,
            has_records=bool(attempt and attempt.has_records),
            delete_cluster=ref.owned,
            unreachable_seconds=self.unreachable_timeout_seconds,
            log_limit_bytes=self.log_limit_bytes,
            riders=riders.to_json() if riders and riders.luggage else None,
        )
        if self.deferrable:
            self.defer(trigger=trigger, method_name=self.on_job_end.__name__, timeout=backstop(deadline))
        event = trigger.event_of(asyncio.run(trigger.watch()))
        return self.on_job_end(context, event)

    def on_job_end(self, context: Context, event: Any) -> Any:
        """Collect, or fail in the job's own words; called by Airflow on a worker, after the job's trigger."""
        with airflow_errors():
            # From the ledger, not from defer's kwargs: `airflow dags test` drops those (3.3.2).
            attempts = self._open(context)
            attempt = attempts.ledger.current
            if attempt is None or not isinstance(event, dict) or event.get("submission_id") != attempt.submission_id:
                raise ProtocolError(f"The trigger's event is not about this task's job: {event!r}"[:500])
            ref, submission_id = ClusterRef.from_json(attempt.cluster), attempt.submission_id
            job = JobDetails.from_json(event["job"]) if event.get("job") else None
            if job is not None and job.submission_id != submission_id:
                raise ProtocolError(f"The trigger's event tells of job {job.submission_id!r}", where=submission_id)
            show_rest_of_log(ref, submission_id, event.get("log_rest"), self.log_limit_bytes)
            outcome = event.get("outcome")
            if outcome == "ended" and job is not None:
                return self._finish(context, attempts, ref, job)
            if outcome == "lost":
                attempts.mark(submission_id, "LOST")
            elif outcome == "deadline":
                attempts.stop_for_good(submission_id)
            error = failure_of_end(outcome, submission_id, job, str(event.get("message") or ""))
            if outcome in ("lost", "deadline"):
                attempts.tell_riders(submission_id, Outcome(outcome.upper(), str(error)))
            if outcome != "unreachable":
                leave_cluster(ref)
            raise error

    def _finish(self, context: Context, attempts: Attempts, ref: ClusterRef, job: JobDetails) -> Any:
        attempt = attempts.find(job.submission_id)
        has_records = bool(attempt and attempt.has_records)
        if job.status.value != "SUCCEEDED":
            records = read_records_of_failure(ref, job) if has_records else []
            attempts.mark(job.submission_id, job.status.value)
            error = failure_of_end("ended", job.submission_id, job, "", records)
            attempts.tell_riders(job.submission_id, Outcome(job.status.value, str(error)), records)
            leave_cluster(ref)
            raise error
        request = self.build_job(context)
        try:
            records = read_records(ref, job) if has_records else []
            value = result_of(records, where=job.submission_id) if request.expects_result else job.submission_id
        except ResultLostError:
            attempts.mark(job.submission_id, "RESULT_LOST")
            leave_cluster(ref)
            raise
        result = self.read_result(value)
        if attempt is not None:
            # Before it is marked and its cluster is left: where this fails, the next try collects again.
            attempts.riders(attempt).alight(Outcome("SUCCEEDED", result=result), records)
        self.push_result(context, result)
        attempts.mark(job.submission_id, "SUCCEEDED")
        leave_cluster(ref)
        return result

    # Ends that are not the job's own

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Come back from a deferral, also from a broken one: then the job is stopped, since nobody watches it.

        Airflow calls this instead of ``execute``; a crashed trigger and a deferral time-out arrive here only.
        """
        if next_method == TRIGGER_FAIL_REPR:
            with airflow_errors():
                attempts = self._open(context)
                current = attempts.ledger.current
                if current is not None and current.is_open:
                    self.log.warning("The trigger ended without an event: stopping job %s", current.submission_id)
                    attempts.stop_for_good(current.submission_id)
                    stopped = Outcome("STOPPED", "The trigger ended without an event")
                    attempts.tell_riders(current.submission_id, stopped)
                    leave_cluster(ClusterRef.from_json(current.cluster))
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Stop the job; runs inside a signal handler, so it is one request with all resolved beforehand."""
        self._killed = True
        if self._stop_target is None:
            return
        transport, submission_id = self._stop_target
        try:
            with RayClient(transport, patience_seconds=0) as client:
                client.send(stop_job(submission_id, timeout_seconds=3))
        except AirError as error:
            self.log.warning("Job %s could not be stopped: %s", submission_id, error)

    # Small things

    def _defer_for_cluster(self, ref: ClusterRef) -> NoReturn:
        deadline = self._deadline()
        self.log.info("Cluster %s is starting", ref.name)
        self.defer(
            trigger=RayClusterTrigger(cluster=ref.to_json(), timeout_seconds=self.cluster_timeout_seconds),
            method_name=self.on_cluster_ready.__name__,
            kwargs={"deadline": deadline},
            timeout=timedelta(seconds=self.cluster_timeout_seconds + BACKSTOP_SECONDS),
        )
        raise AssertionError("defer does not return")

    def _open(self, context: Context) -> Attempts:
        ride = Ride(
            specs=() if self.tracker is None else (self.tracker,),
            workload=self.workload,
            parameters=self.tracked_parameters(),
            try_number=context["ti"].try_number,
        )
        return Attempts(task_key_of(context), context["task_state_store"], backend_of, ride)

    def _deadline(self) -> float | None:
        """When this try must be over, in epoch seconds: ``execution_timeout``, which Airflow ignores while deferred."""
        return None if self.execution_timeout is None else time.time() + self.execution_timeout.total_seconds()
