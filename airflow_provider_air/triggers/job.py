"""Waits for one Ray job in the triggerer: shows its log, keeps its progress, and stops it when a person says so."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from airflow_provider_air.attachment import Outcome
from airflow_provider_air.clusters.contract import ClusterRef, ClusterState
from airflow_provider_air.errors import AirError
from airflow_provider_air.hooks.attachments import Riders
from airflow_provider_air.hooks.resolver import aopen_transport, backend_of, open_feed
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.feed import ClusterFeed
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.ray_api.requests import get_job, stop_job, summarize_tasks
from airflow_provider_air.ray_api.watching import JobWatch, Observation, WatchEnd, WatchSettings, log_entries
from airflow_provider_air.records import line_of
from airflow_provider_air.triggers.base import OneEventTrigger
from airflow_provider_air.triggers.killing import finish, is_still_deferred
from airflow_provider_air.triggers.live import LiveRecords
from airflow_provider_air.triggers.progress import ProgressXCom
from airflow_provider_air.waiting import backoff_seconds

TASK_COUNT_SECONDS = 10.0
# Airflow bounds on_kill at 30 s; what is left is for the cluster's deletion.
KILL_SECONDS = 15.0
# The triggerer hands 4 KiB of log to its supervisor per turn (3.3.2: some 300 KB/s), and its event loop stands still
# while more than 200 KB wait. So it shows what it can, and the worker shows the rest at the job's end.
TRIGGERER_LINES_AT_ONCE = 1000


class RayJobTrigger(OneEventTrigger):
    """
    Follows one job to its end and fires one event, see :meth:`event_of`.

    :param cluster: the JSON form of the cluster's :class:`~airflow_provider_air.clusters.contract.ClusterRef`
    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the waiting task instance
    :param deadline: epoch seconds at which the event ``deadline`` fires
    :param has_records: whether the job writes a records file
    :param delete_cluster: whether the cluster is the task's own, and goes with it when a person kills the task
    :param unreachable_seconds: how long the cluster may not answer
    :param log_limit_bytes: how much of the log is shown
    :param riders: the attachments that are told while the job runs, and when a person kills the task
    """

    def __init__(
        self,
        *,
        cluster: dict[str, Any],
        submission_id: str,
        task: dict[str, Any],
        deadline: float | None = None,
        has_records: bool = False,
        delete_cluster: bool = False,
        unreachable_seconds: float = 600.0,
        log_limit_bytes: int = 64 * 1024 * 1024,
        riders: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.cluster = cluster
        self.submission_id = submission_id
        self.task_key = task
        self.deadline = deadline
        self.has_records = has_records
        self.delete_cluster = delete_cluster
        self.unreachable_seconds = unreachable_seconds
        self.log_limit_bytes = log_limit_bytes
        self.riders = riders
        self._progress: ProgressXCom | None = None
        self._next_count = 0.0

    def arguments(self) -> dict[str, Any]:
        """Give the constructor\'s arguments."""
        return {
            "cluster": self.cluster,
            "submission_id": self.submission_id,
            "task": self.task_key,
            "deadline": self.deadline,
            "has_records": self.has_records,
            "delete_cluster": self.delete_cluster,
            "unreachable_seconds": self.unreachable_seconds,
            "log_limit_bytes": self.log_limit_bytes,
            "riders": self.riders,
        }

    async def event(self) -> dict[str, Any]:
        """Watch until the end; runs in the triggerer."""
        return self.event_of(await self.watch(lines_at_once=TRIGGERER_LINES_AT_ONCE))

    async def watch(self, *, lines_at_once: int | None = None) -> WatchEnd:
        """
        Show log lines and keep the progress until the job's watch is over.

        :param lines_at_once: see :class:`~airflow_provider_air.ray_api.watching.WatchSettings`
        """
        progress = self._progress = ProgressXCom(self.task_key, self.submission_id)
        offset, exact = await progress.take_over()
        if not exact:
            self.log.info("[watching again after an interruption: the next lines may repeat the last ones above]")
        ref = ClusterRef.from_json(self.cluster)
        try:
            end = await self._follow(ref, progress, self._settings(offset, lines_at_once))
        except AirError as error:
            end = WatchEnd("unreachable", message=str(error))
        end = await self._look_at_cluster(ref, end)
        # Its last records may have been seen while it still ran.
        progress.note_status(end.job)
        await progress.write(clean=True)
        return end

    async def _follow(self, ref: ClusterRef, progress: ProgressXCom, settings: WatchSettings) -> WatchEnd:
        live = LiveRecords(self.riders)
        async with open_feed(ref) as feed, aclosing(JobWatch(feed, settings).follow()) as watch:
            async for seen in watch:
                if isinstance(seen, WatchEnd):
                    await live.finish()
                    return seen
                self._show(seen, progress.next_record)
                live.note([record for record in seen.records if record["seq"] >= progress.next_record])
                progress.note(seen)
                await self._count_tasks(feed, seen.job)
                await progress.write_if_due()
        raise AssertionError("a watch ends with its end")

    def _settings(self, offset: int, lines_at_once: int | None) -> WatchSettings:
        return WatchSettings(
            self.submission_id,
            deadline=self.deadline,
            unreachable_seconds=self.unreachable_seconds,
            log_offset=offset,
            log_limit_bytes=self.log_limit_bytes,
            has_records=self.has_records,
            lines_at_once=lines_at_once,
        )

    def _show(self, seen: Observation, next_record: int) -> None:
        # No await in here: a cancellation cannot fall between showing lines and noting that they were shown.
        for entry in log_entries(seen.lines):
            self.log.info(entry)
        for record in seen.records:
            if record["seq"] >= next_record and (text := line_of(record)):
                self.log.info("[%s] %s", record["kind"], text)

    async def _count_tasks(self, feed: ClusterFeed, job: JobDetails | None) -> None:
        if self.has_records or job is None or job.job_id is None or time.monotonic() < self._next_count:
            return
        self._next_count = time.monotonic() + max(TASK_COUNT_SECONDS, 4 * feed.log_interval_seconds)
        try:
            counts = await feed.client.send(summarize_tasks(job.job_id))
        except AirError:
            return
        if self._progress is not None:
            self._progress.note_tasks(counts)

    async def _look_at_cluster(self, ref: ClusterRef, end: WatchEnd) -> WatchEnd:
        """Where nobody answers, ask the backend: a cluster that is gone will not come back with this job."""
        if end.outcome != "unreachable":
            return end
        try:
            status = await asyncio.to_thread(backend_of(ref.backend).describe, ref)
        except AirError:
            return end
        if status.state in (ClusterState.ABSENT, ClusterState.FAILED):
            return WatchEnd("lost", end.job, f"The cluster is {status.state.value}: {status.message}")
        return end

    def event_of(self, end: WatchEnd) -> dict[str, Any]:
        """
        Give the event: plain JSON that is stored in the clear, so it holds no secret.

        ``{"version": 1, "submission_id", "outcome", "message", "job": {JobDetails} | None, "log_rest": int | None}``
        """
        return {
            "version": 1,
            "submission_id": self.submission_id,
            "outcome": end.outcome,
            "message": end.message[:2000],
            "job": None if end.job is None else end.job.to_json(),
            "log_rest": end.log_rest,
        }

    async def cleanup(self) -> None:
        """Note exactly how much of the log was shown, for the triggerer that goes on; stops nothing."""
        if not self._fired and self._progress is not None and self._progress.is_taken_over:
            await self._progress.write(clean=True)

    async def on_kill(self) -> None:
        """Stop the job when a person cleared the task or marked it; runs in the triggerer, within 30 s."""
        if not self._fired:
            await finish(self._kill())

    async def _kill(self) -> None:
        if await is_still_deferred(self.task_key):
            return
        ref = ClusterRef.from_json(self.cluster)
        self.log.info("Stopping Ray job %s", self.submission_id)
        try:
            await asyncio.wait_for(self._stop(ref), KILL_SECONDS)
        except (AirError, TimeoutError) as error:
            self.log.warning("Ray job %s was not seen to stop: %s", self.submission_id, str(error) or "no end in time")
        if self.riders:
            outcome = Outcome("STOPPED", "A person stopped the task")
            await asyncio.to_thread(Riders.from_json(self.riders).alight_quietly, outcome)
        if self.delete_cluster:
            await asyncio.to_thread(backend_of(ref.backend).delete, ref)

    async def _stop(self, ref: ClusterRef) -> None:
        async with AsyncRayClient(await aopen_transport(ref)) as client:
            await client.send(stop_job(self.submission_id))
            for pause in backoff_seconds(0.3, 1.0):
                job = await client.send(get_job(self.submission_id))
                if job is None or job.status.is_terminal:
                    return
                await asyncio.sleep(pause)
