"""
Exactly once: decides, from the ledger and from what Ray says, whether to adopt, collect or submit.

Runs in the worker. Everything is written to the ledger before it is done remotely.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_air.attachment import AttachmentSpec, Outcome, Voyage
from airflow_provider_air.clusters.contract import ClusterBackend, ClusterRef, ClusterState
from airflow_provider_air.errors import AirError, JobLostError, UnavailableError
from airflow_provider_air.hooks.attachments import Riders
from airflow_provider_air.identity import LEDGER_KEY, Attempt, Ledger, OnClear, TaskKey
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.ray_api.packages import upload
from airflow_provider_air.ray_api.requests import get_job, list_jobs, stop_job, submit_job
from airflow_provider_air.waiting import backoff_seconds, wait_until
from airflow_provider_air.workloads.job import PreparedJob

log = logging.getLogger(__name__)

STOP_SECONDS = 20.0
LOOK_SECONDS = 45.0
SUBMIT_SECONDS = 90.0


@dataclass(frozen=True)
class Decision:
    """
    What to do in this try.

    :param action: ``submit`` (its attempt is in the ledger), ``adopt`` or ``collect``
    :param job: what Ray says of an adopted or finished job
    """

    action: str
    attempt: Attempt
    job: JobDetails | None = None


@dataclass(frozen=True)
class Ride:
    """What an operator's attachments are told beside the attempt."""

    specs: Sequence[AttachmentSpec] = ()
    workload: str = "submit"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    try_number: int = 1


class Attempts:
    """
    The attempts of one task instance, as seen from one try.

    :param store: Airflow's task state store (``get``/``set``)
    :param backend_of: gives the backend of a stored cluster reference
    """

    def __init__(
        self, key: TaskKey, store: Any, backend_of: Callable[[str], ClusterBackend], ride: Ride | None = None
    ) -> None:
        self.key = key
        self._ride = ride or Ride()
        self._store = store
        self._backend_of = backend_of
        self.ledger = Ledger.from_json(store.get(LEDGER_KEY))

    def _save(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._store.set(LEDGER_KEY, ledger.to_json())

    def open_try(self, *, max_tries: int, clear_number: int, on_clear: OnClear) -> None:
        """Note the start of a try; a clear by a person begins a new generation."""
        self._save(self.ledger.open_try(max_tries=max_tries, clear_number=clear_number, on_clear=on_clear))

    def mark(self, submission_id: str, phase: str, *, stop_pending: bool = False) -> None:
        """Write down what became of an attempt."""
        self._save(self.ledger.mark(submission_id, phase, stop_pending=stop_pending))

    def pack(self, submission_id: str, luggage: Mapping[str, Any]) -> None:
        """Keep what the attachments of an attempt want back at its end."""
        self._save(self.ledger.pack(submission_id, luggage))

    def find(self, submission_id: str) -> Attempt | None:
        """Give the attempt of an id, if the ledger still holds it."""
        return next((item for item in self.ledger.attempts if item.submission_id == submission_id), None)

    def settle(self) -> Decision | None:
        """
        Look at what earlier tries left; None where a new attempt is due.

        :raises UnavailableError: the cluster of a live attempt does not answer, so nothing may be started
        """
        for attempt in self.ledger.earlier_open():
            self.stop(attempt)
        current = self.ledger.current
        if current is None or current.phase in ("FAILED", "STOPPED", "LOST", "RESULT_LOST"):
            return None
        job = self._look(current)
        if job is not None:
            return self._by_status(current, job)
        if current.phase == "intended" and self._is_there(ClusterRef.from_json(current.cluster)):
            log.info("Job %s was meant to be submitted and never arrived: submitting it now", current.submission_id)
            return Decision("submit", current)
        if current.phase != "SUCCEEDED":
            log.info("Job %s is gone from its cluster", current.submission_id)
            self.mark(current.submission_id, "LOST")
            return None
        raise JobLostError(
            "The job succeeded in an earlier try, but its cluster no longer knows it, so its result cannot be read",
            where=current.submission_id,
            hint="Clear the task to run it again",
        )

    def _by_status(self, attempt: Attempt, job: JobDetails) -> Decision | None:
        if not job.status.is_terminal:
            if attempt.stop_pending:
                self.stop(attempt)
                return None
            log.info("Adopting job %s (%s)", attempt.submission_id, job.status.value)
            return Decision("adopt", attempt, job)
        self.mark(attempt.submission_id, job.status.value)
        if job.status.value != "SUCCEEDED":
            return None
        log.info("Job %s has succeeded meanwhile: collecting it", attempt.submission_id)
        return Decision("collect", attempt, job)

    def begin(self, ref: ClusterRef, *, has_records: bool) -> Attempt:
        """Write the next attempt into the ledger; nothing is submitted yet."""
        self._save(self.ledger.intend(self.key, ref.to_json(), has_records=has_records))
        assert self.ledger.current is not None
        return self.ledger.current

    def submit(self, client: RayClient, attempt: Attempt, prepared: PreparedJob) -> None:
        """
        Bring the packages and the job to the cluster; a lost reply is asked after, never guessed.

        :raises ConfigurationError: Ray rejected it
        :raises UnavailableError: no certainty within :data:`SUBMIT_SECONDS`; the next try goes on from here
        """
        end = time.monotonic() + SUBMIT_SECONDS
        for pause in backoff_seconds(0.5, 5.0):
            try:
                for package in prepared.packages:
                    upload(client, package)
                if client.send(submit_job(prepared.submission)):
                    log.info("Submitted Ray job %s", attempt.submission_id)
                else:
                    log.info("Ray has job %s already", attempt.submission_id)
                break
            except UnavailableError as error:
                log.warning("Submitting %s: %s", attempt.submission_id, error)
                if self._arrived(client, attempt.submission_id):
                    break
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
        self.mark(attempt.submission_id, "submitted")

    @staticmethod
    def _arrived(client: RayClient, submission_id: str) -> bool:
        try:
            return client.send(get_job(submission_id)) is not None
        except UnavailableError:
            return False

    def stop(self, attempt: Attempt) -> None:
        """
        Stop an attempt and wait for its end; what cannot be stopped is noted as stop-pending.

        :raises UnavailableError: its cluster is there but does not answer
        """
        ref = ClusterRef.from_json(attempt.cluster)
        job = self._look(attempt)
        if job is None:
            self.mark(attempt.submission_id, "LOST")
            self.tell_riders(attempt.submission_id, Outcome("LOST", "Its cluster no longer knows the job"))
            return
        if not job.status.is_terminal:
            log.info("Stopping job %s", attempt.submission_id)
            with RayClient(self._backend_of(ref.backend).open_transport(ref)) as client:
                job = stop_and_wait(client, attempt.submission_id) or job
        pending = not job.status.is_terminal
        if pending:
            log.warning("Job %s was asked to stop and has not ended: %s", attempt.submission_id, job.message)
        # What did not end stays open in the ledger: the next try asks again.
        self.mark(attempt.submission_id, attempt.phase if pending else job.status.value, stop_pending=pending)
        if not pending:
            self.tell_riders(attempt.submission_id, Outcome(job.status.value, "A later try ended it"))

    def stop_for_good(self, submission_id: str) -> None:
        """Stop an attempt that nobody will watch; what cannot be done now is left to the next try."""
        attempt = self.find(submission_id)
        if attempt is None:
            return
        try:
            self.stop(attempt)
        except AirError as error:
            log.warning("Job %s could not be stopped: %s", submission_id, error)
            self.mark(submission_id, "submitted", stop_pending=True)

    def riders(self, attempt: Attempt) -> Riders:
        """Give the attachments of an attempt."""
        voyage = Voyage(
            key=self.key,
            submission_id=attempt.submission_id,
            run_name=self.key.run_name(self.ledger.run_generation),
            generation=self.ledger.run_generation,
            try_number=self._ride.try_number,
            workload=self._ride.workload,
            cluster=ClusterRef.from_json(attempt.cluster).name,
            parameters=self._ride.parameters,
        )
        return Riders(self._ride.specs, voyage, attempt.luggage)

    def tell_riders(self, submission_id: str, outcome: Outcome, records: Sequence[Mapping[str, Any]] = ()) -> None:
        """Hand an outcome that is no success to the attachments; they cannot make it worse."""
        attempt = self.find(submission_id)
        if attempt is not None:
            self.riders(attempt).alight_quietly(outcome, records)

    def stop_strays(self, client: RayClient) -> None:
        """Stop live jobs of this task instance that the ledger does not know, such as after its expiry."""
        known = {item.submission_id for item in self.ledger.attempts}
        for job in client.send(list_jobs()):
            stray = job.submission_id not in known and self.key.owns(job.metadata)
            if stray and not job.status.is_terminal:
                log.warning("Stopping stray job %s of this task", job.submission_id)
                stop_and_wait(client, job.submission_id)

    def _look(self, attempt: Attempt) -> JobDetails | None:
        """Ask for an attempt's job; None where neither it nor its cluster is there any more."""
        ref = ClusterRef.from_json(attempt.cluster)
        try:
            with RayClient(self._backend_of(ref.backend).open_transport(ref), patience_seconds=LOOK_SECONDS) as client:
                return client.send(get_job(attempt.submission_id))
        except UnavailableError:
            if self._is_there(ref):
                raise
            return None

    def _is_there(self, ref: ClusterRef) -> bool:
        state = self._backend_of(ref.backend).describe(ref).state
        return state not in (ClusterState.ABSENT, ClusterState.FAILED)


def stop_and_wait(client: RayClient, submission_id: str) -> JobDetails | None:
    """Stop a job and give its last details; not terminal where Ray could not stop it within 20 s."""
    seen: dict[str, JobDetails | None] = {"job": None}

    def ended() -> bool | None:
        seen["job"] = client.send(get_job(submission_id))
        job = seen["job"]
        return True if job is None or job.status.is_terminal else None

    client.send(stop_job(submission_id))
    try:
        wait_until(ended, what=f"the end of {submission_id}", timeout_seconds=STOP_SECONDS)
    except AirError as error:
        log.warning("%s", error)
    return seen["job"]


def number_of_clears(dag_run: Any) -> int:
    """How often the whole run was cleared, as the worker's context tells it (Airflow 3.3)."""
    return int(getattr(dag_run, "clear_number", 0) or 0)
