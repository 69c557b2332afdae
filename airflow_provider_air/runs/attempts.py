"""
The attempts of one task instance, as one try sees them: written down, looked at, stopped, told, and left.

Runs in the worker. Everything is written to the ledger before it is done remotely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_air import waiting
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import (
    ClusterBackend,
    ClusterRef,
    ClusterState,
    ClusterStatus,
)
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import (
    AirError,
    ConfigurationError,
    TaskReplacedError,
    UnavailableError,
)
from airflow_provider_air.runs.asking import made_by, patience_within, patiently, refused_now, stop_and_wait
from airflow_provider_air.runs.attached import to_be_told, told_in_time
from airflow_provider_air.runs.choices import CHOICE_KEY, Choice
from airflow_provider_air.runs.ledger import (
    LEDGER_KEY,
    MOST_KEPT_CHARACTERS,
    Attempt,
    Ledger,
    OnClear,
)
from airflow_provider_air.runs.names import owns
from airflow_provider_air.runs.silence import GONE_STATES
from airflow_provider_air.waiting import PATIENCE_SECONDS, SHORT_PATIENCE_SECONDS

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import JobBackend, JobLook
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.ray_api.models import JobDetails
    from airflow_provider_air.runs.plan import Try
    from airflow_provider_air.runs.ports import Ports

T = TypeVar("T")
# How long a cluster is asked for what a person has cleared: the task's own time goes by meanwhile.
CLEARED_PATIENCE_SECONDS = 20.0
EARLIER = Outcome("STOPPED", "A later try ended it")
# How long a cluster without an expiry is kept for people to look at.
KEPT_SECONDS = 86400.0
# After which people may want to look at a cluster.
FAILURES = ("FAILED", "LOST", "DEADLINE")


class Attempts:
    """
    The ledger of one task instance, with what is done to its attempts.

    :param has_next: whether Airflow tries again when this try fails
    """

    def __init__(self, key: TaskKey, ports: Ports, *, has_next: bool = False) -> None:
        self.key = key
        self._ports = ports
        self._has_next = has_next
        self._told: set[str] = set()
        self.is_refused = False
        """Airflow took no word of this try, which has a next one: that one may have all by now."""
        self.ledger = Ledger.from_json(ports.store.get(LEDGER_KEY))

    # Written down

    def save(self, ledger: Ledger) -> None:
        """Write the ledger, where it has changed."""
        if ledger != self.ledger:
            try:
                self._ports.store.set(LEDGER_KEY, ledger.to_json())
            except Exception:
                self.is_refused = self._has_next
                raise
            self.ledger, self.is_refused = ledger, False

    def open_try(self, this: Try, *, on_clear: OnClear) -> None:
        """
        Note the start of a try; a clear by a person begins a new generation.

        What that person has chosen along with it counts in place of ``on_clear``, for this clear alone.
        """
        choice = Choice.of(self._ports.store) if this.is_cleared_since(vars(self.ledger)) else None
        if choice is None or (choice.at is not None and choice.at == self.ledger.choice_at):
            self.save(self.ledger.open_try(this, on_clear=on_clear))
            return
        word: OnClear = choice.word
        if choice.until is not None and choice.until < self._ports.clock.now():
            word = on_clear
            passed = (
                "The choice of %r in the Ray tab is passed over, on_clear=%r counts: nobody has heard that its clear"
            )
            self._ports.log.warning(f"{passed} was done, so this may be a later one", choice.word, on_clear)
        opened = self.ledger.open_try(this, on_clear=word)
        self.save(replace(opened, choice_at=choice.at))
        # Whoever dies before this leaves a choice that the ledger knows to be taken.
        with self._ports.contained("What was chosen for this clear could not be removed"):
            self._ports.store.delete(CHOICE_KEY)

    def put(self, attempt: Attempt, **changes: Any) -> Attempt:
        """Write down what has become of an attempt, and give its newer form."""
        attempt = replace(attempt, **changes)
        self.save(self.ledger.put(attempt))
        return attempt

    def at(self, attempt: Attempt, step: str) -> dict[str, float]:
        """Give an attempt's steps with one more, taken now."""
        return {**attempt.steps, step: self._ports.clock.now()}

    def first(self, attempt: Attempt, step: str) -> dict[str, float]:
        """Give an attempt's steps with one that is taken now, unless it was before."""
        return {**self.at(attempt, step), **attempt.steps}

    def ready(self, attempt: Attempt) -> Attempt:
        """Note that an attempt's cluster takes work; written down where somebody is to wait for room there."""
        ready = replace(attempt, steps=self.first(attempt, "ready"))
        return ready if ready.limit is None else self.put(ready)

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
            look = self.patiently(partial(self.jobs(attempt).look, attempt.submission_id), patience)
            is_strangers = look.job is not None and attempt.is_strangers(look.job.metadata)
            return replace(look, job=None) if is_strangers else look
        except ConfigurationError as error:
            raise refused_now(attempt.submission_id, "unknown", str(error)) from error
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
        Write down an attempt's end, leave its cluster, and tell the attachments, which may take their time.

        Who dies in between leaves an attempt that the next try ends again, or has written down who is still untold.
        """
        if attempt.limit is not None:
            with self._ports.contained("The job's place was not given back"):
                self._ports.admission.give_back(attempt.submission_id)
        attempt = self.put(
            attempt,
            phase=phase,
            outcome=outcome.status,
            stop_pending=False,
            message=shortened(outcome.message, MOST_KEPT_CHARACTERS),
            attachments=to_be_told(attempt.attachments, outcome),
            # As its job said, where that was heard.
            steps=self.first(attempt, "ended"),
        )
        return self.tell(self.leave(attempt), outcome, records)

    def close(self, attempt: Attempt, result: Any = None) -> Attempt:
        """
        Do for an attempt whose end is written down what whoever wrote it may not have come to.

        :param result: of a good end, as its attachments are told
        """
        attempt = self.leave(attempt)
        told = Outcome(attempt.outcome, attempt.message, result)
        return attempt if self.is_told(attempt) else self.tell(attempt, told)

    def is_told(self, attempt: Attempt) -> bool:
        """Whether its attachments have heard of its end, as far as this try can do something about it."""
        # Who did not answer this try a moment ago may still be busy with what it was told then.
        is_done = attempt.is_open or attempt.submission_id in self._told
        return is_done or not any(entry.untold for entry in attempt.attachments)

    def tell(self, attempt: Attempt, outcome: Outcome, records: Sequence[dict[str, Any]] = ()) -> Attempt:
        """Hand an outcome to the attachments; what one does not take is written down as untold."""
        if all(entry.state is None for entry in attempt.attachments):
            return attempt
        self._told.add(attempt.submission_id)
        entries = self._ports.clock.run(told_in_time(attempt, outcome, records, self._ports))
        return self.put(attempt, attachments=entries)

    def leave(self, attempt: Attempt) -> Attempt:
        """
        Have the cluster deleted where it is the task's own, or keep it where its attempt failed and people wish that.

        Kept, it stays until the next attempt, see :meth:`release_kept`, or its expiry. A failure to delete it is left
        to its expiry, too.
        """
        ref = attempt.ref
        if ref is None or not ref.owned or attempt.cluster_left or attempt.cluster_kept:
            return attempt
        is_failure = not attempt.is_open and attempt.outcome in FAILURES
        if is_failure and attempt.keep_cluster == "on_failure" and self._may_be_looked_at(ref):
            self._tell_of_kept(attempt, ref)
            return self.put(attempt, cluster_kept=True)
        return self._delete_cluster(attempt, ref)

    def release_kept(self) -> None:
        """Have clusters deleted that were kept for people: the next attempt begins, and a task never has two."""
        for attempt in self.ledger.attempts:
            if attempt.cluster_kept:
                # Asked once: another one may have the same name soon.
                self.put(self._delete_cluster(attempt, attempt.cluster_ref), cluster_kept=False)

    def _may_be_looked_at(self, ref: ClusterRef) -> bool:
        with self._ports.contained(f"Nobody knows whether the cluster {ref.name} is still there"):
            return self.describe(ref).state not in (ClusterState.ABSENT, ClusterState.DELETING)
        return True

    def _tell_of_kept(self, attempt: Attempt, ref: ClusterRef) -> None:
        expires: float | None = None
        seconds, pages = KEPT_SECONDS, dict[str, str]()
        with self._ports.contained("What is known of the cluster is not complete"):
            mine = made_by(self.key, ref, self.backend(ref))
            if mine is not None and mine.expires_at is not None:
                expires, seconds = mine.expires_at, mine.expires_at - mine.seen_at
            # So that no clean-up takes it for left behind.
            self.backend(ref).extend(ref, seconds)
            pages = dict(self.jobs(attempt).pages())
        until = "" if expires is None else f" or {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC"
        self._ports.log.warning(
            "The cluster %s is kept for you to look at%s, until this task's next try%s, or its idle time-out. "
            "To delete it now: airflow air clusters delete %s (a local one), or RayDeleteClusterOperator(cluster=%r)",
            ref.name,
            "".join(f" ({page})" for page in list(pages.values())[:1]),
            until,
            ref.name,
            ref.to_json(),
        )

    def _delete_cluster(self, attempt: Attempt, ref: ClusterRef) -> Attempt:
        # A failed clean-up never hides a result.
        with self._ports.contained(f"Cluster {ref.name} could not be deleted now, its expiry will"):
            attempt = self._announced(attempt, "left")
            patience = patience_within(attempt.deadline, self._ports.clock.now())
            self.patiently(lambda: self.backend(ref).delete(ref), patience)
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
            attempt = self._announced(attempt, "stopping")
            job = self._stop_where_it_is(attempt, job)
        if job is not None and not job.status.is_terminal:
            self._ports.log.warning(
                "Job %s was asked to stop and has not ended: %s", attempt.submission_id, job.message
            )
            # It stays open in the ledger: the next try asks again. A cluster of its own takes it along.
            return self.put(self.leave(attempt), stop_pending=True)
        status = "LOST" if job is None else job.status.value
        return self.end(attempt, status, outcome if status == "STOPPED" else Outcome(status, outcome.message))

    def _announced(self, attempt: Attempt, step: str) -> Attempt:
        """
        Write down what is asked for next.

        A worker that woke after another try took its place is refused here, and leaves alone what is that one's now;
        where Airflow is only away and there is no other try, nothing may stay alive.
        """
        try:
            return self.put(attempt, steps=self.at(attempt, step))
        except TaskReplacedError:
            raise
        except Exception:
            if self._has_next:
                raise
            return attempt

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
        # A cluster that goes takes the job along, whatever it answers.
        goes = attempt.ref is not None and attempt.ref.owned
        # It must not hide why the task ends.
        with self._ports.contained(f"Job {attempt.submission_id} could not be stopped"):
            # Whoever refuses us may let us in again: a token is rotated, a connection corrected.
            stopped = waiting.patiently(
                lambda: self.stop(attempt, outcome, SHORT_PATIENCE_SECONDS),
                patience_seconds=SHORT_PATIENCE_SECONDS if goes else PATIENCE_SECONDS,
                on=AirError,
                now=self._ports.clock.now,
                sleep=self._ports.clock.sleep,
            )
        if stopped is None:
            stopped = self.put(self.leave(self.ledger.find(attempt.submission_id) or attempt), stop_pending=True)
        if stopped.stop_pending:
            self.tell(stopped, outcome)

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
        # Of a deployment that was named anew, jobs may live under its old name.
        names = {self.key.deployment, *(str(known.key.get("deployment")) for known in self.ledger.attempts)}
        keys = [replace(self.key, deployment=name) for name in names]
        for job in self.patiently(jobs.alive):
            if job.submission_id != attempt.submission_id and any(owns(key, job.metadata) for key in keys):
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
