"""
The attempts of one task instance, as one try sees them: written down, looked at, stopped, told, left, and settled.

Runs in the worker. Everything is written to the ledger before it is done remotely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar

from airflow_provider_air import waiting
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ClusterStatus
from airflow_provider_air.contracts.jobs import JobBackend, JobLook, Loss
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Clock, Store
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.runs.attached import Attached
from airflow_provider_air.runs.ledger import LEDGER_KEY, Attempt, Ledger, OnClear
from airflow_provider_air.runs.names import owns
from airflow_provider_air.runs.watch import GONE_STATES, WatchPorts
from airflow_provider_air.waiting import PATIENCE_SECONDS, backoff_seconds

T = TypeVar("T")
STOP_SECONDS = 20.0
# Where its jobs were asked for patiently already.
SHORT_PATIENCE_SECONDS = 5.0
# How long a cluster is asked for what a person has cleared: the task's own time goes by meanwhile.
CLEARED_PATIENCE_SECONDS = 20.0
EARLIER = Outcome("STOPPED", "A later try ended it")


@dataclass(frozen=True)
class Ports(WatchPorts):
    """What a run needs of the process that it lives in: a worker, since a triggerer has no store."""

    store: Store


class Attempts:
    """
    The ledger of one task instance, with what is done to its attempts.

    :param has_next: whether Airflow tries again when this try fails
    """

    def __init__(self, key: TaskKey, ports: Ports, *, has_next: bool = False) -> None:
        self.key = key
        self._ports = ports
        self._has_next = has_next
        self.ledger = Ledger.from_json(ports.store.get(LEDGER_KEY))

    # Written down

    def save(self, ledger: Ledger) -> None:
        """Write the ledger, where it has changed."""
        if ledger != self.ledger:
            self._ports.store.set(LEDGER_KEY, ledger.to_json())
            self.ledger = ledger

    def open_try(self, *, max_tries: int, on_clear: OnClear) -> None:
        """Note the start of a try; a clear by a person begins a new generation."""
        self.save(self.ledger.open_try(max_tries=max_tries, on_clear=on_clear))

    def put(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Write down what has become of an attempt, and give its newer form."""
        attempt = replace(attempt, **changes)
        self.save(self.ledger.put(attempt))
        return attempt

    def at(self, attempt: Attempt, step: str) -> dict[str, float]:
        """Give an attempt's steps with one more, taken now."""
        return {**attempt.steps, step: self._ports.clock.now()}

    # Looked at

    def backend(self, ref: ClusterRef) -> ClusterBackend:
        """Give the back end of a cluster."""
        return self._ports.clusters(ref.backend)

    def jobs(self, attempt: Attempt) -> JobBackend:
        """Give what runs an attempt that has a cluster."""
        return self._ports.jobs(attempt)

    def patiently(self, ask: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
        """:raises UnavailableError: nobody answered for a while."""
        return patiently(ask, self._ports.clock, seconds)

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Ask for a cluster's state; asks again for a while where nobody answers.

        :raises UnavailableError: nobody did
        """
        return self.patiently(lambda: self.backend(ref).describe(ref))

    def look(self, attempt: Attempt, patience: float = PATIENCE_SECONDS) -> JobLook | None:
        """
        Ask for an attempt's job; None where its cluster is gone, or never was asked for it.

        :raises UnavailableError: its cluster is there, as far as anybody knows, and does not answer
        """
        ref = attempt.ref
        if ref is None or not attempt.is_sent:
            return None
        try:
            return self.patiently(partial(self.jobs(attempt).look, attempt.submission_id), patience)
        except UnavailableError:
            if self._is_gone(ref):
                return None
            raise

    def _is_gone(self, ref: ClusterRef) -> bool:
        status = self.patiently(lambda: self.backend(ref).describe(ref), SHORT_PATIENCE_SECONDS)
        return status.state in GONE_STATES

    # Ended

    def end(
        self,
        attempt: Attempt,
        phase: str,
        outcome: Outcome,
        records: Sequence[dict[str, Any]] = (),
    ) -> Attempt:
        """
        Tell the attachments of an attempt's end, write it down, and leave its cluster.

        In this order: who dies in between leaves an attempt that is still open, and the next try ends it again.
        """
        attempt = self.tell(attempt, outcome, records)
        if attempt.limit is not None:
            with self._ports.contained("The job's place was not given back"):
                self._ports.admission.give_back(attempt.submission_id)
        attempt = self.put(
            attempt,
            phase=phase,
            stop_pending=False,
            message=outcome.message[:500],
            steps=self.at(attempt, "ended"),
        )
        return self.leave(attempt)

    def tell(self, attempt: Attempt, outcome: Outcome, records: Sequence[dict[str, Any]] = ()) -> Attempt:
        """Hand an outcome to the attachments; what one does not take is written down as untold."""
        attached = Attached(attempt.attachments, self._ports.connections, self._ports.log)
        return self.put(attempt, attachments=attached.on_end(attempt.info, outcome, records))

    def leave(self, attempt: Attempt) -> Attempt:
        """Have the cluster deleted where it is the task's own; a failure to do so is left to its expiry."""
        ref = attempt.ref
        if ref is None or not ref.owned or attempt.cluster_left:
            return attempt
        # A failed clean-up never hides a result.
        with self._ports.contained(f"Cluster {ref.name} could not be deleted now, its expiry will"):
            self.patiently(lambda: self.backend(ref).delete(ref))
            return self.put(attempt, cluster_left=True)
        return attempt

    def stop(self, attempt: Attempt, outcome: Outcome, patience: float = PATIENCE_SECONDS) -> Attempt:
        """
        Stop an attempt and wait for its end; what cannot be stopped is noted as stop-pending.

        :param outcome: what the attachments are told where it is this that ended it
        :param patience: for how many seconds its cluster is asked again where it does not answer
        :raises AirError: its cluster is there, as far as anybody knows, and cannot be asked
        """
        if not attempt.is_sent:
            return self.end(attempt, "STOPPED", outcome)
        look = self.look(attempt, patience)
        if look is None or look.job is None:
            return self.end(attempt, "LOST", Outcome("LOST", "Its cluster no longer knows the job"))
        job: JobDetails | None = look.job
        if job is not None and not job.status.is_terminal:
            self._ports.log.info("Stopping job %s", attempt.submission_id)
            job = self._stop_where_it_is(attempt, job)
        if job is not None and not job.status.is_terminal:
            self._ports.log.warning(
                "Job %s was asked to stop and has not ended: %s", attempt.submission_id, job.message
            )
            # It stays open in the ledger: the next try asks again. A cluster of its own takes it along.
            return self.put(self.leave(attempt), stop_pending=True)
        status = "LOST" if job is None else job.status.value
        return self.end(attempt, status, outcome if status == "STOPPED" else Outcome(status, outcome.message))

    def _stop_where_it_is(self, attempt: Attempt, job: JobDetails) -> JobDetails | None:
        try:
            return self._stop_and_wait(self.jobs(attempt), job)
        except UnavailableError:
            ref = attempt.cluster_ref
            # A cluster that goes takes its jobs along.
            if self._is_gone(ref):
                return None
            raise

    def stop_for_good(self, attempt: Attempt, outcome: Outcome) -> None:
        """End an attempt that nobody will watch; what cannot be done now is written down, for whoever comes next."""
        if not attempt.is_open:
            return
        stopped: Attempt | None = None
        # It must not hide why the task ends.
        with self._ports.contained(f"Job {attempt.submission_id} could not be stopped"):
            stopped = self.stop(attempt, outcome)
        if stopped is None:
            stopped = self._left_behind(self.ledger.find(attempt.submission_id) or attempt)
        if stopped.stop_pending:
            self.tell(stopped, outcome)

    def _left_behind(self, attempt: Attempt) -> Attempt:
        """
        Note what could not be stopped, then leave its cluster.

        Where even that cannot be written down, another try may have begun, with a cluster of the same name: what is
        left of this one is the next try's.
        """
        try:
            attempt = self.put(attempt, stop_pending=True)
        except Exception:
            if not self._has_next:
                self.leave(attempt)
            raise
        return self.leave(attempt)

    def abandon(self, attempt: Attempt, error: AirError) -> None:
        """Give up an attempt whose cluster cannot be asked, because a person wants the task to run again."""
        self._ports.log.warning(
            "Job %s on cluster %s cannot be asked and is abandoned: it may still run there. %s",
            attempt.submission_id,
            "?" if attempt.cluster is None else attempt.cluster.get("name"),
            error,
        )
        self.end(attempt, "ABANDONED", Outcome("ABANDONED", str(error)))

    def stop_strays(self, attempt: Attempt) -> None:
        """
        Stop each live job of this task instance but this attempt's, known to the ledger or not.

        :raises UnavailableError: the cluster does not answer
        """
        jobs = self.jobs(attempt)
        for job in self.patiently(jobs.alive):
            if job.submission_id != attempt.submission_id and owns(self.key, job.metadata):
                self._stop_stray(jobs, job)

    def _stop_stray(self, jobs: JobBackend, job: JobDetails) -> None:
        known = self.ledger.find(job.submission_id)
        if known is not None and known.stop_pending:
            # Its end was waited for already.
            self.patiently(lambda: jobs.stop(job.submission_id))
            return
        self._ports.log.warning("Stopping stray job %s of this task", job.submission_id)
        self._stop_and_wait(jobs, job)

    def _stop_and_wait(self, jobs: JobBackend, job: JobDetails) -> JobDetails | None:
        return stop_and_wait(jobs, job, self._ports.clock)


@dataclass(frozen=True)
class Decision:
    """
    What is due after what earlier tries left.

    :param action: ``start`` a new attempt, ``go_on`` with one of which nothing can run, ``adopt`` one whose job lives,
        ``collect`` one whose job has ended, or ``collect_again`` one that was collected before
    :param job: what its job was seen to be, for ``adopt`` and ``collect``
    """

    action: Literal["start", "go_on", "adopt", "collect", "collect_again"]
    attempt: Attempt | None = None
    job: JobDetails | None = None


START = Decision("start")


class Settling:
    """Exactly once is decided here, by the ledger and by what Ray says; runs in the worker."""

    def __init__(self, attempts: Attempts, ports: Ports) -> None:
        self._attempts = attempts
        self._ports = ports

    def settle(self) -> Decision:
        """
        End what is not wanted any more of earlier tries, and say what is due.

        :raises UnavailableError: what may still run cannot be asked, so nothing may be started beside it
        """
        attempts = self._attempts
        for attempt in attempts.ledger.earlier_open():
            self._end_earlier(attempt)
        current = attempts.ledger.current
        if current is None or not (current.is_open or current.phase == "SUCCEEDED"):
            # Whoever wrote down its end may have died before its cluster was left.
            for last in attempts.ledger.attempts[-1:]:
                attempts.leave(last)
            return START
        if current.phase == "SUCCEEDED":
            return Decision("collect_again", current)
        if current.is_sent:
            return self._settle_sent(current)
        return self._stopped(current) if self._is_unwanted(current) else Decision("go_on", current)

    def after_loss(self, attempt: Attempt, loss: Loss) -> Decision:
        """Say what is due after a job that its cluster does not know; ``lost`` and ``next`` end the attempt."""
        if loss == "again":
            self._ports.log.info("Job %s never arrived, or its cluster was replaced: sending it", attempt.submission_id)
            return Decision("go_on", attempt)
        return self._lost(attempt, "The cluster no longer knows the job")

    def _is_unwanted(self, attempt: Attempt) -> bool:
        """Whether it was to be stopped, or its time is over: it is not gone on with."""
        return attempt.stop_pending or (attempt.deadline is not None and self._ports.clock.now() >= attempt.deadline)

    def _stopped(self, attempt: Attempt) -> Decision:
        self._attempts.stop(attempt, EARLIER)
        return START

    def _lost(self, attempt: Attempt, why: str) -> Decision:
        self._ports.log.info("Job %s is gone: %s", attempt.submission_id, why)
        self._attempts.end(attempt, "LOST", Outcome("LOST", why))
        return START

    def _settle_sent(self, attempt: Attempt) -> Decision:
        look = self._attempts.look(attempt)
        if look is None:
            return self._lost(attempt, "Its cluster is gone")
        if look.job is None:
            loss = self._attempts.jobs(attempt).after_loss(attempt.accepted_on, look.incarnation)
            return self.after_loss(attempt, "lost" if self._is_unwanted(attempt) else loss)
        if look.job.status.is_terminal:
            self._ports.log.info("Job %s has ended meanwhile: %s", attempt.submission_id, look.job.status.value)
            return Decision("collect", attempt, look.job)
        return self._stopped(attempt) if self._is_unwanted(attempt) else self._adopted(attempt, look.job, look)

    def _adopted(self, attempt: Attempt, job: JobDetails, look: JobLook) -> Decision:
        self._ports.log.info("Adopting job %s (%s)", attempt.submission_id, job.status.value)
        accepted_on = attempt.accepted_on or look.incarnation
        return Decision("adopt", self._attempts.put(attempt, phase="submitted", accepted_on=accepted_on), job)

    def _end_earlier(self, attempt: Attempt) -> None:
        is_cleared = attempt.generation != self._attempts.ledger.generation
        patience = CLEARED_PATIENCE_SECONDS if is_cleared else PATIENCE_SECONDS
        try:
            self._attempts.stop(attempt, EARLIER, patience)
        except AirError as error:
            # A retry must not start beside what may still run; what a person has cleared can always run again.
            if not is_cleared:
                raise
            self._attempts.abandon(attempt, error)


def patiently(ask: Callable[[], T], clock: Clock, seconds: float = PATIENCE_SECONDS) -> T:
    """
    Ask again for a while where nobody answers.

    :raises UnavailableError: nobody did
    """
    return waiting.patiently(ask, patience_seconds=seconds, now=clock.now, sleep=clock.sleep)


def stop_and_wait(jobs: JobBackend, job: JobDetails, clock: Clock) -> JobDetails | None:
    """
    Stop a job and give its last details; None where it became unknown, not terminal where it did not end in 20 s.

    :raises AirError: the cluster does not take the stop
    """
    patiently(lambda: jobs.stop(job.submission_id), clock)
    seen: JobDetails | None = job
    end = clock.now() + STOP_SECONDS
    for pause in backoff_seconds(0.2, 1.0):
        try:
            seen = jobs.look(job.submission_id).job
        except UnavailableError:
            if clock.now() + pause > end:
                raise
        if seen is None or seen.status.is_terminal or clock.now() + pause > end:
            return seen
        clock.sleep(pause)
    raise AssertionError("unreachable")
