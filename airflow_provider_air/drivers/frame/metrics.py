"""What an author's code reports, as records and results take it."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any, Dict, Iterator, Mapping, Tuple

from ..wire.metrics import Number, metrics_of, number_of, text_of
from ..wire.records import RecordWriter
from ..wire.values import TAG, encode

# A result travels as one record of at most 4 MiB and as an XCom; all rows are in a file.
MAX_RESULT_ROWS = 1000
MAX_RESULT_BYTES = 2 * 1024 * 1024
# Of one value of a report, and of a whole report: each is a row of the history's file, and a part of the result.
MAX_VALUE_BYTES = 16 * 1024
MAX_REPORT_BYTES = 256 * 1024
# Stands for what a report had too much of.
LEFT_OUT = "air_left_out"
# Of one metric record; a report of more becomes several.
MAX_METRICS_BYTES = 1024 * 1024
# What Tune adds to every report and nobody wants to read.
TUNE_FIELDS = frozenset(
    [
        "timestamp",
        "done",
        "trial_id",
        "date",
        "time_this_iter_s",
        "time_total_s",
        "pid",
        "hostname",
        "node_ip",
        "config",
        "time_since_restore",
        "iterations_since_restore",
        "checkpoint_dir_name",
        "experiment_tag",
        "should_checkpoint",
        "checkpoint_path",
    ]
)


def plain(value: Any) -> Any:
    """
    Turn a reported value into JSON; never raises.

    Numbers are numbers, NaN and infinities among them: :func:`fitted` makes a record's value of it. What cannot
    travel becomes its short text, and what is too large says what it was.
    """
    try:
        form = _plain(value, ())
        return _bounded(form) if isinstance(form, dict) else form
    except Exception:  # nested too deeply even for JSON
        return "<%s: left out>" % _type_of(value)


def _plain(value: Any, above: Tuple[int, ...]) -> Any:
    if id(value) in above:
        return "<%s that holds itself: left out>" % _type_of(value)
    if isinstance(value, dict):
        parts = {text_of(key): _plain(item, (*above, id(value))) for key, item in value.items()}
        return {TAG: "dict", "value": parts} if TAG in parts else parts
    try:
        form: Any
        if isinstance(value, (list, tuple)) and not _is_large(value):
            form = [_plain(item, (*above, id(value))) for item in value]
        else:
            form = _scalar(value)
        return form if len(json.dumps(form)) <= MAX_VALUE_BYTES else _left_out(value)
    except RecursionError:
        raise
    except Exception:  # it raises where it is looked at
        return "<%s: left out>" % _type_of(value)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)  # as it is, also beyond 64 bits: a report's settings are no measurements
    if _is_large(value):
        return _left_out(value)
    if isinstance(value, str):
        return str(value)
    number = number_of(value)
    if number is not None:
        return bool(number) if type(value).__name__ in ("bool", "bool_", "BooleanScalar") else number
    with contextlib.suppress(TypeError):
        form = encode(value)
        # A time of numpy's with nanoseconds becomes a number there, which would be plotted.
        if not isinstance(form, (int, float)) or isinstance(form, bool):
            return form
    return text_of(value)[:200]


def _is_large(value: Any) -> bool:
    """Tell, without turning it into anything, what is too large for sure."""
    size = getattr(value, "nbytes", None)
    if not isinstance(size, int):
        size = len(value) if isinstance(value, (str, bytes, bytearray, list, tuple, set, frozenset)) else 0
    return size > MAX_VALUE_BYTES


def _left_out(value: Any) -> str:
    shape, size = getattr(value, "shape", None), getattr(value, "nbytes", None)
    if isinstance(size, int):
        what = "of shape %s, %d bytes" % (tuple(shape), size) if shape is not None else "of %d bytes" % size
    else:
        what = "of length %d" % len(value) if hasattr(value, "__len__") else "that is large"
    return "<%s %s: left out>" % (_type_of(value), what)


def _type_of(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def _bounded(form: Dict[str, Any]) -> Dict[str, Any]:
    """Leave out the largest parts of a report that is too large as a whole."""
    sizes = {name: len(json.dumps(name)) + len(json.dumps(item)) for name, item in form.items()}
    excess, dropped = sum(sizes.values()) - MAX_REPORT_BYTES, 0
    if excess <= 0:
        return form
    kept = dict(form)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if excess <= 0:
            break
        excess -= sizes[name]
        dropped += 1
        del kept[name]
    kept[LEFT_OUT] = "%d of %d values, %d bytes in all" % (dropped, len(form), sum(sizes.values()))
    return kept


def tell_metrics(records: RecordWriter, reported: Mapping[Any, Any], **fields: Any) -> Dict[str, Number]:
    """
    Write a report's numbers as metric records: one, or several where there are very many. Never raises.

    :param fields: of the records, such as ``step`` and ``trial``
    :return: what the first record holds
    """
    parts = list(_parts(metrics_of(reported)))
    for part in parts:
        records.tell("metric", values=part, **fields)
    return parts[0]


def _parts(values: Dict[str, Number]) -> Iterator[Dict[str, Number]]:
    part: Dict[str, Number] = {}
    size = 0
    for name, number in values.items():
        size += len(json.dumps(name)) + 30
        if part and size > MAX_METRICS_BYTES:
            yield part
            part, size = {}, len(json.dumps(name)) + 30
        part[name] = number
    yield part


def fitted(value: Dict[str, Any], *lists: str) -> Dict[str, Any]:
    """
    Make a result of :func:`plain` parts fit for its record; its named lists are shortened, from their beginning.

    The result says elsewhere how many entries there are and where all of them are.
    """
    short = {name: value[name][-MAX_RESULT_ROWS:] for name in lists}
    while len(json.dumps({**value, **short})) > MAX_RESULT_BYTES and any(short.values()):
        longest = max(lists, key=lambda name: len(json.dumps(short[name])))
        short[longest] = short[longest][(len(short[longest]) + 1) // 2 :]
    travelling: Dict[str, Any] = _tagged({**value, **short})
    return travelling


def _tagged(form: Any) -> Any:
    """Write NaN and infinities as records have them inside a value."""
    if isinstance(form, dict):
        return {key: _tagged(item) for key, item in form.items()}
    if isinstance(form, list):
        return [_tagged(item) for item in form]
    return encode(form) if isinstance(form, float) and not math.isfinite(form) else form
