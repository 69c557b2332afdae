"""
What values look like where JSON goes to people or to Airflow: progress, history, events, the ledger.

Airflow's line to its supervisor and its database (3.3.2: msgpack, httpx, Postgres' JSONB) carry no NaN, no integer
beyond 64 bits, and no text that is not UTF-8 or holds NUL. A task's *result* keeps more than this, see
:mod:`airflow_provider_air.connections.values`; trackers and files get values as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.drivers.wire.texts import sendable as text

__all__ = ["LEAST_INT", "MOST_INT", "is_simple", "plain", "text"]

LEAST_INT, MOST_INT = -(2**63), 2**64 - 1


def is_simple(value: Any) -> bool:
    """Whether it is a scalar that every line carries as it is."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return text(value) == value
    return value is None or isinstance(value, bool) or (isinstance(value, int) and LEAST_INT <= value <= MOST_INT)


def plain(value: Any) -> Any:
    """Give plain JSON: NaN and infinities are None, tuples and sets lists; of what has no such form, its text."""
    if is_simple(value):
        return value
    if isinstance(value, float):
        return None
    if isinstance(value, Mapping):
        return {text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return text(str(value))
