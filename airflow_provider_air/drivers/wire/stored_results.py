"""
What stands for a result that is too large for a record: where its file is, and whether the file is what was written.

The file holds the JSON of :func:`air_drivers.wire.records.encode`.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict

from .records import decode

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
