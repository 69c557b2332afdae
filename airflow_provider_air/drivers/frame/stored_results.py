"""
A driver's result: a record where it is small, else a file in storage that the record names.

Standard library only, up to the storage itself.
"""

from __future__ import annotations

import json
import os
from typing import Any

from ..wire.names import STORAGE
from ..wire.records import MAX_RECORD_BYTES, RecordWriter
from ..wire.stored_results import STORED, parse, restored, told_of

# What a metadata database takes without complaint. Without a storage the record's own limit counts.
MAX_INLINE_BYTES = 1024 * 1024
# Room for what a record holds beside its value.
_FRAME_BYTES = 1024


class TooLarge(ValueError):
    """A result that fits into no record, and there is no storage."""


def write(records: RecordWriter, submission_id: str, value: Any) -> None:
    """
    Write the ``result`` record of an encoded value.

    :raises TooLarge: it fits into no record, and the task has no storage
    """
    data = json.dumps(value, separators=(",", ":")).encode("utf-8")
    root = os.environ.get(STORAGE)
    if len(data) <= (MAX_INLINE_BYTES if root else MAX_RECORD_BYTES - _FRAME_BYTES):
        records.write("result", value=value)
        return
    if not root:
        raise TooLarge(
            "the result is %d bytes, and at most %d travel; give the task storage=, which takes larger ones, or "
            "write it yourself and return its URI" % (len(data), MAX_RECORD_BYTES - _FRAME_BYTES)
        )
    from ..data import files

    uri = files.join(files.absolute(root), "results", submission_id + ".json")
    filesystem, path = files.open_uri(uri, "storage")
    files.write(filesystem, path, data)
    records.tell("progress", message="the result of %d bytes is at %s" % (len(data), uri), phase="result")
    records.write("result", value=told_of(uri, data))


def fetched(value: Any) -> Any:
    """
    Replace whatever stands for a result, or a part of one, inside an argument by what it stands for; on the cluster.

    :raises FileNotFoundError: the file is gone
    :raises ValueError: it is not what was stored
    """
    return restored(value, lambda told: parse(told, _read(told[STORED])))


def _read(uri: str) -> bytes:
    from ..data import files

    filesystem, path = files.open_uri(uri, "argument")
    data = files.read(filesystem, path)
    if data is None:
        raise FileNotFoundError("the stored result %s is gone; clear the task that made it" % uri)
    return data
