"""
The ``progress`` of a running task, on its board: written while its job is watched, at most once per two seconds.

It serves people (state, message, metrics) and the next watcher (how much of the log was shown)::

    {"submission_id": "air-…", "status": "RUNNING", "updated_at": "2026-…+00:00",
     "message": "epoch (3/10)", "done": 3, "total": 10, "values": {"rmse": 1.2}, "step": 3,
     "tasks": {"train_one": {"RUNNING": 2, "FINISHED": 5}},
     "running_at": 1780000000.5, "log_offset": 81234, "next_record": 12, "clean": false}

While the task waits for its cluster, for room on it, or for Ray to start its job, it says so in ``waiting_for``, and
since when in ``waiting_since``. ``running_at`` is when it was first seen to run, in epoch seconds, where that was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.ray_api.models import JobStatus
from airflow_provider_air.runs.values import plain

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import Observation
    from airflow_provider_air.contracts.runs import Board, Clock, Spawned
    from airflow_provider_air.ray_api.models import JobDetails

PROGRESS_KEY = "progress"
WRITE_SECONDS = 2.0
# Airflow's own client asks again for about a minute.
LONGEST_WRITE_SECONDS = 120.0
WAITING = ("waiting_for", "waiting_since")
# It is sent whole each time: what people look at, not what there is.
MOST_VALUES = 100
MESSAGE_CHARACTERS = 2000
# Who looks so soon after the submission sees a job begin, even where it never saw it wait.
SOON_SECONDS = 10.0


class Progress:
    """
    One job's progress; for the event loop that watches it.

    :param submitted_at: epoch seconds at which the job was submitted, where that is known
    """

    def __init__(self, board: Board, clock: Clock, submission_id: str, submitted_at: float | None = None) -> None:
        self._board = board
        self._clock = clock
        self._value: dict[str, Any] = {"submission_id": submission_id, "log_offset": 0, "clean": False}
        self._written: dict[str, Any] = {}
        self._next_write = 0.0
        self._lock = asyncio.Lock()
        self._writing: Spawned | None = None
        self._on_disk: dict[str, int] = {}
        self._submitted_at = submitted_at
        self.is_taken_over = False
        self.is_resumed = False
        """An earlier watch of the same job, in the same try, has left its progress."""

    @property
    def running_at(self) -> float | None:
        """When the job was first seen to run, in epoch seconds; None where nobody saw it begin."""
        at = self._value.get("running_at")
        return float(at) if isinstance(at, (int, float)) else None

    @property
    def next_record(self) -> int:
        """The number of the first record that was not shown yet: a new watch reads them from the start."""
        return int(self._value.get("next_record", 0))

    async def take_over(self) -> tuple[int, bool]:
        """
        Go on where an earlier watch of the same job stopped, and announce this one.

        :return: how many bytes of the log were shown, and whether that is exact
        """
        old = await self._clock.in_thread(self._board.read, PROGRESS_KEY)
        exact = True
        if isinstance(old, dict) and old.get("submission_id") == self._value["submission_id"]:
            exact = bool(old.get("clean"))
            self._value |= old
            self.is_resumed = True
        self.is_taken_over = True
        self._on_disk = self._shown()
        # Written before the first line is shown, so that a successor knows that some may have been.
        await self.write()
        return int(self._value["log_offset"]), exact

    def note(self, seen: Observation) -> None:
        """Take in what is new; nothing is written yet."""
        self.note_status(seen.job)
        self._value["log_offset"] = seen.log_offset
        if seen.tasks:
            self._value["tasks"] = plain(seen.tasks)
        for record in seen.records:
            self._value["next_record"] = max(self.next_record, record["seq"] + 1)
            self._note_record(record)

    def _note_record(self, record: Mapping[str, Any]) -> None:
        if record["kind"] == "progress":
            self._value |= plain({k: record[k] for k in ("done", "total") if k in record})
            if "message" in record:
                self._value["message"] = plain(shortened(str(record["message"]), MESSAGE_CHARACTERS))
        elif record["kind"] == "metric":
            new = plain(record.get("values") or {})
            old = {name: value for name, value in self._value.get("values", {}).items() if name not in new}
            self._value["values"] = dict([*old.items(), *new.items()][-MOST_VALUES:])
            self._value["step"] = plain(record.get("step"))
        elif record["kind"] == "checkpoint":
            self._value["checkpoint"] = plain(record.get("uri"))

    def note_wait(self, waiting_for: str, since: float) -> None:
        """
        Take in what is waited for.

        :param since: epoch seconds
        """
        at = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
        self._value |= dict(zip(WAITING, (waiting_for, at), strict=True))

    def note_status(self, job: JobDetails | None) -> None:
        """Take in the job's status, where it is known; what it waits for is noted after that."""
        if job is not None:
            self._note_begin(job)
            self._value["status"] = job.status.value
            for name in WAITING:
                self._value.pop(name, None)

    def _note_begin(self, job: JobDetails) -> None:
        if job.status is not JobStatus.RUNNING or "running_at" in self._value:
            return
        now = self._clock.now()
        has_waited = self._value.get("status") == JobStatus.PENDING.value
        if has_waited or (self._submitted_at is not None and now - self._submitted_at <= SOON_SECONDS):
            self._value["running_at"] = now

    async def write_if_due(self) -> None:
        """Write what changed, unless the last write was a moment ago."""
        if self._clock.now() >= self._next_write and self._value != self._written:
            await self.write()

    async def write(self, *, clean: bool = False) -> None:
        """
        Write now.

        :param clean: all log lines up to ``log_offset`` were shown, and no more
        """
        async with self._lock:
            self._next_write = self._clock.now() + WRITE_SECONDS
            self._value["clean"] = clean
            written = dict(self._value)
            shown = self._shown()
            now = datetime.fromtimestamp(self._clock.now(), UTC)
            stamped = written | {"updated_at": now.isoformat(timespec="milliseconds")}
            # Lines reach the log file behind XComs (Airflow 3.3.2: another socket, 4 KiB per turn). Should the
            # triggerer be killed, only those of the write before are surely there; others are better shown twice.
            value = stamped if clean else stamped | self._on_disk
            await self._put(value)
            self._written = written
            self._on_disk = shown
            self._next_write = self._clock.now() + WRITE_SECONDS

    async def _put(self, value: Mapping[str, Any]) -> None:
        """Write after what is being written: the thread of a watch that was cancelled goes on, and might come last."""
        if self._writing is not None:
            await self._writing.wait(LONGEST_WRITE_SECONDS)
        failed: list[Exception] = []

        async def write() -> None:
            try:
                await self._clock.in_thread(self._board.write, PROGRESS_KEY, value)
            except Exception as error:  # noqa: BLE001  # told to who waits for it
                failed.append(error)

        self._writing = self._clock.spawn(write())
        await self._writing.wait(LONGEST_WRITE_SECONDS)
        if failed:
            raise failed[0]
        if not self._writing.done():
            raise TimeoutError(f"Airflow did not take the progress within {LONGEST_WRITE_SECONDS:g} s")

    def _shown(self) -> dict[str, int]:
        return {"log_offset": int(self._value["log_offset"]), "next_record": self.next_record}
