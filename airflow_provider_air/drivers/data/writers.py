"""Arrow tables as files: parquet, CSV, and JSON of one row a line."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
from typing import Any, List

import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from pyarrow import types

FORMATS = ("parquet", "csv", "json")


class NotInFormat(TypeError):
    """The format has no place for a column's type."""


def write(table: Any, kind: str, stream: Any) -> None:
    """
    Write a table.

    :raises NotInFormat: CSV has no lists, structs, maps or tensors
    """
    if kind == "parquet":
        pyarrow.parquet.write_table(table, stream)
    elif kind == "csv":
        pyarrow.csv.write_csv(_flat(table), stream)
    else:
        for row in table.to_pylist():
            stream.write(json.dumps(_plain(row), ensure_ascii=False, allow_nan=False).encode() + b"\n")


def read(stream: Any, kind: str) -> Any:
    """Read a file of :func:`write`: of CSV all columns as texts."""
    if kind == "parquet":
        return pyarrow.parquet.read_table(stream)
    names = pyarrow.csv.open_csv(stream).schema.names
    stream.seek(0)
    options = pyarrow.csv.ConvertOptions(
        column_types={name: pyarrow.string() for name in names},
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        null_values=[""],
    )
    return pyarrow.csv.read_csv(stream, convert_options=options)


def listed(kind: Any) -> Any:
    """
    Give a type with lists for its lists of a fixed size, at any depth.

    A missing one of a fixed size is in a parquet file as one without values, which Arrow (25) refuses to read.
    """
    if isinstance(kind, pyarrow.BaseExtensionType):
        storage = listed(kind.storage_type)
        return kind if storage == kind.storage_type else storage
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return pyarrow.list_(_listed(kind.value_field))
    if types.is_large_list(kind):
        return pyarrow.large_list(_listed(kind.value_field))
    if types.is_map(kind):
        return pyarrow.map_(_listed(kind.key_field), _listed(kind.item_field), keys_sorted=kind.keys_sorted)
    if types.is_struct(kind):
        return pyarrow.struct([_listed(kind.field(n)) for n in range(kind.num_fields)])
    return kind


def _listed(field: Any) -> Any:
    return field.with_type(listed(field.type))


def readable(table: Any) -> Any:
    """Give a table that can be read from parquet: see :func:`listed`, of columns that miss such a list."""
    for index, column in enumerate(table.columns):
        if any(map(_misses_one, column.chunks)):
            field = _listed(table.schema.field(index))
            table = table.set_column(index, field, column.cast(field.type))
    return table


def _misses_one(array: Any) -> bool:
    kind = array.type
    if listed(kind) == kind:
        return False
    if isinstance(kind, pyarrow.BaseExtensionType):
        return _misses_one(array.storage)
    if types.is_struct(kind):
        return any(map(_misses_one, array.flatten()))
    if types.is_map(kind):
        return _misses_one(array.items)
    return (types.is_fixed_size_list(kind) and array.null_count > 0) or _misses_one(array.flatten())


def shared(schema: Any, found: List[Any]) -> Any:
    """
    Give the schema that several files are to have: see :func:`listed`, of columns that not all of them have so.

    :param schema: what holds the values of all
    :param found: the schemas that they have
    """

    def agrees(field: Any) -> bool:
        return all(
            each.get_field_index(field.name) >= 0 and each.field(field.name).type == field.type for each in found
        )

    return pyarrow.schema([field if agrees(field) else _listed(field) for field in schema])


def _flat(table: Any) -> Any:
    for index, field in enumerate(table.schema):
        if types.is_nested(field.type) or isinstance(field.type, pyarrow.BaseExtensionType):
            raise NotInFormat(
                "output: CSV has no place for the column %r, which is %s; write parquet or json, or leave it out by "
                "output_uri={'columns': [...]}" % (field.name, field.type)
            )
        if types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
        elif types.is_duration(field.type):
            spans = table.column(index).cast(pyarrow.duration("us"), safe=False).cast(pyarrow.int64())
            table = table.set_column(index, field.name, pyarrow.compute.divide(spans.cast(pyarrow.float64()), 1e6))
        elif types.is_null(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(pyarrow.string()))
    return table


def _plain(value: Any) -> Any:
    """Give what JSON has: numbers and texts; bytes in base64, times in ISO 8601, NaN and infinities as null."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _named(value)


def _named(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)  # a float would round it
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
