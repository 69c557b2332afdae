"""What an author's code reports, as records and results take it."""

from __future__ import annotations

import json
from typing import Any, Dict

from ..wire.values import encode

# A result travels as one record of at most 4 MiB and as an XCom; all rows are in a file.
MAX_RESULT_ROWS = 1000
MAX_RESULT_BYTES = 2 * 1024 * 1024


def plain(value: Any) -> Any:
    """Turn a reported value into what a record takes; what cannot travel becomes its short text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    try:
        return encode(value)
    except TypeError:
        return str(value)[:200]


def numbers(metrics: Dict[str, Any]) -> Dict[str, float]:
    """Pick what can be plotted: finite and infinite numbers, no booleans, no text."""
    return {k: v for k, v in metrics.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}


def fitted(value: Dict[str, Any], *lists: str) -> Dict[str, Any]:
    """
    Shorten the named lists of a result, from their beginning, until it can travel.

    The result says elsewhere how many entries there are and where all of them are.
    """
    short = {name: value[name][-MAX_RESULT_ROWS:] for name in lists}
    while len(json.dumps({**value, **short})) > MAX_RESULT_BYTES and any(short.values()):
        longest = max(lists, key=lambda name: len(json.dumps(short[name])))
        short[longest] = short[longest][(len(short[longest]) + 1) // 2 :]
    return {**value, **short}
