"""
Follows one job to its end: its log, its records and its state, from any earlier point on.

Completion is decided by the Jobs API alone. Reading a log may fail; that never fails a job.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.jobs_api.pending import PendingWords
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, Observation, whole_log_of
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.records import RecordBuffer
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.ray_api.feed import POLL_SECONDS, ClusterFeed, Look
from airflow_provider_air.ray_api.lines import LogLines
from airflow_provider_air.ray_api.logs import job_log_name
from airflow_provider_air.ray_api.requests import summarize_tasks

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.models import JobDetails

READ_BYTES = 256 * 1024
# After the job's end its files are complete; this is how long a failing read of them is tried again.
DRAIN_SECONDS = 20.0
QUIET_LOG_SECONDS = 8.0
TASK_COUNT_SECONDS = 10.0
# An end that is known is not kept back for what people want to know of it.
LAST_COUNT_SECONDS = 1.5


class JobWatch:
    """
    One job's watch on a feed; iterate :meth:`follow`.

    :param now: gives epoch seconds
    """

    def __init__(self, feed: ClusterFeed, settings: FollowSettings, now: Callable[[], float] = time.time) -> None:
        self._feed = feed
        self._settings = settings
        self._now = now
        self._log = LogLines(settings.log_offset)
        self._records = RecordBuffer()
        self._next_read: float | None = None
        self._read_interval = 0.0
        self._next_count = 0.0
        self._silent_since: float | None = None
        self._job: JobDetails | None = None
        self._pending = PendingWords(feed)
        self._capped = settings.log_offset >= settings.log_limit_bytes
        self._has_more = False
        self._leave_rest = False

    async def follow(self) -> AsyncGenerator[Observation | FollowEnd]:
        """
        Yield what is new, then one :class:`FollowEnd`.

        Runs in the triggerer, or in the worker's own event loop.
        """
        name = self._settings.submission_id
        async with self._feed.watching(name):
            while True:
                look = await self._feed.look(name)
                if look.job is not None:
                    self._silent_since, self._job = None, look.job
                    if look.job.status.is_terminal:
                        async for seen in self._drain(look.job):
                            yield seen
                        yield await self._observe_last(look.job)
                        yield FollowEnd("ended", look.job, log_rest=self._log.offset if self._has_more else None)
                        return
                    yield await self._observe(look.job)
                end = self._judge(look)
                if end is not None:
                    yield end
                    return
                if look.job is None:
                    # Nothing was learnt, but who follows may want to look at the time.
                    yield Observation(log_offset=self._log.offset)

    async def _observe(self, job: JobDetails) -> Observation:
        seen, read_to = Observation(job, log_offset=self._log.offset), self._log.read_to
        if self._is_read_due():
            seen = await self._read_quietly(job)
            # A bar gives few lines, and may be far longer than one read.
            is_behind = self._log.read_to - read_to >= READ_BYTES
            self._schedule(is_behind or bool(seen.lines or seen.records))
        waiting_for = await self._pending.of(job)
        tasks = await self._count_tasks(job)
        return replace(seen, tasks=tasks, waiting_for=waiting_for, cluster=self._feed.overview)

    async def _observe_last(self, job: JobDetails) -> Observation:
        self._next_count, tasks = 0.0, None
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COUNT_SECONDS):
                tasks = await self._count_tasks(job)
        return Observation(job, log_offset=self._log.offset, tasks=tasks, cluster=self._feed.overview)

    async def _count_tasks(self, job: JobDetails) -> Mapping[str, Mapping[str, int]] | None:
        """Count what jobs do that tell no progress of their own; a convenience, so it may fail."""
        if self._settings.has_records or job.job_id is None or time.monotonic() < self._next_count:
            return None
        self._next_count = time.monotonic() + max(TASK_COUNT_SECONDS, 4 * self._feed.log_interval_seconds)
        try:
            return await self._feed.client.send(summarize_tasks(job.job_id))
        except AirError:
            return None

    def _judge(self, look: Look) -> FollowEnd | None:
        until = self._settings.until
        if until is not None and self._now() >= until:
            return FollowEnd("deadline", self._job, self._pending.last)
        if look.error is not None:
            return self._judge_silence(look.error)
        if look.job is None:
            return FollowEnd("lost", self._job, self._loss(look.session_name))
        if look.node_is_dead:
            return FollowEnd("lost", look.job, f"The node of the driver is dead ({look.job.node_id})")
        return None

    def _loss(self, session_name: str | None) -> str:
        accepted_on = self._settings.accepted_on
        if accepted_on in (None, session_name):
            return "The cluster no longer knows the job: its head restarted or forgot it"
        return f"The job went with the head that took it: {accepted_on} is gone, {session_name} does not know it"

    def _judge_silence(self, error: AirError) -> FollowEnd | None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        refused = isinstance(error, ConfigurationError)
        # A refused token may be a rotation that the connection has not followed yet: half a minute of grace.
        patience = min(30.0, self._settings.unreachable_seconds) if refused else self._settings.unreachable_seconds
        if now - self._silent_since < patience:
            return None
        return FollowEnd("refused" if refused else "unreachable", self._job, str(error))

    def _is_read_due(self) -> bool:
        now = time.monotonic()
        if self._next_read is None:
            # Where many begin at once, as in a triggerer that has just started, they take turns from the start.
            spread = self._feed.log_interval_seconds - POLL_SECONDS
            self._next_read = now + random.random() * spread
        return now >= self._next_read

    def _schedule(self, busy: bool) -> None:
        floor = self._feed.log_interval_seconds
        self._read_interval = (
            floor if busy else min(max(self._read_interval * 1.5, floor), max(floor, QUIET_LOG_SECONDS))
        )
        self._next_read = time.monotonic() + self._read_interval

    async def _read_quietly(self, job: JobDetails) -> Observation:
        try:
            return await self._read(job)
        except AirError:
            # The next look decides whether the cluster is in trouble; a log failure never fails a job.
            return Observation(job, log_offset=self._log.offset)

    async def _drain(self, job: JobDetails) -> AsyncIterator[Observation]:
        """Read on until the files of the ended job give nothing more."""
        end = time.monotonic() + DRAIN_SECONDS
        problem: AirError | None = None
        while time.monotonic() < end:
            before = self._position
            try:
                seen = await self._read(job)
            except AirError as error:
                problem = error
                await self._feed.look(job.submission_id)
                continue
            problem = None
            if seen.lines or seen.records:
                yield seen
            self._leave_rest = self._has_more
            if self._position != before:
                end = time.monotonic() + DRAIN_SECONDS
                continue
            if not self._may_still_come(job, end):
                break
            await self._feed.look(job.submission_id)
        # What is left to others begins where this one has not shown everything.
        last = [] if self._has_more or self._capped else self._log.rest()
        if problem is not None:
            last.append(f"[the log's end could not be read: {problem}]")
        if last:
            yield Observation(job, last, self._log.offset)

    def _may_still_come(self, job: JobDetails, end: float) -> bool:
        # The closing record may be an instant behind the state where the file is on another node.
        missing = self._settings.has_records and not self._records.complete and job.status.value == "SUCCEEDED"
        return missing and time.monotonic() < end - DRAIN_SECONDS / 2

    @property
    def _position(self) -> tuple[int, int]:
        """How far both files were read, half lines included."""
        return self._log.read_to, self._records.offset

    async def _read(self, job: JobDetails) -> Observation:
        name = self._settings.submission_id
        lines = await self._read_lines(job, name)
        records: list[dict[str, Any]] = []
        try:
            records = await self._read_records(job, name)
        except AirError:
            # The lines are taken from the log already: without them there would be a gap.
            if not lines:
                raise
        except ValueError as error:
            lines = [*lines, f"[the job's records cannot be read on: {error}]"]
            self._settings = replace(self._settings, has_records=False)
        return Observation(job, lines, self._log.offset, records)

    async def _read_records(self, job: JobDetails, name: str) -> list[dict[str, Any]]:
        if not self._settings.has_records or self._records.complete:
            return []
        data = await self._feed.logs.read(job, records_name(name), self._records.offset, READ_BYTES)
        return self._records.feed(data) if data else []

    async def _read_lines(self, job: JobDetails, name: str) -> list[str]:
        if self._capped or self._leave_rest:
            return []
        start = self._log.read_to
        data = await self._feed.logs.read(job, job_log_name(name), start, READ_BYTES)
        lines = self._log.feed(data, self._settings.lines_at_once)
        # What is not observed now is read again: cheap beside what showing a line costs.
        self._has_more = self._log.read_to < start + len(data)
        lines += self._log.state(self._now(), is_still=not data)
        if self._log.offset >= self._settings.log_limit_bytes:
            self._capped, self._has_more = True, False
            lines.append(f"[the first {self._log.offset} bytes of the log are shown; {whole_log_of(name)}]")
        return lines
