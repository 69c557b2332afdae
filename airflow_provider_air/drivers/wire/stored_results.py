"""
What stands for a result, or for a part of it, in an XCom.

One that is too large for a record stands there as the name of its file and the digest of what was written; the file
holds the JSON of :func:`air_drivers.wire.values.encode`, or a table as parquet. What an XCom does not carry (bytes,
arrays) stands there in that JSON itself.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict, Optional

from . import tables
from .values import TAG, Undecoded, decode

# The key by which a stored result is known, also in an XCom; its value is the file's URI.
STORED = "air_stored_result"
# Whose table the file is, where it is one: as tables.library_of() says.
TABLE = "table"

Read = Callable[[Dict[str, Any]], Any]


def told_of(uri: str, data: bytes, table: Optional[str] = None) -> Undecoded:
    """
    Give what stands for a file of these bytes.

    :param table: whose table it is, where it is parquet
    """
    told = Undecoded({TAG: "stored", STORED: uri, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    if table is not None:
        told[TABLE] = table
    return told


def is_stored(value: Any) -> bool:
    """Tell whether a value is what stands for a stored result."""
    return isinstance(value, dict) and isinstance(value.get(STORED), str) and isinstance(value.get("sha256"), str)


def parse(told: Dict[str, Any], data: bytes, read: Read) -> Any:
    """
    Read a stored result's file.

    :param read: as of :func:`restored`, for the parts of it that are in files of their own
    :raises ValueError: it is not what was stored
    :raises ImportError: it is a table, and its library is not here
    """
    if hashlib.sha256(data).hexdigest() != told["sha256"]:
        raise ValueError("the stored result %s is not what was written there" % told[STORED])
    if told.get(TABLE) is not None:
        return tables.from_parquet(told[TABLE], data)
    return _filled(decode(json.loads(data)), read)


def restored(value: Any, read: Read) -> Any:
    """
    Replace whatever stands for something inside an XCom by what it stands for; all else stays as it is.

    :param read: gives what is in a file, of what stands for it
    """
    if is_stored(value):
        return read(value)
    if isinstance(value, dict) and TAG in value:
        return _filled(_decoded(value), read)
    return _each(value, lambda item: restored(item, read))


def _filled(value: Any, read: Read) -> Any:
    """Replace what stands for a file inside a value that is decoded: what looks like it there is somebody's own."""
    if isinstance(value, Undecoded):
        return read(value) if is_stored(value) else value
    return _each(value, lambda item: _filled(item, read))


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    if type(value) is dict:
        return {key: change(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(change(item) for item in value)
    return value


def _decoded(value: Dict[str, Any]) -> Any:
    try:
        return decode(value)
    except (ValueError, TypeError, KeyError):
        # Somebody's own dict, which only looks like ours.
        return value
