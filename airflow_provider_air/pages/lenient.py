"""
Reads stored JSON whoever wrote it: an older version, a newer one, somebody by hand. Nothing here raises.

What a view holds is safe to draw: finite numbers, texts without what only terminals understand, bounded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_air.drivers.wire.texts import shortened, spelled, unstyled

MOST_CHARACTERS = 500
NAME_CHARACTERS = 250
# Of what is shown as it is, such as a result: deeper, or more of it, is no longer read by people.
MOST_DEPTH, MOST_ITEMS = 8, 200
SIGNIFICANT_DIGITS = 6
# What turns the direction of text (Unicode's bidirectional algorithm), ends lines where no other does, or has no width:
# a text can seem to be another one. As HIDDEN in ui/src/text.tsx, but for controls.
_HIDDEN = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_DATA, _CLASS = "__data__", "__classname__"


def mapping(value: Any) -> Mapping[str, Any]:
    """Give a JSON object; an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    """Give a JSON list; an empty one in the place of anything else."""
    return value if isinstance(value, (list, tuple)) else ()


def objects(value: Any) -> list[Mapping[str, Any]]:
    """Give the JSON objects of a list; what else is in it is left out."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def number(value: Any) -> float | int | None:
    """Give a finite number; None in the place of anything else. What a browser's numbers do not hold is rounded."""
    if type(value) is float:
        # By far the most of what is read: tens of thousands for a view.
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int) and abs(value) <= 2**53:
        return value
    try:
        whole = float(value)
    except OverflowError:
        return None
    return whole if math.isfinite(whole) else None


def rounded(value: Any) -> float | int | None:
    """Give a finite number to six significant digits, as for a curve or a cell of a table; else None."""
    known = number(value)
    return float(f"{known:.{SIGNIFICANT_DIGITS}g}") if isinstance(known, float) else known


def count(value: Any, otherwise: int = 0) -> int:
    """Give a whole number."""
    known = number(value)
    return otherwise if known is None else int(known)


def text(value: Any, most: int = MOST_CHARACTERS) -> str | None:
    """Give what people read of a text; None where there is none. What would be hidden in it is spelled out."""
    if isinstance(value, str) and len(value) <= most and value.isascii() and value.isprintable():
        return value
    if value is None or isinstance(value, (Mapping, list)):
        return None
    shown = _HIDDEN.sub(lambda mark: f"\\u{ord(mark[0]):04x}", unstyled(spelled(str(value))))
    return shortened(shown, most) if most >= 200 else _cut(shown, most)


def name(value: Any) -> str:
    """Give what people read of a name."""
    return text(value, NAME_CHARACTERS) or ""


def epoch(value: Any) -> float | None:
    """Give epoch seconds, of a number or an ISO text."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return None
    known = number(value)
    return None if known is None else float(known)


def url(value: Any) -> str | None:
    """Give the address of a page that a browser may be sent to; None for anything else, such as ``javascript:``."""
    shown = text(value, 2000)
    return shown if shown and re.match(r"https?://[^/\s]", shown) else None


def plain(value: Any, depth: int = MOST_DEPTH) -> Any:
    """
    Give JSON that is shown as it is: bounded, and as its author wrote it where Airflow's serializer has wrapped it.

    No class that a value names is imported.
    """
    if isinstance(value, Mapping):
        if _CLASS in value:
            return plain(value[_DATA], depth) if _DATA in value else name(value[_CLASS])
        inside = {name(key): item for key, item in list(value.items())[:MOST_ITEMS]}
        return {key: plain(item, depth - 1) for key, item in inside.items()} if depth else "{…}"
    if isinstance(value, (list, tuple)):
        return [plain(item, depth - 1) for item in value[:MOST_ITEMS]] if depth else "[…]"
    if isinstance(value, (bool, type(None))):
        return value
    return number(value) if isinstance(value, (int, float)) else text(value, 2000)


def _cut(shown: str, most: int) -> str:
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
