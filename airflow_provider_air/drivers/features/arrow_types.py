"""
Arrow's types on their way through DuckDB and back, as they were: times as integers, since DuckDB's with a zone end at
microseconds and forget the zone; what DuckDB does not have as what it has. Sources: DuckDB 2.0, Arrow 25.
"""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow
import pyarrow.types as types

from ..data import writers
from ..wire.problems import ConfigurationProblem


def carried(kind: Any) -> Any:
    """Say as what type values travel."""
    if isinstance(kind, pyarrow.BaseExtensionType):
        return carried(kind.storage_type)
    if types.is_dictionary(kind):
        return carried(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return pyarrow.large_list(carried(kind.value_type))
    if types.is_fixed_size_list(kind):
        return pyarrow.list_(carried(kind.value_type), kind.list_size)
    if types.is_struct(kind):
        return pyarrow.struct([kind.field(n).with_type(carried(kind.field(n).type)) for n in range(kind.num_fields)])
    return _carried_value(kind)


def _carried_value(kind: Any) -> Any:
    if types.is_temporal(kind) and not types.is_interval(kind):
        return pyarrow.int32() if kind.bit_width == 32 else pyarrow.int64()
    if types.is_null(kind):
        return pyarrow.int8()
    if types.is_float16(kind):
        return pyarrow.float32()
    if types.is_decimal256(kind):
        return pyarrow.string()
    if types.is_decimal(kind):
        return pyarrow.decimal128(kind.precision, kind.scale)
    if types.is_fixed_size_binary(kind):
        return pyarrow.binary()
    return kind


def carry(column: Any) -> Any:
    """Cast a column to the type that it travels as."""
    if isinstance(column.type, pyarrow.BaseExtensionType):
        return carry(column.storage)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = carried(column.type)
    return column if column.type == kind else column.cast(kind)


def restore(column: Any, kind: Any) -> Any:
    """Cast a column, or one chunk, back to the type that it had, or to what :func:`plain` gives for that."""
    if isinstance(kind, pyarrow.BaseExtensionType):
        return kind.wrap_array(restore(column, kind.storage_type))
    if types.is_dictionary(kind):
        return restore(column, kind.value_type)
    if types.is_null(kind):
        return pyarrow.nulls(len(column))
    return column if column.type == kind else column.cast(kind)


def plain(kind: Any) -> Any:
    """Give the type that a column comes back with: no dictionary, and no lists of a fixed size, as it may miss some."""
    return plain(kind.value_type) if types.is_dictionary(kind) else writers.listed(kind)


# By what Feast (0.67) calls its types in the registry, which forgets what structs and nested lists hold.
_DECLARED = {
    "STRING": pyarrow.string(),
    "BYTES": pyarrow.binary(),
    "BOOL": pyarrow.bool_(),
    "INT32": pyarrow.int32(),
    "INT64": pyarrow.int64(),
    "FLOAT": pyarrow.float32(),
    "DOUBLE": pyarrow.float64(),
    "UNIX_TIMESTAMP": pyarrow.timestamp("us", "UTC"),
}


def declared(dtype: Any) -> Any:
    """Give the Arrow type of a Feast field's ``dtype``; None where that does not tell it."""
    name = str(dtype.to_value_type().name)
    base, _, end = name.rpartition("_")
    if end in ("LIST", "SET"):
        return pyarrow.list_(_DECLARED[base]) if base in _DECLARED else None
    return _DECLARED.get(name)


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def instants(column: Any, unit: str, what: str) -> Any:
    """
    Give a column of times as integers: how many units since 1970 in UTC. A time without a zone is UTC, as Feast has it.

    :param unit: ``us`` or ``ns``
    :param what: what is read, for a message
    :raises ConfigurationProblem: it holds what is no time, or a time that the unit cannot tell
    """
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        if types.is_date(column.type):
            column = column.cast(pyarrow.timestamp("s" if types.is_date32(column.type) else "ms"))
        if types.is_null(column.type):
            return pyarrow.nulls(len(column), pyarrow.int64())
        if not types.is_timestamp(column.type):
            column = _parsed(column)
        # Of nanoseconds finer than the unit there are none: the unit is the finer of both sides'.
        return column.cast(pyarrow.timestamp(unit, column.type.tz)).cast(pyarrow.int64())
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigurationProblem("%s holds what is no time: %s" % (what, error)) from error


def _parsed(column: Any) -> Any:
    import pandas

    if not (types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type)):
        raise TypeError("it is %s" % column.type)
    values = pandas.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    return pyarrow.Array.from_pandas(values)


def unit_of(*kinds: Any) -> str:
    """Give the unit in which times of all these types can be told: microseconds, where none is finer."""
    return "ns" if any(types.is_timestamp(kind) and kind.unit == "ns" for kind in map(plain, kinds)) else "us"


def moment(instant: int, unit: str) -> str:
    """Write an instant as a person reads it."""
    return str(pyarrow.scalar(instant, pyarrow.timestamp(unit, "UTC")))


def units_of(seconds: float, unit: str) -> int:
    """Give a duration in units, exactly."""
    return round(datetime.timedelta(seconds=seconds) / datetime.timedelta(microseconds=1)) * (UNITS[unit] // 1_000_000)
