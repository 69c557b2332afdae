"""
Watches what a run waits for, and says what came: in the triggerer, or in place on a worker. Starts nothing.

What people see of it (log, progress, history, live tracking) is a convenience: where one of them fails, there is one
warning, and the watch goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.clusters import PENDING_STATES, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, Observation
from airflow_provider_air.contracts.runs import Log, Spawned, Wait, event_text
from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.runs.admission import Wish
from airflow_provider_air.runs.attached import Attached, LiveRecords
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.lines import RecordLines, log_entries
from airflow_provider_air.runs.live import LiveHistory
from airflow_provider_air.runs.notice import WaitNotice
from airflow_provider_air.runs.progress import Progress
from airflow_provider_air.runs.silence import Silence
from airflow_provider_air.runs.stopping import Stopping

if TYPE_CHECKING:
    from airflow_provider_air.runs.ports import WatchPorts

AGAIN = "[watching again after an interruption: the next lines may repeat the last ones above]"
# In which a cluster is waited for, by what is waited for.
AWAITED_STATES = {
    "cluster": PENDING_STATES,
    "ready": (*PENDING_STATES, ClusterState.ABSENT),
    "gone": tuple(state for state in ClusterState if state is not ClusterState.ABSENT),
}


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
        self._history: LiveHistory | None = None
        self._records = RecordLines(ports.log, ports.clock)
        self._warned: set[str] = set()
        began = max(self._attempt.steps.values(), default=None)
        self._notice = WaitNotice(ports.log, ports.clock, began)
        self._telling: Spawned | None = None

    async def event(self, until: float | None = None) -> dict[str, Any] | None:
        """
        Wait, and say what came: plain JSON that is stored in the clear, so it holds no secret.

        Always ``{"version": 1, "what", "submission_id"}``, and no more for ``pause``. For ``cluster``, ``ready`` and
        ``gone`` also ``cluster`` (the JSON form of its ClusterRef), ``state``, ``message`` and ``retryable``; for
        ``room`` ``admitted``, ``message`` and ``until`` (epoch seconds until which the place is kept, where it is
        admitted); for ``end`` ``outcome``, ``message``, ``loss``, ``job`` (the JSON form of JobDetails, or None),
        ``log_rest`` (from which byte on the log was not shown) and ``seen`` (what the job's history has and its
        records do not tell).

        :param until: epoch seconds at which it gives up; then None, and another watch can go on
        :raises ProtocolError: the step names no cluster
        """
        ref = self._attempt.cluster_ref
        kinds = {
            **dict.fromkeys(AWAITED_STATES, self._cluster),
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

    def _expires_at(self, ref: ClusterRef) -> float | None:
        ports = self._ports
        return ports.leases.expires_at(ref, ports.clusters, ports.clock, ports.log)

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
        last = ClusterStatus(ClusterState.UNKNOWN)
        awaited = AWAITED_STATES[self._step.what]
        try:
            backend = self._ports.clusters(ref.backend)
            async with aclosing(backend.watch(ref, self._ports.clock)) as looks:
                async for status in looks:
                    if self._step.what != "gone":
                        self._count_on(ref)
                    last = replace(status, message=status.message or last.message)
                    if status.state not in awaited or self._is_over(self._step.until):
                        break
                    if self._is_over(until):
                        return None
                    await self._tell(f"the cluster {ref.name}: {status.message or status.state.value}"[:500])
        except ConfigurationError as error:
            last = ClusterStatus(ClusterState.FAILED, str(error))
        message = event_text(last.message, self._ports.log)
        told = {"state": last.state.value, "message": message, "retryable": last.retryable}
        return {"cluster": ref.to_json(), **told}

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
        attempt = self._attempt
        progress = self._progress = Progress(
            self._ports.board, self._ports.clock, attempt.submission_id, attempt.steps.get("submitted")
        )
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
        history = self._history = LiveHistory(self._ports.board, clock, self._attempt, lambda: self._expires_at(ref))
        if progress.is_resumed:
            with self._ports.contained("The history of an earlier watch could not be read", self._warned):
                await history.resume()
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
                    await history.note(seen, progress.running_at)
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
            "seen": self._seen(),
        }

    def _seen(self) -> dict[str, Any]:
        with self._ports.contained("What was seen of the job is not told", self._warned):
            return {} if self._history is None else self._history.seen()
        return {}

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
        """Stop what a person wants stopped, see :class:`~airflow_provider_air.runs.stopping.Stopping`."""
        await Stopping(self._attempt, self._step.what, self._ports).stop(is_taken=is_taken)


def job_to_event(job: JobDetails | None, log: Log) -> dict[str, Any] | None:
    """Give the form of a job that an event may hold."""
    return None if job is None else replace(job, message=event_text(job.message, log)).to_json()


def status_of(event: Mapping[str, Any]) -> ClusterStatus:
    """:raises ValueError: the event's state is none."""
    state, message = ClusterState(event.get("state")), str(event.get("message") or "")
    return ClusterStatus(state, message, retryable=event.get("retryable") is not False)


def job_of(event: dict[str, Any]) -> JobDetails | None:
    """:raises ProtocolError: the event's job is no job."""
    return JobDetails.from_json(event["job"]) if event.get("job") else None
