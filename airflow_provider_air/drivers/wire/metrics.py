"""
Metrics out of whatever an author's code reports: names and plain numbers. Standard library only.

Runs on the cluster, where it is reported, and on Airflow's side, where results are read again.
"""

from __future__ import annotations

import decimal
import fractions
import hashlib
import math
from typing import Any, Dict, Mapping, Optional, Union

from .simpler import is_of
from .values import TAG

Number = Union[int, float]

# A report that holds itself would be flattened for ever: beyond these, only its first level counts.
MOST_LEVELS = 50
MOST_NAMES = 100_000
NAME_CHARACTERS = 1000


def metrics_of(reported: Mapping[Any, Any]) -> Dict[str, Number]:
    """
    Give what can be plotted of a report, by flat names; NaN and infinities stay what they are.

    Nested dicts become ``a/b``, as Ray's trackers, schedulers and searchers have it. Left out is what has no number:
    None, text, arrays of several values, times, lists.
    """
    numbers = {shortened_name(name): number_of(value) for name, value in flattened(reported).items()}
    return {name: number for name, number in numbers.items() if number is not None}


def flattened(reported: Mapping[Any, Any]) -> Dict[str, Any]:
    """
    Flatten dicts inside a report as Ray does; whatever else is in it stays as it is.

    Source: Ray 2.60, ray.tune.utils.flatten_dict, but for names that are no text, which it does not take
    """
    first: Dict[str, Any] = {text_of(name): value for name, value in reported.items()}
    flat = dict(first)
    for _ in range(MOST_LEVELS):
        nested = [name for name, value in flat.items() if _is_nested(value)]
        if not nested:
            return flat
        if len(flat) > MOST_NAMES:
            break
        below = {"%s/%s" % (name, text_of(key)): item for name in nested for key, item in flat[name].items()}
        flat.update(below)
        for name in nested:
            del flat[name]
    return {name: value for name, value in first.items() if not _is_nested(value)}


def _is_nested(value: Any) -> bool:
    # What has the tag is one value, as it travels: a row that was read again is flattened as its report was.
    return isinstance(value, dict) and TAG not in value


def finite_of(reported: Mapping[Any, Any], metric: str) -> Optional[Number]:
    """Give one metric of a report by its flat name, where that is a finite number: what can be compared."""
    number = number_of(flattened(reported).get(metric))
    return number if number is not None and math.isfinite(number) else None


def number_of(value: Any) -> Optional[Number]:
    """
    Give the number that a value is, or None; never raises.

    Arrays, tensors and series of one value are that value, unless it is masked; booleans are 0 and 1, as MLflow takes
    them. An integer beyond 64 bits is the nearest float, or an infinity.
    """
    try:
        return _number(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except Exception:
        return None


def _number(value: Any) -> Optional[Number]:
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, (float, decimal.Decimal, fractions.Fraction)):
        return float(value)
    if getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M"):
        return None  # a time, of which item() would give nanoseconds
    if is_of(value, "numpy.ma", "MaskedArray") and value.mask.any():
        return None  # its item() is what lies below the mask
    if is_of(value, "pyarrow", "Scalar"):
        return _number(value.as_py())
    if callable(getattr(value, "item", None)):
        inner = value.item()  # raises where there are several
        return float(inner) if type(inner) is type(value) else _number(inner)
    return float(value) if hasattr(type(value), "__float__") else None


def shortened_name(name: str) -> str:
    """Keep a name that fits; of a longer one its beginning, and a digest of all of it."""
    if len(name) <= NAME_CHARACTERS:
        return name
    tail = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return "%s-%s" % (name[: NAME_CHARACTERS - 9], tail)


def text_of(value: Any) -> str:
    """Give a value's text, or its type's name where it has none; never raises."""
    try:
        return str(value)
    except Exception:
        return "<%s>" % type(value).__name__
