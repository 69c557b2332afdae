"""
What stands for a result, or for a part of it, in an XCom.

One that is too large for a record stands there as the name of its file and the digest of what was written; the file
holds the JSON of :func:`air_drivers.wire.records.encode`. What an XCom does not carry (bytes, arrays) stands there in
that JSON itself.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable, Dict

from .records import TAG, decode

# The key by which a stored result is known, also in an XCom; its value is the file's URI.
STORED = "air_stored_result"


def told_of(uri: str, data: bytes) -> Dict[str, Any]:
    """Give what stands for a file of these bytes."""
    return {STORED: uri, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


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


def restored(value: Any, read: Callable[[Dict[str, Any]], Any]) -> Any:
    """
    Replace whatever stands for something inside an XCom by what it stands for; all else stays as it is.

    :param read: gives what is in a file, of what stands for it
    """
    if is_stored(value):
        return read(value)
    if isinstance(value, dict):
        if TAG in value:
            return _decoded(value)
        return {key: restored(item, read) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(restored(item, read) for item in value)
    return value


def _decoded(value: Dict[str, Any]) -> Any:
    try:
        return decode(value)
    except (ValueError, TypeError, KeyError):
        # Somebody's own dict, which only looks like ours.
        return value
