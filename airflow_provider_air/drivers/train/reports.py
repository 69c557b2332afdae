"""
Reports on their way from the Train controller to the driver's records.

The controller is another process on the driver's node (Ray pins it there), and only the driver writes
records: so the controller appends to a mailbox file, and the driver reads it. A file survives a driver
that is slow and needs no further actor; when the driver dies, Ray ends the controller too.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

from ray.train import UserCallback
from ray.train.v2._internal.execution.callback import WorkerGroupCallback

from ..data import files
from ..wire.records import warn
from .history import FILE, History, Row

# Of the controller's time, at most one part in twenty goes into writing the history file.
FLUSH_COST_FACTOR = 20


class ReportMailbox:
    """The driver's end: reads what the controller has appended since the last look."""

    def __init__(self) -> None:
        self.path = os.path.join(tempfile.mkdtemp(prefix="air-mailbox-"), "reports.jsonl")
        open(self.path, "xb").close()
        self._offset = 0

    def drain(self) -> List[Dict[str, Any]]:
        """Return the new events in order: ``{"row": {...}}``, ``{"rewind": ROWS LEFT}`` or ``{"workers": COUNT}``."""
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def close(self) -> None:
        """Remove the file."""
        os.unlink(self.path)
        os.rmdir(os.path.dirname(self.path))


@contextlib.contextmanager
def mailbox() -> Iterator[ReportMailbox]:
    """Have a mailbox, gone afterwards."""
    box = ReportMailbox()
    try:
        yield box
    finally:
        box.close()


class ReportProgress(UserCallback):  # type: ignore[misc, unused-ignore]
    """
    The controller's end: keeps the history in storage and posts every report to the driver; see :func:`callbacks`.

    Runs in the Train controller. Rows are in storage before the next checkpoint is: Ray registers a
    checkpoint just before it calls this, and :meth:`History.resume_at` fills that one row.

    :param rows: the history of earlier attempts, up to the checkpoint that this one resumes from
    """

    def __init__(self, mailbox: str, storage_path: str, run_name: str, rows: List[Row]) -> None:
        self._mailbox = mailbox
        self._storage_path = storage_path
        self._run_name = run_name
        self._history = History(rows)
        self._next_flush = 0.0
        self._unsent = b""
        self._warned: Set[str] = set()

    def after_report(self, run_context: Any, metrics: List[Dict[str, Any]], checkpoint: Optional[Any]) -> None:
        """Take one report; the metrics are those of rank 0, as in Ray's own result."""
        folder = None if checkpoint is None else os.path.basename(str(checkpoint.path).rstrip("/"))
        row = self._history.add(metrics[0], folder)
        if folder is not None or time.monotonic() >= self._next_flush:
            self._flush()
        self._post({"row": row})

    def workers_start(self, count: Optional[int] = None) -> None:
        """
        Drop what workers that start from the last checkpoint will report again.

        :param count: how many start, where that is known
        """
        before = len(self._history.rows)
        left = self._history.rewind()
        if left < before:
            self._flush()
            self._post({"rewind": left})
        if count is not None:
            self._post({"workers": count})

    def _flush(self) -> None:
        started = time.monotonic()
        try:
            save_history(self._history, self._storage_path, self._run_name, patience=0)
        except Exception as error:  # the driver writes the file once more at the end
            self._warn("the metrics history was not written: %s" % error)
        ended = time.monotonic()
        self._next_flush = ended + FLUSH_COST_FACTOR * (ended - started)

    def _post(self, event: Dict[str, Any]) -> None:
        self._unsent += json.dumps(event).encode() + b"\n"
        try:
            with open(self._mailbox, "ab", buffering=0) as file:
                while self._unsent:  # a disk that fills up takes only a part, and the rest later
                    self._unsent = self._unsent[file.write(self._unsent) :]
        except OSError as error:
            self._warn("reports reach the driver late: %s" % error)

    def _warn(self, message: str) -> None:
        # What Ray calls in its controller must not raise there: that would end the training.
        if message not in self._warned:
            self._warned.add(message)
            warn(message)


class WorkersStart(WorkerGroupCallback):  # type: ignore[misc, unused-ignore]
    """
    Tells the controller's end whenever all workers start: at first, and again after a failure, a preemption, a resize.

    Each time Ray gives them the last checkpoint that it has registered. An error is only one of the reasons, and where
    Ray replaces single workers, the others go on with what they have reported. Source: Ray 2.60, TrainController and
    CheckpointManager; public callbacks hear of errors alone.
    """

    def __init__(self, progress: ReportProgress) -> None:
        self._progress = progress

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """Take it that all workers start."""
        count = getattr(worker_group_context, "num_workers", None)
        self._progress.workers_start(count if isinstance(count, int) else None)


def callbacks(mailbox: ReportMailbox, storage_path: str, run_name: str, rows: List[Row]) -> List[Any]:
    """Give the controller's end as Ray takes it; parameters as of :class:`ReportProgress`."""
    progress = ReportProgress(mailbox.path, storage_path, run_name, rows)
    return [progress, WorkersStart(progress)]


def history_uri(storage_path: str, run_name: str) -> str:
    """Name the history file of a run."""
    return files.join(storage_path, run_name, FILE)


def load_history(storage_path: str, run_name: str) -> History:
    """
    Read what earlier attempts left; empty where there is nothing.

    :raises Unavailable: the storage is away
    """
    filesystem, path = files.open_uri(history_uri(storage_path, run_name), "storage_path")
    return History.parse(files.read(filesystem, path) or b"")


def save_history(history: History, storage_path: str, run_name: str, patience: Optional[float] = None) -> None:
    """
    Write the history file of a run.

    :param patience: see :func:`air_drivers.data.files.write`
    :raises Unavailable: the storage is away
    """
    filesystem, path = files.located(history_uri(storage_path, run_name))
    files.write(filesystem, path, history.dump(), patience)


def follow(
    mailbox: ReportMailbox,
    history: History,
    on_row: Callable[[Row], None],
    on_restart: Callable[[int], None] = lambda dropped: None,
    on_workers: Callable[[int], None] = lambda count: None,
) -> Callable[[], None]:
    """
    Give the function that moves new events into the driver's copy of the history.

    :param on_restart: told how many rows are dropped since the workers start again
    :param on_workers: told how many workers start
    """

    def tick() -> None:
        for event in mailbox.drain():
            if "rewind" in event:
                on_restart(len(history.rows) - event["rewind"])
                del history.rows[event["rewind"] :]
            elif "workers" in event:
                on_workers(event["workers"])
            else:
                history.rows.append(event["row"])
                on_row(event["row"])

    return tick
