"""
Values as JSON that keeps their types, both ways: results, and what stands for them in XComs. Standard library only.

What JSON has is itself; all else is a dict ``{"__air__": TAG, ...}``. It is data: nothing in it is ever evaluated or
unpickled.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import uuid
from typing import Any, Callable, Container, Dict, List, Optional, Set

from . import tables
from .simpler import UNKNOWN, field_names, is_of, python_time, simpler
from .texts import spelled

TAG = "__air__"
# Deeper ones end the recursion of those who read them.
MOST_NESTED = 100
MOST_SPELLED_CHARACTERS = 200
# Python refuses to write and to read the digits of longer ones: by default of over 4300, at the least of over 640.
MOST_INT_BITS = 2000
# Of numpy's arrays, those whose bytes mean the same elsewhere.
ARRAY_KINDS = "biufcmMSU"

# Takes the library and the parquet bytes of a table, and gives what stands for it where it is kept elsewhere.
Keep = Callable[[str, bytes], Optional["Undecoded"]]


class EncodeError(TypeError):
    """A value has a type that does not travel."""


class Refused(EncodeError):
    """A part is of a type that whoever encodes it refuses: its place, and the type's name."""

    def __init__(self, where: str, kind: str) -> None:
        super().__init__("%s is of type %s" % (where, kind))
        self.where = where
        self.kind = kind


class Undecoded(Dict[str, Any]):
    """A part as it travelled: it cannot be decoded here, for want of a library or by its version, or is elsewhere."""


def encode(
    value: Any,
    where: str = "value",
    texts: Optional[List[str]] = None,
    keep: Optional[Keep] = None,
    refused: Container[str] = (),
) -> Any:
    """
    Turn a Python value into plain JSON, keeping its type where JSON has none.

    Its own types are those of the standard library that hold data, numpy's arrays, and tables of pandas, polars and
    Arrow. What :func:`~air_drivers.wire.simpler.simpler` knows becomes one of these, and what has fields a dict.

    :param where: how messages call the value
    :param texts: takes the places of what does not travel, which becomes its short text
    :param keep: see :data:`Keep`
    :param refused: names of types that do not travel, and shall not become text either
    :raises Refused: there is one of these
    :raises EncodeError: something does not travel, and there is no ``texts``; the message names the place inside
    """
    return _Encoder(texts, keep, refused).form(value, where)


def _is_itself(value: Any) -> bool:
    kind = type(value)
    if kind is int:
        return bool(value.bit_length() <= MOST_INT_BITS)
    return value is None or kind in (bool, str) or (kind is float and math.isfinite(value))


def _tagged(tag: str, plain: Any) -> Dict[str, Any]:
    return {TAG: tag, "value": plain}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


class _Encoder:
    """One value's way; knows what it is inside of."""

    def __init__(self, texts: Optional[List[str]], keep: Optional[Keep], refused: Container[str]) -> None:
        self._texts = texts
        self._keep = keep
        self._refused = refused
        self._inside: Set[int] = set()

    def form(self, value: Any, where: str) -> Any:
        if _is_itself(value):
            return value
        if id(value) in self._inside or len(self._inside) >= MOST_NESTED:
            return self._text(value, where, "is nested too deeply, or holds itself")
        self._inside.add(id(value))
        try:
            return self._form(value, where)
        except EncodeError:
            raise
        except Exception as error:  # any class may raise anything while it is looked at
            return self._text(value, where, "cannot be read (%s: %s)" % (type(error).__name__, error))
        finally:
            self._inside.discard(id(value))

    def _form(self, value: Any, where: str) -> Any:
        if type(value) in _SCALARS:
            return _SCALARS[type(value)](value)
        if type(value) in _CONTAINERS:
            return _CONTAINERS[type(value)](self, value, where)
        if is_of(value, "numpy", "datetime64", "timedelta64"):
            time = python_time(value)
            return _array_form(value) if time is UNKNOWN else self.form(time, where)
        library = tables.library_of(value)
        if library is not None:
            return self._table(library, value, where)
        if _is_array(value):
            return _array_form(value)
        found = simpler(value)
        if found is not UNKNOWN:
            return self.form(found, where)
        names = field_names(value)
        if names is None:
            return self._text(value, where, "does not travel back to Airflow")
        return self.entries({name: getattr(value, name) for name in names if hasattr(value, name)}, where, "%s.%s")

    def _text(self, value: Any, where: str, why: str) -> str:
        if type(value).__name__ in self._refused:
            raise Refused(where, type(value).__name__)
        kind = "%s.%s" % (type(value).__module__, type(value).__qualname__)
        if self._texts is None:
            raise EncodeError(
                "%s is of type %s and %s; return plain Python values, arrays, tables or dataclasses, or write it to "
                "storage and return its URI" % (where, kind, why)
            )
        self._texts.append("%s (%s)" % (where, kind))
        try:
            text = spelled(str(value))
        except Exception:  # as above
            text = "<%s>" % kind
        return text if len(text) <= MOST_SPELLED_CHARACTERS else text[: MOST_SPELLED_CHARACTERS - 3] + "..."

    def items(self, values: Any, where: str) -> List[Any]:
        return [v if _is_itself(v) else self.form(v, "%s[%d]" % (where, i)) for i, v in enumerate(values)]

    def entries(self, value: Dict[Any, Any], where: str, at: str = "%s[%r]") -> Dict[str, Any]:
        pairs = []
        for key, item in value.items():
            name = key if _is_itself(key) else self.form(key, "a key of %s" % where)
            place = at % (where, key) if _is_itself(key) else "%s[%s]" % (where, type(key).__name__)
            pairs.append([name, self.form(item, place)])
        plain = {name: item for name, item in pairs if isinstance(name, str)}
        if len(plain) < len(pairs):
            return _tagged("items", pairs)
        return _tagged("dict", plain) if TAG in plain else plain

    def _table(self, library: str, value: Any, where: str) -> Any:
        data = tables.to_parquet(library, value)
        if data is None:
            return self.form(tables.columns_of(library, value), where)
        kept = self._keep(library, data) if self._keep is not None else None
        return {TAG: "table", "library": library, "value": _base64(data)} if kept is None else dict(kept)


def _is_array(value: Any) -> bool:
    return (
        is_of(value, "numpy", "ndarray")
        and value.ndim > 0
        and value.dtype.kind in ARRAY_KINDS
        and not is_of(value, "numpy.ma", "MaskedArray")
    )


def _array_form(value: Any) -> Dict[str, Any]:
    # In the order of C, whatever the array's own; a scalar has no shape.
    return {TAG: "ndarray", "dtype": value.dtype.str, "shape": list(value.shape), "value": _base64(value.tobytes())}


def _float_form(value: float) -> Any:
    return _tagged("float", repr(value))


def _zoned_form(value: Any) -> Dict[str, Any]:
    form = _tagged(type(value).__name__, value.isoformat())
    # Of zoneinfo and what is made of it; and of pytz.
    zone = getattr(value.tzinfo, "key", None) or getattr(value.tzinfo, "zone", None)
    return {**form, "zone": zone} if isinstance(zone, str) else form


def _timedelta_form(value: datetime.timedelta) -> Dict[str, Any]:
    return _tagged("timedelta", [value.days, value.seconds, value.microseconds])


_SCALARS: Dict[Any, Callable[[Any], Any]] = {
    float: _float_form,
    int: lambda value: _tagged("int", hex(value)),
    complex: lambda value: _tagged("complex", str(value)),
    bytes: lambda value: _tagged("bytes", _base64(value)),
    datetime.datetime: _zoned_form,
    datetime.date: lambda value: _tagged("date", value.isoformat()),
    datetime.time: _zoned_form,
    datetime.timedelta: _timedelta_form,
    decimal.Decimal: lambda value: _tagged("decimal", str(value)),
    uuid.UUID: lambda value: _tagged("uuid", str(value)),
    Undecoded: dict,
}

_CONTAINERS: Dict[Any, Callable[[_Encoder, Any, str], Any]] = {
    dict: _Encoder.entries,
    list: _Encoder.items,
    tuple: lambda encoder, value, where: _tagged("tuple", encoder.items(value, where)),
    set: lambda encoder, value, where: _tagged("set", encoder.items(value, where)),
    frozenset: lambda encoder, value, where: _tagged("frozenset", encoder.items(value, where)),
}


def decode(form: Any) -> Any:
    """
    Undo :func:`encode`; what no library here decodes, or is kept elsewhere, stays :class:`Undecoded`.

    :raises ValueError: an unknown tag or a malformed value; so does :class:`TypeError`, :class:`KeyError`
    """
    if isinstance(form, list):
        return [decode(item) for item in form]
    if not isinstance(form, dict):
        return form
    tag = form.get(TAG)
    if tag is None:
        return {key: decode(item) for key, item in form.items()}
    if tag in _WHOLE:
        return _WHOLE[tag](form)
    if tag not in _DECODERS:
        raise ValueError("unknown value tag %r" % (tag,))
    return _DECODERS[tag](form["value"])


def _decode_set(kind: Any, form: List[Any]) -> Any:
    items = decode(form)
    try:
        return kind(items)
    except TypeError:  # what its members have become has no hash, such as a model's dict
        return items


def _decode_items(form: List[Any]) -> Any:
    pairs = [(decode(key), decode(item)) for key, item in form]
    try:
        found = dict(pairs)
    except TypeError:  # as above
        return pairs
    return found if len(found) == len(pairs) else pairs


def _decode_datetime(form: Dict[str, Any]) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(form["value"])
    if form.get("zone") is None:
        return moment
    try:
        import zoneinfo

        return moment.astimezone(zoneinfo.ZoneInfo(form["zone"]))
    except Exception:  # no such zone here: the same moment by its offset
        return moment


def _decode_time(form: Dict[str, Any]) -> Any:
    time = datetime.time.fromisoformat(form["value"])
    if form.get("zone") is None:
        return time
    try:
        import zoneinfo

        return time.replace(tzinfo=zoneinfo.ZoneInfo(form["zone"]))
    except Exception:  # no such zone here; the text has an offset only if it is the same all year
        return time if time.tzinfo is not None else Undecoded(form)


def _decode_timedelta(form: Any) -> datetime.timedelta:
    # One number: seconds, of an older version.
    return datetime.timedelta(*form) if isinstance(form, list) else datetime.timedelta(seconds=form)


def _decode_array(form: Dict[str, Any]) -> Any:
    try:
        import numpy
    except ImportError:
        return Undecoded(form)
    array = numpy.frombuffer(base64.b64decode(form["value"]), dtype=numpy.dtype(form["dtype"]))
    return array.reshape(form["shape"]).copy() if form["shape"] else array[0]


def _decode_table(form: Dict[str, Any]) -> Any:
    library, data = form["library"], base64.b64decode(form["value"])
    try:
        return tables.from_parquet(library, data)
    except Exception:  # no such library here, or another version of it: it has errors of its own
        return Undecoded(form)


# By what is in the whole form, and by its "value" alone.
_WHOLE: Dict[str, Callable[[Dict[str, Any]], Any]] = {
    "datetime": _decode_datetime,
    "time": _decode_time,
    "ndarray": _decode_array,
    "table": _decode_table,
    "stored": Undecoded,
}
_DECODERS: Dict[str, Callable[[Any], Any]] = {
    "float": float,
    "int": lambda form: int(form, 16),
    "complex": complex,
    "bytes": base64.b64decode,
    "tuple": lambda form: tuple(decode(form)),
    "set": lambda form: _decode_set(set, form),
    "frozenset": lambda form: _decode_set(frozenset, form),
    "dict": lambda form: {key: decode(item) for key, item in form.items()},
    "items": _decode_items,
    "date": datetime.date.fromisoformat,
    "timedelta": _decode_timedelta,
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    # Not of encode(): how Airflow's side holds in an XCom what JSON there does not take.
    "json": lambda form: decode(json.loads(form)),
}
