"""
The record schema: what a driver writes back, one JSON line each. Standard library only.

Both sides import this one module: drivers write with :class:`RecordWriter`, Airflow's side reads with
:class:`RecordBuffer`. Records are data; nothing in them is ever evaluated or unpickled.

A file holds lines ``{"v": 1, "seq": N, "t": SECONDS, "kind": KIND, ...fields}``. ``seq`` counts from 0
without gaps; the last line has the kind ``end``. Kinds and their fields:

=============  ==================================================================================
``progress``   ``message`` (str), optional ``done`` and ``total`` (numbers), ``warning`` (bool), free fields
``metric``     ``values`` ({name: number}), optional ``step`` (int), free fields
``checkpoint`` ``uri`` (str), optional ``values`` and ``step``
``result``     ``value``: an encoded value, see :func:`~air_drivers.wire.values.encode`
``end``        ``status`` (``succeeded``, ``failed`` or ``skipped``), optional ``error`` ({type, message}), ``message``
               (why it was skipped), ``no_retry`` (true: no retry can help)
=============  ==================================================================================

Free fields of ``progress`` that the history knows: ``metric`` and ``mode`` (what is compared); ``trial``,
``trial_state``, ``config``, ``states``; ``workers``, ``resumed_from``; ``batch`` (``rows``, ``total_rows``, ``blocks``,
``total_blocks``); ``serve`` (an application: ``name``, ``application``, ``status``, ``route_prefix``, ``version``,
``deployments``); ``step`` (str), ``state``, ``application`` (of a roll-out); ``data`` (``inputs``, ``outputs``);
``features``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from .texts import shortened

VERSION = 1
KINDS = ("progress", "metric", "checkpoint", "result", "end")
# One record must fit into memory many times over on the reading side, and into one HTTP read.
MAX_RECORD_BYTES = 4 * 1024 * 1024
# Of a line for people.
LINE_CHARACTERS, NAME_CHARACTERS, MOST_VALUES = 2000, 100, 30


def warn(message: str) -> None:
    """Say something in the job's log, whatever has become of it."""
    with contextlib.suppress(Exception):
        print(message, file=sys.stderr, flush=True)


class RecordWriter:
    """
    Appends records to one file; safe for threads of one process, which is the file's only writer.

    :param path: the records file, in Ray's session log folder so that it is readable over HTTP
    :raises RuntimeError: another process writes it; all processes of a job inherit the environment that names it
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._next = 0
        self._rest = b""
        self._is_quiet = False
        self._pid = os.getpid()
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # lives as long as the writer
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RuntimeError("another process of this job writes its records; return values to it instead") from None
        # What a process of the same job that has ended left: the last one counts.
        self._file.truncate(0)
        # Called with each record after it was written, on the thread that writes it.
        self.followers: List[Callable[[Dict[str, Any]], None]] = []

    def write(self, kind: str, **fields: Any) -> Dict[str, Any]:
        """
        Append one record and return it.

        :raises ValueError: an unknown kind, a record over :data:`MAX_RECORD_BYTES`, or the writer is closed
        :raises RuntimeError: called in a forked child
        :raises OSError: the disk does not take it now
        """
        if kind not in KINDS:
            raise ValueError("unknown record kind %r" % (kind,))
        if os.getpid() != self._pid:
            raise RuntimeError("only the process that opened the records writes them; return values to it instead")
        with self._lock:
            self._put_rest()
            record = {"v": VERSION, "seq": self._next, "t": time.time(), "kind": kind}
            record.update(fields)
            line = json.dumps(record, separators=(",", ":"), allow_nan=True).encode("utf-8") + b"\n"
            if len(line) > MAX_RECORD_BYTES:
                raise ValueError(
                    "a %s record of %d bytes is over the limit of %d" % (kind, len(line), MAX_RECORD_BYTES)
                )
            self._rest = line
            try:
                self._put_rest()
            finally:
                if len(self._rest) == len(line):
                    self._rest = b""  # nothing of it was written: there is no such record
                else:
                    self._next += 1
        for follow in self.followers:
            follow(record)
        return record

    def _put_rest(self) -> None:
        # A disk that fills up takes the beginning of a line: what is left of it comes first once there is room again,
        # since a torn line would end the reading of all that follow.
        while self._rest:
            self._rest = self._rest[self._file.write(self._rest) :]

    def tell(self, kind: str, **fields: Any) -> None:
        """
        Append a record that only tells of the work: whatever is wrong with it, or with the disk, the work goes on.

        The first that cannot be written is told on stderr.
        """
        try:
            self.write(kind, **fields)
        except Exception as error:
            if not self._is_quiet:
                self._is_quiet = True
                warn("what the job reports is not all passed on to Airflow: %s: %s" % (type(error).__name__, error))

    def close(self) -> None:
        """
        Flush to disk and close the file.

        :raises OSError: the disk does not take what was written
        """
        with self._lock:
            if not self._file.closed:
                self._put_rest()
                os.fsync(self._file.fileno())
                self._file.close()


class RecordBuffer:
    """
    Turns bytes of a records file, fed in any pieces, into records in order, each once.

    ``complete`` is true once the ``end`` record is there and no number is missing.
    """

    def __init__(self) -> None:
        self.offset = 0  # bytes consumed; where the next read starts
        self.complete = False
        self.next_seq = 0
        self._rest = b""

    def feed(self, data: bytes) -> List[Dict[str, Any]]:
        """
        Take the next bytes of the file and return the records that they complete.

        :raises ValueError: a line that is no record, or a number out of order
        """
        self.offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_RECORD_BYTES:
            raise ValueError("a record line exceeds %d bytes" % MAX_RECORD_BYTES)
        return [self._take(line) for line in lines]

    def _take(self, line: bytes) -> Dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError:
            raise ValueError("not a JSON line: %r" % line[:200]) from None
        if not isinstance(record, dict) or record.get("v") != VERSION or record.get("kind") not in KINDS:
            raise ValueError("not a record of version %d: %r" % (VERSION, line[:200]))
        if record.get("seq") != self.next_seq or self.complete:
            raise ValueError("record %r where %d was expected" % (record.get("seq"), self.next_seq))
        self.next_seq += 1
        self.complete = record["kind"] == "end"
        return record


def line_of(record: Dict[str, Any]) -> Optional[str]:
    """Give a readable line for a task log, or None where a record has nothing to show."""
    kind = record["kind"]
    if kind == "progress":
        done, total = record.get("done"), record.get("total")
        count = "" if done is None else " (%s)" % (done if total is None else "%s/%s" % (done, total))
        return "%s%s" % (shortened(str(record.get("message", "")), LINE_CHARACTERS), count)
    if kind == "metric":
        step = record.get("step")
        values = sorted(record["values"].items())
        pairs = ["%s=%s" % (name[:NAME_CHARACTERS], _short(number)) for name, number in values[:MOST_VALUES]]
        if len(values) > MOST_VALUES:
            pairs.append("and %d more" % (len(values) - MOST_VALUES))
        return ", ".join(pairs) if step is None else "step %s: %s" % (step, ", ".join(pairs))
    if kind == "checkpoint":
        return "checkpoint %s" % record.get("uri")
    return None


def _short(number: Any) -> str:
    return "%.6g" % number if isinstance(number, float) else str(number)
