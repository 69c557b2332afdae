"""
A driver's result: a record where it is small, else a file in storage that the record names.

Standard library only, up to the storage itself.
"""

from __future__ import annotations

import json
import os
from typing import Any, Container, Dict, List, Optional

from ..wire.names import STORAGE
from ..wire.records import MAX_RECORD_BYTES, RecordWriter
from ..wire.stored_results import STORED, parse, restored, told_of
from ..wire.values import TAG, Undecoded, encode

# What a metadata database takes without complaint. Without a storage the record's own limit counts.
MAX_INLINE_BYTES = 1024 * 1024
# As text in JSON, bytes are a third longer.
MAX_INLINE_TABLE_BYTES = MAX_INLINE_BYTES * 3 // 4
# Of what is left in a dict, whose names and files take room as well; so many files take what it had.
MAX_PARTED_BYTES = MAX_INLINE_BYTES // 2
MOST_PARTS = 20
# Room for what a record holds beside its value.
_FRAME_BYTES = 1024
MOST_PLACES = 5


class TooLarge(ValueError):
    """A result that fits into no record, and there is no storage."""


def write(records: RecordWriter, submission_id: str, value: Any, where: str, refused: Container[str] = ()) -> None:
    """
    Write the ``result`` record of a value; what cannot travel of it becomes its short text, and a record says so.

    :param where: how messages call the value
    :param refused: as of :func:`~air_drivers.wire.values.encode`
    :raises Refused: the value is or holds one of these
    :raises TooLarge: it fits into no record, and the task has no storage
    """
    root = os.environ.get(STORAGE)
    place = _Place(root, submission_id, records) if root else None
    texts: List[str] = []
    form = encode(value, where, texts, None if place is None else place.keep, refused)
    if texts:
        more = " and %d more" % (len(texts) - MOST_PLACES) if len(texts) > MOST_PLACES else ""
        places = ", ".join(texts[:MOST_PLACES]) + more
        message = "only the text of these travels to Airflow; write them to storage and return their URI: " + places
        records.tell("progress", message=message, phase="result", warning=True)
    data = _bytes_of(form)
    if place is not None and len(data) > MAX_INLINE_BYTES and type(form) is dict and TAG not in form:
        # It stays a dict, whose keys Airflow pushes one by one where it is asked to.
        form = _parted(form, place)
        data = _bytes_of(form)
    if len(data) <= (MAX_INLINE_BYTES if place else MAX_RECORD_BYTES - _FRAME_BYTES):
        records.write("result", value=form)
    elif place is not None:
        records.write("result", value=place.put(data, "json"))
    else:
        raise TooLarge(
            "the result is %d bytes, and at most %d travel; give the task storage=, which takes larger ones, or "
            "write it yourself and return its URI" % (len(data), MAX_RECORD_BYTES - _FRAME_BYTES)
        )


def _bytes_of(form: Any) -> bytes:
    return json.dumps(form, separators=(",", ":")).encode("utf-8")


def _parted(form: Dict[str, Any], place: _Place) -> Dict[str, Any]:
    """Put the largest values of a dict into files of their own, where few of them make it too large."""
    parts = {name: _bytes_of(item) for name, item in form.items()}
    rest = sum(map(len, parts.values()))
    found = dict(form)
    large = sorted(parts, key=lambda name: len(parts[name]), reverse=True)[:MOST_PARTS]
    if rest - sum(len(parts[name]) for name in large) > MAX_PARTED_BYTES:
        return form
    for name in large:
        if rest > MAX_PARTED_BYTES:
            rest -= len(parts[name])
            found[name] = place.put(parts[name], "json", is_part=True)
    return found


class _Place:
    """Where one job's results are in the task's storage: ``results/ID.json``; parts: ``results/ID-1.parquet`` ..."""

    def __init__(self, root: str, submission_id: str, records: RecordWriter) -> None:
        self._root = root
        self._submission_id = submission_id
        self._records = records
        self._parts = 0

    def keep(self, library: str, data: bytes) -> Optional[Undecoded]:
        """Put a table that is too large for a record, see :data:`~air_drivers.wire.values.Keep`."""
        if len(data) <= MAX_INLINE_TABLE_BYTES:
            return None
        return self.put(data, "parquet", library, is_part=True)

    def put(self, data: bytes, ending: str, table: Optional[str] = None, is_part: bool = False) -> Undecoded:
        """Write a file, and give what stands for it."""
        from ..data import files

        self._parts += is_part
        number = "-%d" % self._parts if is_part else ""
        name = "%s%s.%s" % (self._submission_id, number, ending)
        uri = files.join(files.absolute(self._root), "results", name)
        filesystem, path = files.open_uri(uri, "storage")
        files.write(filesystem, path, data)
        self._records.tell("progress", message="the result of %d bytes is at %s" % (len(data), uri), phase="result")
        return told_of(uri, data, table)


def fetched(value: Any) -> Any:
    """
    Replace whatever stands for a result, or a part of one, inside an argument by what it stands for; on the cluster.

    :raises FileNotFoundError: the file is gone
    :raises ValueError: it is not what was stored
    :raises ImportError: it is a table, and its library is not installed here
    """
    return restored(value, _read)


def _read(told: Any) -> Any:
    from ..data import files

    uri = told[STORED]
    filesystem, path = files.open_uri(uri, "argument")
    data = files.read(filesystem, path)
    if data is None:
        raise FileNotFoundError("the stored result %s is gone; clear the task that made it" % uri)
    return parse(told, data, _read)
