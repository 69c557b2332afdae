"""
The record schema: what a driver writes back, one JSON line each. Standard library only.

Both sides import this one module: drivers write with :class:`RecordWriter`, Airflow's side reads with
:class:`RecordBuffer`. Records are data; nothing in them is ever evaluated or unpickled.

A file holds lines ``{"v": 1, "seq": N, "t": SECONDS, "kind": KIND, ...fields}``. ``seq`` counts from 0
without gaps; the last line has the kind ``end``. Kinds and their fields:

=============  ==========================================================================
``progress``   ``message`` (str), optional ``done`` and ``total`` (numbers), free fields
``metric``     ``values`` ({name: number}), optional ``step`` (int), free fields
``checkpoint`` ``uri`` (str), optional ``values``
``result``     ``value``: an encoded value, see :func:`encode`
``end``        ``status`` (``succeeded`` or ``failed``), optional ``error`` ({type, message})
=============  ==========================================================================
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import decimal
import fcntl
import json
import math
import os
import sys
import threading
import time
import uuid
from typing import Any, Callable, Dict, List, Optional, Tuple

from .texts import shortened

VERSION = 1
KINDS = ("progress", "metric", "checkpoint", "result", "end")
TAG = "__air__"
# One record must fit into memory many times over on the reading side, and into one HTTP read.
MAX_RECORD_BYTES = 4 * 1024 * 1024
# Of an exception's text: a character may take twelve bytes of a record.
MAX_ERROR_CHARACTERS = 300_000


# Of a line for people.
LINE_CHARACTERS, NAME_CHARACTERS, MOST_VALUES = 2000, 100, 30


class EncodeError(TypeError):
    """A value has a type that does not travel as a record."""


class Undecoded(Dict[str, Any]):
    """An array as it travelled, where there is no numpy to decode it."""


def encode(value: Any, where: str = "value") -> Any:  # noqa: C901  # one flat list of types
    """
    Turn a Python value into plain JSON, keeping its type where JSON has none.

    Takes None, bool, int, float, str, bytes, list, tuple, set, dict with string keys, date, datetime,
    timedelta, Decimal, UUID, numpy scalars and arrays (not of objects), and dataclasses (as dicts).

    :raises EncodeError: any other type; the message names the place inside the value
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _tagged("float", repr(float(value)))
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [encode(item, "%s[%d]" % (where, i)) for i, item in enumerate(value)]
        return items if isinstance(value, list) else _tagged("tuple" if isinstance(value, tuple) else "set", items)
    if isinstance(value, dict):
        return _encode_dict(value, where)
    for kind, tag, to_plain in _SCALARS:
        if isinstance(value, kind):
            return _tagged(tag, to_plain(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: encode(getattr(value, f.name), "%s.%s" % (where, f.name)) for f in fields}
    return _encode_numpy(value, where)


def _tagged(tag: str, plain: Any) -> Dict[str, Any]:
    return {TAG: tag, "value": plain}


def _encode_dict(value: Dict[Any, Any], where: str) -> Dict[str, Any]:
    if isinstance(value, Undecoded):
        return dict(value)
    for key in value:
        if not isinstance(key, str):
            raise EncodeError("%s has a key of type %s; keys must be str" % (where, type(key).__name__))
    plain = {key: encode(item, "%s[%r]" % (where, key)) for key, item in value.items()}
    return _tagged("dict", plain) if TAG in plain else plain


def _encode_numpy(value: Any, where: str) -> Any:
    # Looked up, not imported: where numpy is not loaded, no value can be numpy's.
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return encode(value.item(), where)
    if numpy is not None and isinstance(value, numpy.ndarray) and value.dtype.kind in "biufcmMSU":
        raw = base64.b64encode(numpy.ascontiguousarray(value).tobytes()).decode("ascii")
        return {TAG: "ndarray", "dtype": value.dtype.str, "shape": list(value.shape), "value": raw}
    raise EncodeError(
        "%s is of type %s.%s, which does not travel back to Airflow; return plain Python values, "
        "numpy arrays or dataclasses, or write it to storage and return its URI"
        % (where, type(value).__module__, type(value).__qualname__)
    )


def _base64(value: Any) -> str:
    return base64.b64encode(bytes(value)).decode("ascii")


# datetime before date: a datetime is a date as well.
_SCALARS: List[Tuple[Any, str, Callable[[Any], Any]]] = [
    ((bytes, bytearray), "bytes", _base64),
    (datetime.datetime, "datetime", datetime.datetime.isoformat),
    (datetime.date, "date", datetime.date.isoformat),
    (datetime.timedelta, "timedelta", datetime.timedelta.total_seconds),
    (decimal.Decimal, "decimal", str),
    (uuid.UUID, "uuid", str),
]


def decode(value: Any) -> Any:
    """
    Undo :func:`encode`; where there is no numpy, an array stays :class:`Undecoded`.

    :raises ValueError: an unknown tag or a malformed value
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: decode(item) for key, item in value.items()}
    if tag == "ndarray":
        return _decode_array(value)
    if tag not in _DECODERS:
        raise ValueError("unknown value tag %r" % (tag,))
    return _DECODERS[tag](value["value"])


_DECODERS: Dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": base64.b64decode,
    "tuple": lambda raw: tuple(decode(item) for item in raw),
    "set": lambda raw: {decode(item) for item in raw},
    "dict": lambda raw: {key: decode(item) for key, item in raw.items()},
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "timedelta": lambda raw: datetime.timedelta(seconds=raw),
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    # Not of this schema's encode(): how Airflow's side holds in an XCom what JSON there does not take.
    "json": lambda raw: decode(json.loads(raw)),
}


def _decode_array(value: Dict[str, Any]) -> Any:
    try:
        import numpy
    except ImportError:
        return Undecoded(value)
    array = numpy.frombuffer(base64.b64decode(value["value"]), dtype=numpy.dtype(value["dtype"]))
    return array.reshape(value["shape"]).copy()


def error_of(error: BaseException) -> Dict[str, str]:
    """Give what the ``end`` record of a job that failed says of an exception."""
    return {"type": type(error).__name__, "message": shortened(str(error), MAX_ERROR_CHARACTERS)}


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
