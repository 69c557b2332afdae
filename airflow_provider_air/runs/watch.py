"""
Watches what a run waits for, and says what came: in the triggerer, or in place on a worker. Starts nothing.

What people see of it (log, progress, history, live tracking) is a convenience: where one of them fails, there is one
warning, and the watch goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import PENDING_STATES, ClusterBackend, ClusterRef, ClusterState
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, JobBackend, Observation
from airflow_provider_air.contracts.runs import Board, Clock, Log, Spawned, Wait, event_text
from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.runs.admission import Admission, Wish
from airflow_provider_air.runs.attached import Attached, LiveRecords
from airflow_provider_air.runs.history import LiveHistory
from airflow_provider_air.runs.leases import Leases
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.lines import RecordLines, log_entries
from airflow_provider_air.runs.notice import WaitNotice
from airflow_provider_air.runs.progress import Progress
from airflow_provider_air.runs.silence import Silence
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.runs.cluster_requests import AskedOfClusters

AGAIN = "[watching again after an interruption: the next lines may repeat the last ones above]"
# Airflow bounds on_kill at 30 s; what is left is for the cluster's deletion.
KILL_SECONDS = 15.0
# The last of a kill, and less than what is left of Airflow's 30 s.
TELLING_SECONDS = 5.0
NOT_ABSENT_STATES = tuple(state for state in ClusterState if state is not ClusterState.ABSENT)


@dataclass(frozen=True)
class WatchPorts:
    """
    What a watch needs of the process that it lives in.

    :param clusters: gives a cluster back end by its name
    :param admission: the process's one, shared by all its watches
    :param leases: likewise
    :param asked: likewise, of what people ask of clusters; None where nobody can
    """

    board: Board
    connections: Connections
    clusters: Callable[[str], ClusterBackend]
    log: Log
    clock: Clock
    admission: Admission
    leases: Leases = field(default_factory=Leases, kw_only=True)
    asked: AskedOfClusters | None = field(default=None, kw_only=True)

    def jobs(self, attempt: Attempt) -> JobBackend:
        """Give what runs an attempt that has a cluster."""
        ref = attempt.cluster_ref
        backend = self.clusters(ref.backend)
        return backend.serving(ref) if attempt.kind == "rollout" else backend.jobs(ref)

    @contextmanager
    def contained(self, what: str, told: set[str] | None = None) -> Iterator[None]:
        """
        Keep whatever is raised inside from ending what goes on around it: it is only warned about.

        :param what: what has failed then, as a sentence without a full stop
        :param told: what was warned about already, and is not again
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001  # a custom back end, an odd answer: nothing is known of what it raises
            if told is None or what not in told:
                self.log.warning("%s: %s: %s", what, type(error).__name__, error)
            if told is not None:
                told.add(what)


class Watch:
    """
    One wait of one attempt.

    :param lines_at_once: see :class:`~airflow_provider_air.contracts.jobs.FollowSettings`
    """

    def __init__(self, step: Wait, ports: WatchPorts, *, lines_at_once: int | None = None) -> None:
        self._step = step
        self._ports = ports
        self._lines_at_once = lines_at_once
        self._attempt = Attempt.from_json(step.attempt)
        self._progress: Progress | None = None
        self._records = RecordLines(ports.log, ports.clock)
        self._warned: set[str] = set()
        began = max(self._attempt.steps.values(), default=None)
        self._notice = WaitNotice(ports.log, ports.clock, began)
        self._telling: Spawned | None = None

    async def event(self, until: float | None = None) -> dict[str, Any] | None:
        """
        Wait, and say what came: plain JSON that is stored in the clear, so it holds no secret.

        Always ``{"version": 1, "what", "submission_id"}``, and no more for ``pause``. For ``cluster`` and ``gone`` also
        ``cluster`` (the JSON form of its ClusterRef), ``state`` and ``message``; for ``room`` ``admitted``, ``message``
        and ``until`` (epoch seconds until which the place is kept, where it is admitted); for ``end`` ``outcome``,
        ``message``, ``loss``, ``job`` (the JSON form of JobDetails, or None) and ``log_rest`` (from which byte on the
        log was not shown).

        :param until: epoch seconds at which it gives up; then None, and another watch can go on
        :raises ProtocolError: the step names no cluster
        """
        ref = self._attempt.cluster_ref
        kinds = {
            "cluster": self._cluster,
            "gone": self._cluster,
            "room": self._room,
            "end": self._end,
            "pause": self._pause,
        }
        if self._step.what not in kinds:
            raise ProtocolError(f"Nobody knows how to wait for {self._step.what!r}")
        told = await kinds[self._step.what](ref, until)
        head = {"version": 1, "what": self._step.what, "submission_id": self._attempt.submission_id}
        return None if told is None else {**head, **told}

    def _is_over(self, until: float | None) -> bool:
        return until is not None and self._ports.clock.now() >= until

    def _count_on(self, ref: ClusterRef) -> None:
        """Note now and then that this run uses a cluster which others may use, too, and do what is asked of it."""
        ports = self._ports
        ports.leases.renew(ref, ports.clusters, ports.clock, ports.log)
        if ports.asked is not None:
            made_at = self._attempt.steps.get("cluster", 0.0)
            ports.asked.look(ref, made_at, ports.board, ports.clusters, ports.clock, ports.log)

    async def _tell(self, what: str) -> None:
        """Say what is waited for before there is a job, where that is due."""
        with self._ports.contained("What is waited for could not be told", self._warned):
            if self._notice.note(what):
                await self._write_wait(what)

    async def _write_wait(self, what: str) -> None:
        with self._ports.contained("What is waited for could not be told", self._warned):
            progress = Progress(self._ports.board, self._ports.clock, self._attempt.submission_id)
            progress.note_wait(what, self._notice.since)
            # Clean: no line of a log was shown.
            await progress.write(clean=True)

    # The cluster

    async def _cluster(self, ref: ClusterRef, until: float | None) -> dict[str, Any] | None:
        state, message = ClusterState.UNKNOWN, ""
        awaited = PENDING_STATES if self._step.what == "cluster" else NOT_ABSENT_STATES
        try:
            backend = self._ports.clusters(ref.backend)
            async with aclosing(backend.watch(ref, self._ports.clock)) as looks:
                async for status in looks:
                    if self._step.what == "cluster":
                        self._count_on(ref)
                    state, message = status.state, status.message or message
                    if state not in awaited or self._is_over(self._step.until):
                        break
                    if self._is_over(until):
                        return None
                    await self._tell(f"the cluster {ref.name}: {status.message or status.state.value}"[:500])
        except ConfigurationError as error:
            state, message = ClusterState.FAILED, str(error)
        return {"cluster": ref.to_json(), "state": state.value, "message": event_text(message, self._ports.log)}

    # Room on it

    async def _room(self, ref: ClusterRef, until: float | None) -> dict[str, Any] | None:
        attempt, ends = self._attempt, [at for at in (self._step.until, until) if at is not None]
        if self._is_over(self._step.until) or attempt.limit is None:
            return {"admitted": attempt.limit is None, "message": ""}
        wish = Wish(attempt.info.key, attempt.submission_id, attempt.limit, min(ends, default=None))
        what = f"room on {ref.name}, which runs {attempt.limit} jobs at most"

        def say(live: int) -> None:
            self._count_on(ref)
            # Those who wait for room share their looks, so this one must not wait for what it writes.
            with self._ports.contained("What is waited for could not be told", self._warned):
                if self._notice.note(what, f"{live} live now"):
                    self._telling = self._ports.clock.spawn(self._write_wait(what))

        try:
            jobs = self._ports.jobs(attempt)
            kept_until = await self._ports.admission.place(ref, jobs, wish, self._ports.clock, say)
        except AirError as error:
            return {"admitted": False, "message": event_text(str(error), self._ports.log)}
        if kept_until is not None:
            return {"admitted": True, "message": "", "until": kept_until}
        return {"admitted": False, "message": ""} if self._is_over(self._step.until) else None

    # The time between two attempts

    async def _pause(self, ref: ClusterRef, until: float | None) -> dict[str, Any] | None:
        clock, end = self._ports.clock, self._step.until or 0.0
        while not self._is_over(end):
            if self._is_over(until):
                return None
            await clock.asleep(min(end, end if until is None else until) - clock.now())
        return {}

    # The job's end

    async def _end(self, ref: ClusterRef, until: float | None) -> dict[str, Any] | None:
        progress = self._progress = Progress(self._ports.board, self._ports.clock, self._attempt.submission_id)
        offset, exact = 0, False
        with self._ports.contained("The progress of an earlier watch could not be read", self._warned):
            offset, exact = await progress.take_over()
        if not exact:
            self._ports.log.info(AGAIN)
        try:
            end = await self._follow(ref, progress, offset, until)
        except ConfigurationError as error:
            end = FollowEnd("refused", message=str(error))
        except AirError as error:
            end = FollowEnd("unreachable", message=str(error))
        self._records.finish()
        if end is not None:
            end = await self._judge_by_cluster(ref, self._judge_by_owner(end))
            # Its last records may have been seen while it still ran.
            progress.note_status(end.job)
        with self._ports.contained("The progress could not be written", self._warned):
            await progress.write(clean=True)
        return None if end is None else self._told(end)

    async def _follow(self, ref: ClusterRef, progress: Progress, offset: int, until: float | None) -> FollowEnd | None:
        clock, log = self._ports.clock, self._ports.log
        attached = Attached(self._attempt.attachments, self._ports.connections, log)
        live = LiveRecords(attached, self._attempt, clock, log)
        history = LiveHistory(self._ports.board, self._ports.clock, self._attempt)
        silence = self._silence(ref)
        async with aclosing(self._ports.jobs(self._attempt).follow(self._settings(offset), clock)) as seen_of_it:
            async for seen in seen_of_it:
                if isinstance(seen, FollowEnd):
                    await live.finish()
                    return seen
                self._count_on(ref)
                next_record = progress.next_record
                with self._ports.contained("What the job tells could not be shown", self._warned):
                    self._show(seen, next_record)
                    progress.note(seen)
                    self._note_wait(seen, progress)
                with self._ports.contained("Live tracking failed", self._warned):
                    live.note([record for record in seen.records if record["seq"] >= next_record])
                with self._ports.contained("The progress could not be written", self._warned):
                    await progress.write_if_due()
                with self._ports.contained("The history could not be written", self._warned):
                    await history.note(seen)
                if (gone := await silence.note(seen)) is not None:
                    await live.finish()
                    return gone
                if self._is_over(until):
                    return None
        raise ProtocolError("The job's back end stopped following it", where=self._attempt.submission_id)

    def _told(self, end: FollowEnd) -> dict[str, Any]:
        return {
            "outcome": end.outcome,
            "message": event_text(end.message, self._ports.log),
            "job": job_to_event(end.job, self._ports.log),
            "log_rest": end.log_rest,
            "loss": end.loss,
        }

    def _settings(self, offset: int) -> FollowSettings:
        return FollowSettings(
            self._attempt.submission_id,
            until=self._step.until,
            accepted_on=self._attempt.accepted_on,
            unreachable_seconds=self._attempt.unreachable_seconds,
            log_offset=offset,
            log_limit_bytes=self._attempt.log_limit_bytes,
            has_records=self._attempt.has_records,
            lines_at_once=self._lines_at_once,
        )

    def _note_wait(self, seen: Observation, progress: Progress) -> None:
        if seen.waiting_for:
            self._notice.note(seen.waiting_for)
            progress.note_wait(seen.waiting_for, self._notice.since)
        elif seen.job is not None:
            self._notice.over()

    def _show(self, seen: Observation, next_record: int) -> None:
        # No await in here: a cancellation cannot fall between showing lines and noting that they were shown.
        for entry in log_entries(seen.lines):
            self._ports.log.info("%s", entry)
        self._records.show([record for record in seen.records if record["seq"] >= next_record])

    def _judge_by_owner(self, end: FollowEnd) -> FollowEnd:
        """A head that has lost its jobs may have taken somebody else's of the same id, where an author chose it."""
        if end.job is not None and self._attempt.is_strangers(end.job.metadata):
            return FollowEnd("lost", message="Somebody else has a job of its id by now")
        return end

    async def _judge_by_cluster(self, ref: ClusterRef, end: FollowEnd) -> FollowEnd:
        gone = await self._silence(ref).judge(end.job) if end.outcome == "unreachable" else None
        return gone or end

    def _silence(self, ref: ClusterRef) -> Silence:
        return Silence(self._ports.clusters(ref.backend), ref, self._ports.clock)

    # Ends that are not the job's own

    async def cleanup(self) -> None:
        """Note exactly how much of the log was shown, for the triggerer that goes on; stops nothing."""
        if self._progress is not None and self._progress.is_taken_over:
            with self._ports.contained("The progress could not be written", self._warned):
                await self._progress.write(clean=True)

    async def kill(self, *, is_taken: bool = False) -> None:
        """
        Stop what a person wants stopped: the job, then a cluster that goes with it; the attachments are told last,
        and what is left of them after :data:`TELLING_SECONDS` goes on behind it, or not.

        Runs in the triggerer; the caller knows that it is a person's word.

        :param is_taken: a worker has the task by now, after a clear or another triggerer's event: the cluster and the
            attachments are its to end
        """
        ref = self._attempt.ref
        if ref is None or self._step.what == "pause":
            return
        if self._step.what == "end":
            self._ports.log.info("Stopping Ray job %s", self._attempt.submission_id)
            await self._quietly(self._stop(), "The job was not seen to stop")
        if self._step.what == "room":
            back = self._ports.clock.in_thread(self._ports.admission.give_back, self._attempt.submission_id)
            await self._quietly(back, "Its place was not given back")
        if is_taken:
            return
        if ref.owned and await self._is_as_it_was(ref):
            backend = self._ports.clusters(ref.backend)
            await self._quietly(self._ports.clock.in_thread(backend.delete, ref), "The cluster was not deleted")
        if self._attempt.attachments:
            attached = Attached(self._attempt.attachments, self._ports.connections, self._ports.log)
            outcome = Outcome("STOPPED", "A person stopped the task")
            told = self._ports.clock.in_spare_thread(attached.on_end, self._attempt.info, outcome)
            telling = self._ports.clock.spawn(self._quietly(told, "An attachment was not told"))
            await telling.wait(TELLING_SECONDS)
            if not telling.done():
                self._ports.log.warning("The attachments were not told in time (%s)", self._attempt.submission_id)

    async def _is_as_it_was(self, ref: ClusterRef) -> bool:
        """A cleared task may have begun anew by now, with a new cluster of the same name."""
        if ref.uid:
            # Whichever has the name now, that one alone is deleted.
            return True
        taken_on = self._attempt.accepted_on
        with self._ports.contained(f"Nobody knows whether the cluster {ref.name} is still the same"):
            backend = self._ports.clusters(ref.backend)
            status = await self._ports.clock.in_thread(backend.describe, ref)
            return taken_on is None or status.incarnation in (None, taken_on)
        return True

    async def _quietly(self, work: Awaitable[Any], what: str) -> None:
        # What cannot be done now must not keep the rest from being done.
        with self._ports.contained(f"{what} ({self._attempt.submission_id})"):
            await work

    async def _stop(self) -> None:
        clock, jobs, name = self._ports.clock, self._ports.jobs(self._attempt), self._attempt.submission_id
        end = clock.now() + KILL_SECONDS
        for pause in backoff_seconds(0.3, 1.0):
            try:
                await clock.in_thread(jobs.stop, name)
                job = (await clock.in_thread(jobs.look, name)).job
                if job is None or job.status.is_terminal:
                    return
            except UnavailableError:
                if clock.now() + pause > end:
                    raise
            if clock.now() + pause > end:
                self._ports.log.warning("Ray job %s was not seen to stop: no end in time", name)
                return
            await clock.asleep(pause)


def job_to_event(job: JobDetails | None, log: Log) -> dict[str, Any] | None:
    """Give the form of a job that an event may hold."""
    return None if job is None else replace(job, message=event_text(job.message, log)).to_json()


def job_of(event: dict[str, Any]) -> JobDetails | None:
    """:raises ProtocolError: the event's job is no job."""
    return JobDetails.from_json(event["job"]) if event.get("job") else None
