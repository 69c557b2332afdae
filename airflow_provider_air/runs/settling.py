"""
Decides what is due after what earlier tries left; exactly once is decided here, by the ledger and by what Ray says.

Runs in the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.errors import AirError
from airflow_provider_air.runs.attempts import CLEARED_PATIENCE_SECONDS, EARLIER, Attempts
from airflow_provider_air.runs.ledger import DETACHED, GOOD_PHASES, Attempt
from airflow_provider_air.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import JobLook, Loss
    from airflow_provider_air.ray_api.models import JobDetails
    from airflow_provider_air.runs.ends import Collecting
    from airflow_provider_air.runs.ports import Ports


@dataclass(frozen=True)
class Decision:
    """
    What is due after what earlier tries left.

    :param action: ``start`` a new attempt, ``go_on`` with one of which nothing can run, ``adopt`` one whose job lives,
        ``collect`` one whose job has ended, ``collect_again`` one that was collected before, or ``detach`` one whose
        job is on its cluster and not waited for
    :param job: what its job was seen to be, for ``adopt`` and ``collect``
    """

    action: Literal["start", "go_on", "adopt", "collect", "collect_again", "detach"]
    attempt: Attempt | None = None
    job: JobDetails | None = None


START = Decision("start")


class Settling:
    """What one try settles."""

    def __init__(self, attempts: Attempts, collecting: Collecting, ports: Ports) -> None:
        self._attempts = attempts
        self._collecting = collecting
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
        if current is None or not (current.is_open or current.phase in GOOD_PHASES):
            # Whoever wrote down its end may have died before its cluster was left.
            for last in attempts.ledger.attempts[-1:]:
                self._collecting.close(last, is_last=True)
            return START
        if current.phase in GOOD_PHASES:
            return Decision("collect_again", current)
        if current.phase == DETACHED:
            return Decision("detach", current)
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
        if not attempt.waits and not attempt.stop_pending:
            return Decision("detach", attempt, look.job)
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
