"""
Arrow's types on their way through DuckDB and back, as they were: times as integers, since DuckDB's with a zone end at
microseconds and forget the zone; what DuckDB does not have as what it has. Sources: DuckDB 2.0, Arrow 25.
"""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow
import pyarrow.compute
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
    if column.type == kind:
        return column
    return _rebuilt(column, kind) if _holds_null(kind) else column.cast(kind)


def _holds_null(kind: Any) -> bool:
    return types.is_null(kind) or any(_holds_null(kind.field(n).type) for n in range(kind.num_fields))


def _rebuilt(column: Any, kind: Any) -> Any:
    """Restore a nested column from what it holds: Arrow casts nothing to null."""
    if types.is_struct(kind):
        parts = [restore(column.field(n), kind.field(n).type) for n in range(kind.num_fields)]
        return pyarrow.StructArray.from_arrays(parts, fields=list(kind), mask=column.is_null())
    as_list = pyarrow.large_list if types.is_large_list(kind) else pyarrow.list_
    column = column.cast(as_list(column.type.value_type))
    values = restore(column.values, kind.value_type)
    return pyarrow.Array.from_buffers(
        kind, len(column), column.buffers()[:2], column.null_count, column.offset, [values]
    )


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


def instants(column: Any, unit: str, what: str, *, to_ends: bool = False) -> Any:
    """
    Give a column of times as integers: how many units since 1970 in UTC. A time without a zone is UTC, as Feast has it.

    :param unit: ``us`` or ``ns``
    :param what: what is read, for a message
    :param to_ends: whether a time that nanoseconds do not tell, before 1677 or after 2262, is the first or last that
        they do, so that it still is before or after all others
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
        if to_ends and unit == "ns":
            return _to_ends(column.cast(pyarrow.int64()), UNITS["ns"] // UNITS[column.type.unit])
        # Of nanoseconds finer than the unit there are none: the unit is the finer of both sides'.
        return column.cast(pyarrow.timestamp(unit, column.type.tz)).cast(pyarrow.int64())
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigurationProblem("%s holds what is no time: %s" % (what, error)) from error


def _to_ends(instants: Any, times: int) -> Any:
    last = pyarrow.scalar((2**63 - 1) // times, pyarrow.int64())
    first = pyarrow.scalar(-last.as_py(), pyarrow.int64())
    compute = pyarrow.compute
    within = compute.max_element_wise(
        compute.min_element_wise(instants, last, skip_nulls=False), first, skip_nulls=False
    )
    return compute.multiply(within, times)


def _parsed(column: Any) -> Any:
    import pandas

    if not _is_text(column.type):
        raise TypeError("it is %s" % column.type)
    values = pandas.to_datetime(column.to_pandas(), utc=True, format="ISO8601")
    return pyarrow.Array.from_pandas(values)


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def unit_of(*kinds: Any) -> str:
    """Give the unit in which times of all these types can be told: microseconds, where none is finer; texts may be."""

    def is_finer(kind: Any) -> bool:
        return _is_text(kind) or bool(types.is_timestamp(kind) and kind.unit == "ns")

    return "ns" if any(map(is_finer, map(plain, kinds))) else "us"


def moment(instant: int, unit: str) -> str:
    """Write an instant as a person reads it."""
    return str(pyarrow.scalar(instant, pyarrow.timestamp(unit, "UTC")))


def units_of(seconds: float, unit: str) -> int:
    """Give a duration in units, exactly."""
    return round(datetime.timedelta(seconds=seconds) / datetime.timedelta(microseconds=1)) * (UNITS[unit] // 1_000_000)
