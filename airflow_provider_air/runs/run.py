"""
One task instance's run, as a step machine for workers.

``begin`` settles what earlier tries left, then adopts, collects, or starts; what it returns is waited for anywhere, and
``resume`` goes on in any process. All that a step needs is in the ledger's attempt, written before the remote call that
it describes. Errors leave by one door, :meth:`Run._ending`: where no try is left, nothing stays alive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import (
    PENDING_STATES,
    ClusterOwner,
    ClusterRef,
    ClusterState,
    ClusterStatus,
)
from airflow_provider_air.contracts.jobs import whole_log_of
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    JobStoppedError,
    ProtocolError,
    UnavailableError,
)
from airflow_provider_air.runs.attached import Attached
from airflow_provider_air.runs.attempts import Attempts
from airflow_provider_air.runs.ends import Collecting
from airflow_provider_air.runs.failures import failure_of_cluster, failure_of_end, failure_of_start
from airflow_provider_air.runs.killing import Kill
from airflow_provider_air.runs.ledger import DETACHED, Attempt
from airflow_provider_air.runs.names import run_name
from airflow_provider_air.runs.plan import BuildInfo, Plan, Try
from airflow_provider_air.runs.sending import Sending, write_job_links, write_links
from airflow_provider_air.runs.settling import Decision, Settling
from airflow_provider_air.runs.watch import Watch, job_of, status_of

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.models import JobDetails
    from airflow_provider_air.runs.ports import Ports

# A wait in place ends now and then to resolve anew how the job would be stopped: tokens and addresses age.
SLICE_SECONDS = 600.0


class Run:
    """
    A run, as seen from one process of one try.

    :raises ProtocolError: its ledger cannot be read
    """

    def __init__(self, plan: Plan, this: Try, ports: Ports) -> None:
        self._plan = plan
        self._this = this
        self._ports = ports
        self._attempts = Attempts(this.key, ports, has_next=this.has_next)
        self._collecting = Collecting(plan, self._attempts, ports)
        self._settling = Settling(self._attempts, self._collecting, ports)
        self._kill = Kill(self._attempts, ports, has_next=this.has_next)
        self._began = ports.clock.now()

    @cached_property
    def _sending(self) -> Sending:
        """What this try sends; a job that is adopted or collected needs none."""
        return Sending(self._plan, self._attempts, self._ports)

    # Steps

    def begin(self) -> Wait | Done:
        """
        Settle what earlier tries left, and start what is due.

        :raises ConfigurationError: the DAG, a connection or the environment is wrong; no retry helps
        :raises AirError: this try failed
        """
        with self._ending():
            self._attempts.open_try(self._this, on_clear=self._plan.on_clear)
            self._kill.prepare(*self._attempts.ledger.earlier_open(), self._attempts.ledger.current)
            return self._collecting.or_pause(self._act(self._settling.settle()))

    def resume(self, event: Any) -> Wait | Done:
        """
        Go on after a wait; raises as :meth:`begin` does.

        :param event: what the watch of the step has told
        """
        with self._ending():
            attempt = self._attempts.ledger.current
            told = event if isinstance(event, Mapping) else {}
            if attempt is None or told.get("submission_id") != attempt.submission_id:
                raise ProtocolError(f"The watch's event is not about this task's job: {event!r}"[:500])
            self._kill.prepare(attempt)
            steps = {"cluster": self._ready, "room": self._admitted, "end": self._ended, "pause": self._paused}
            if told.get("what") not in steps:
                raise ProtocolError(f"The watch's event tells of nothing known: {event!r}"[:500])
            if attempt.is_open == (told["what"] == "pause"):
                raise ProtocolError(f"The attempt is {attempt.phase}, which the watch's event is not about: {event!r}")
            return self._collecting.or_pause(steps[told["what"]](attempt, told))

    def wait(self, step: Wait, until: float | None = None) -> dict[str, Any] | None:
        """
        Wait in place, by the watch's own code; blocks.

        :param until: epoch seconds at which it gives up; then None, and a trigger can go on
        """
        clock = self._ports.clock
        attempt = Attempt.from_json(step.attempt)
        while True:
            self._refuse_if_killed(attempt)
            self._kill.prepare(attempt)
            slice_end = clock.now() + SLICE_SECONDS
            end = slice_end if until is None else min(until, slice_end)
            event = clock.run(Watch(step, self._ports).event(end))
            if event is not None or (until is not None and clock.now() >= until):
                return event

    def trigger_failed(self) -> Wait | Done | None:
        """
        A trigger ended without an event: while a try is left, its job goes on, and the next try adopts it.

        After the deadline, or on the last try, the job is stopped; where it has succeeded meanwhile, it is collected.
        """
        attempt = self._attempts.ledger.current
        if attempt is None or not attempt.is_open:
            return None
        if (done := self._collecting.kept_success(attempt)) is not None:
            return self._collecting.or_pause(done)
        if self._is_past(attempt.deadline):
            self._attempts.stop_for_good(attempt, Outcome("DEADLINE", "The trigger did not end in time"))
        elif not self._this.has_next:
            self._ports.log.warning("The trigger ended without an event: stopping job %s", attempt.submission_id)
            self._attempts.stop_for_good(attempt, Outcome("STOPPED", "The trigger ended without an event"))
        else:
            self._ports.log.warning("The trigger ended without an event: the next try goes on with its job")
        return None

    def expire(self) -> None:
        """The worker's own time is over (Airflow's alarm): stop what runs."""
        self._stop_all(Outcome("DEADLINE", "The task's execution_timeout passed"))
        # Airflow calls on_kill next.
        self._kill.is_over = True

    def kill(self, is_wanted: Callable[[], bool]) -> None:
        """Stop what runs, for a signal handler; see :meth:`~airflow_provider_air.runs.killing.Kill.do`."""
        self._kill.do(is_wanted)

    # What is due

    def _act(self, decision: Decision) -> Wait | Done:
        acts: dict[str, Callable[[Attempt, JobDetails | None], Wait | Done | None]] = {
            "adopt": self._wait_for_end,
            "collect": self._collecting.collect,
            "collect_again": lambda attempt, _: self._collecting.collect_again(attempt),
            "detach": self._detach,
        }
        act, attempt = acts.get(decision.action, self._go_on), decision.attempt
        step = None if attempt is None else act(attempt, decision.job)
        return self._start() if step is None else step

    def _go_on(self, attempt: Attempt, job: JobDetails | None = None) -> Wait | Done | None:
        """Go on with an attempt of which nothing can run; None where the task now wants another cluster."""
        target = self._plan.target()
        ref = target if isinstance(target, ClusterRef) else self._name(target, attempt)
        old = attempt.ref
        if old is not None and (old.backend, old.name) != (ref.backend, ref.name):
            self._attempts.end(attempt, "STOPPED", Outcome("STOPPED", "The task now uses another cluster"))
            return None
        info = self._build_info(ref)
        self._sending.check(info, target)
        attempt = self._attempts.put(
            attempt,
            cluster=(old or ref).to_json(),
            phase="intended",
            cluster_left=False,
            steps={name: at for name, at in attempt.steps.items() if name in ("intended", "cluster")},
            **self._terms(),
        )
        return self._have_cluster(attempt, target)

    # A new attempt

    def _start(self) -> Wait | Done:
        plan, attempts = self._plan, self._attempts
        target = plan.target()
        ledger = attempts.ledger.intend(
            attempts.key,
            plan.submission_id,
            workload=plan.workload,
            storage=self._sending.storage_uri,
            attachments=Attached.entries_of(self._sending.specs),
            steps={"intended": self._ports.clock.now()},
            **self._terms(),
        )
        attempt = ledger.current
        assert attempt is not None
        # Named with the attempt's id: some kinds have a cluster for each.
        ref = target if isinstance(target, ClusterRef) else self._name(target, attempt)
        request = self._sending.check(self._build_info(ref), target)
        attempt = replace(attempt, kind="job" if request.rollout is None else "rollout", cluster=ref.to_json())
        attempts.save(ledger.put(attempt))
        return self._have_cluster(attempt, target)

    def _terms(self) -> dict[str, Any]:
        now, current = self._ports.clock.now(), self._attempts.ledger.current
        return self._plan.terms(self._this, current, began=self._began, now=now)

    def _name(self, target: Any, attempt: Attempt) -> ClusterRef:
        return self._ports.clusters(target.backend).name_of(target, self._attempts.key, attempt.info)

    def _build_info(self, ref: ClusterRef) -> BuildInfo:
        name = run_name(self._attempts.key, self._attempts.ledger.run_generation)
        return BuildInfo(name, self._attempts.backend(ref).has_fixed_size, ref.owned, self._sending.storage_uri)

    # Its cluster

    def _have_cluster(self, attempt: Attempt, target: Any) -> Wait | Done:
        """
        Have the cluster, and go on as far as it is.

        :param target: the spec by which it is adopted or started; a ClusterRef or None where it is only looked at
        """
        ref = attempt.cluster_ref
        self._refuse_if_killed(attempt)
        self._attempts.release_kept()
        if target is not None and not isinstance(target, ClusterRef):
            ref = self._ensure(attempt, ref, target)
            steps = self._attempts.first(attempt, "cluster")
            attempt = self._attempts.put(attempt, cluster=ref.to_json(), steps=steps)
            self._refuse_if_killed(attempt)
            status = self._attempts.describe(ref)
            if status.state is ClusterState.ABSENT:
                # What was found being deleted is gone now: whoever waits for it sees that, and has it started anew.
                return attempt.wait("cluster", attempt.starts_until)
            return self._by_cluster(attempt, ref, status)
        return self._by_cluster(attempt, ref, self._attempts.describe(ref))

    def _ensure(self, attempt: Attempt, ref: ClusterRef, target: Any) -> ClusterRef:
        backend = self._attempts.backend(ref)
        if ref.owned:
            self._kill.add_deletion(ref)
        owner = ClusterOwner(self._attempts.key.deployment, self._attempts.key)
        with self._ending_unless_unavailable(attempt):
            return self._attempts.patiently(lambda: backend.ensure(target, ref, owner=owner, attempt=attempt.info))

    def _by_cluster(self, attempt: Attempt, ref: ClusterRef, status: ClusterStatus) -> Wait | Done:
        if status.state is ClusterState.READY:
            attempt = self._attempts.ready(attempt)
            return self._send(attempt) if attempt.limit is None else attempt.wait("room", attempt.deadline)
        if status.state not in PENDING_STATES:
            error = failure_of_cluster(ref, status)
            self._attempts.end(attempt, "FAILED", Outcome("FAILED", str(error)))
            raise error
        until = attempt.starts_until
        if self._is_past(until):
            raise self._never_ready(attempt, ref, status.message)
        self._ports.log.info("Cluster %s: %s", ref.name, status.message or status.state.value)
        return attempt.wait("cluster", until)

    def _never_ready(self, attempt: Attempt, ref: ClusterRef, message: str) -> DeadlineExceededError:
        own_deadline = self._is_past(attempt.deadline)
        seconds = None if own_deadline else self._plan.cluster_timeout_seconds
        error = failure_of_start(ref, message, timed_out_seconds=seconds)
        self._attempts.end(attempt, "FAILED", Outcome("DEADLINE" if own_deadline else "FAILED", str(error)))
        return error

    def _ready(self, attempt: Attempt, event: Mapping[str, Any]) -> Wait | Done:
        ref = attempt.cluster_ref
        status = status_of(event)
        if status.state in PENDING_STATES and self._is_past(attempt.starts_until):
            raise self._never_ready(attempt, ref, status.message)
        if status.state is ClusterState.FAILED:
            return self._by_cluster(attempt, ref, status)
        # What was being deleted is gone now: start it anew.
        return self._have_cluster(attempt, self._plan.target() if status.state is ClusterState.ABSENT else None)

    # Room on it, and the submission

    def _admitted(self, attempt: Attempt, event: Mapping[str, Any]) -> Wait | Done:
        ref = attempt.cluster_ref
        if event.get("admitted") is True and self._is_past(event.get("until")):
            # It took so long to come here that the place was given on.
            step = attempt.wait("room", attempt.deadline)
            told = self.wait(step, self._ports.clock.now())
            return step if told is None else self._admitted(attempt, told)
        if event.get("admitted") is True:
            return self._send(attempt)
        if event.get("message"):
            raise ClusterUnreachableError(str(event["message"]), where=ref.name)
        error = DeadlineExceededError(
            "The task's execution_timeout passed while it waited for room on the cluster",
            where=ref.name,
            hint="Raise max_concurrent_jobs or execution_timeout",
        )
        self._attempts.end(attempt, "FAILED", Outcome("DEADLINE", str(error)))
        raise error

    def _send(self, attempt: Attempt) -> Wait | Done:
        self._refuse_if_killed(attempt)
        if attempt.is_named:
            self._sending.refuse_strangers(attempt)
        self._kill.prepare(attempt)
        attempt, links = self._sending.send(attempt, self._build_info(attempt.cluster_ref))
        self._refuse_if_killed(attempt)
        write_links(self._ports, links)
        return self._wait_for_end(attempt) if attempt.waits else self._detach(attempt)

    def _refuse_if_killed(self, attempt: Attempt) -> None:
        if self._kill.was_done:
            self._attempts.stop_for_good(attempt, Outcome("STOPPED", "The task was stopped"))
            raise JobStoppedError("The task was stopped while its job was submitted", where=attempt.submission_id)

    def _wait_for_end(self, attempt: Attempt, job: JobDetails | None = None) -> Wait:
        write_job_links(self._ports, self._attempts, attempt)
        if not attempt.log_limit_bytes:
            self._ports.log.info("The job's log is not shown here: %s", whole_log_of(attempt.submission_id))
        return attempt.wait("end", attempt.deadline)

    def _detach(self, attempt: Attempt, job: JobDetails | None = None) -> Done:
        """Leave a job that its cluster has taken to whoever waits for it."""
        attempt = self._attempts.put(attempt, phase=DETACHED, deadline=None)
        write_job_links(self._ports, self._attempts, attempt)
        self._ports.log.info("Nobody waits here for job %s; a RayJobSensor can", attempt.submission_id)
        return Done(attempt.submission_id)

    # The end

    def _ended(self, attempt: Attempt, event: Mapping[str, Any]) -> Wait | Done:
        job = job_of(dict(event))
        if job is not None and job.submission_id != attempt.submission_id:
            raise ProtocolError(f"The watch's event tells of job {job.submission_id!r}", where=attempt.submission_id)
        self._collecting.take(attempt, event)
        outcome, message = event.get("outcome"), str(event.get("message") or "")
        if outcome == "ended" and job is not None:
            return self._collecting.finish(attempt, job)
        if outcome == "lost" and event.get("loss") in ("again", "next"):
            return self._act(self._settling.after_loss(attempt, event["loss"]))
        error = failure_of_end(outcome, attempt.submission_id, job, message)
        if outcome == "lost":
            self._attempts.end(attempt, "LOST", Outcome("LOST", str(error)))
        elif outcome == "deadline":
            if (done := self._collecting.kept_success(attempt)) is not None:
                return done
            self._attempts.stop_for_good(attempt, Outcome("DEADLINE", str(error)))
        raise error

    def _paused(self, attempt: Attempt, event: Mapping[str, Any]) -> Wait | Done:
        if self._is_past(attempt.deadline):
            raise DeadlineExceededError("The task's execution_timeout passed", where=attempt.submission_id)
        return self._start()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """Where no try is left, or none can help, nothing of the run stays alive."""
        try:
            with self._collecting.as_it_is_now():
                yield
        except Exception as error:
            if isinstance(error, ConfigurationError) or not self._this.has_next:
                self._stop_all(Outcome("FAILED", str(error)))
            raise

    def _stop_all(self, outcome: Outcome) -> None:
        """Stop what may still run, also of an earlier generation that could not be settled."""
        for attempt in self._attempts.ledger.attempts:
            if attempt != self._attempts.ledger.current or self._collecting.kept_success(attempt) is None:
                self._attempts.stop_for_good(attempt, outcome)
        for last in self._attempts.ledger.attempts[-1:]:
            # Its end may have been interrupted once it was written down.
            if not last.is_open:
                self._collecting.close(last, is_last=not self._this.has_next)

    @contextmanager
    def _ending_unless_unavailable(self, attempt: Attempt) -> Iterator[None]:
        """A cluster that was refused or cannot start ends its attempt; where nobody answered, the next try goes on."""
        try:
            yield
        except UnavailableError:
            raise
        except AirError as error:
            self._attempts.end(attempt, "FAILED", Outcome("FAILED", str(error)))
            raise

    def _is_past(self, moment: float | None) -> bool:
        return moment is not None and self._ports.clock.now() >= moment
