"""
A driver's result: a record where it is small, else a file in storage that the record names.

The file holds the JSON of :func:`air_drivers.records.encode`. Standard library only, up to the storage itself.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict

from .records import MAX_RECORD_BYTES, RecordWriter, decode

# Set by the submitting side where the task has a storage: its root, as the cluster reaches it.
STORAGE = "AIR_STORAGE"
# The key by which a stored result is known, also in an XCom; its value is the file's URI.
STORED = "air_stored_result"
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
    from . import files

    uri = files.join(files.absolute(root), "results", submission_id + ".json")
    filesystem, path = files.open_uri(uri, "storage")
    files.write(filesystem, path, data)
    told = {STORED: uri, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    records.write("progress", message="the result of %d bytes is at %s" % (len(data), uri), phase="result")
    records.write("result", value=told)


def is_stored(value: Any) -> bool:
    """Tell whether a value is what stands for a stored result."""
    return isinstance(value, dict) and isinstance(value.get(STORED), str) and isinstance(value.get("sha256"), str)


def parse(told: Dict[str, Any], data: bytes) -> Any:
    """
    Read a stored result's file.

    :raises ValueError: it is not what was stored
    """
    if hashlib.sha256(data).hexdigest() != told["sha256"]:
        raise ValueError("the stored result %s is not what was written there" % told[STORED])
    return decode(json.loads(data))


def fetched(value: Any) -> Any:
    """
    Replace every stored result inside an argument by what it stands for; on the cluster.

    :raises FileNotFoundError: the file is gone
    :raises ValueError: it is not what was stored
    """
    if is_stored(value):
        return parse(value, _read(value[STORED]))
    if isinstance(value, dict):
        return {key: fetched(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(fetched(item) for item in value)
    return value


def _read(uri: str) -> bytes:
    from . import files

    filesystem, path = files.open_uri(uri, "argument")
    data = files.read(filesystem, path)
    if data is None:
        raise FileNotFoundError("the stored result %s is gone; clear the task that made it" % uri)
    return data
