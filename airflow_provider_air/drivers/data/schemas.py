"""One schema for tables that were made apart: nulls of a type, wider numbers, columns that some lack."""

from __future__ import annotations

from typing import Any, Dict, List

import pyarrow
from pyarrow import types


class SchemasDiffer(Exception):
    """No type holds the values that one column has in different parts of the data."""


def unified(found: List[Any]) -> Any:
    """
    Give the schema that holds the values of all; columns in the order in which they are first seen.

    :raises SchemasDiffer: there is none; the message names the column and its types
    """
    kinds: Dict[str, List[Any]] = {}
    for schema in found:
        for field in schema:
            kinds.setdefault(field.name, []).append(field.type)
    return pyarrow.schema([(name, _one(name, list(dict.fromkeys(several)))) for name, several in kinds.items()])


def _one(name: str, several: List[Any]) -> Any:
    known = [kind for kind in several if not types.is_null(kind)] or several
    if len(known) == 1:
        return known[0]
    plain = [_plain(kind) for kind in known]
    try:
        fields = [pyarrow.schema([(name, kind)]) for kind in plain]
        return pyarrow.unify_schemas(fields, promote_options="permissive").field(0).type
    except pyarrow.ArrowException:
        raise SchemasDiffer(
            "column %r is of different types in different batches: %s; let the predictor give one of them always"
            % (name, ", ".join(sorted(map(str, known))))
        ) from None


def _plain(kind: Any) -> Any:
    """Give what dictionaries stand for, and lists for tensors of one dimension, which may differ in length."""
    if types.is_dictionary(kind):
        return kind.value_type
    shape = getattr(kind, "shape", None)
    if isinstance(kind, pyarrow.BaseExtensionType) and shape is not None and len(shape) == 1:
        return pyarrow.list_(kind.storage_type.value_type)
    return kind


def cast(table: Any, schema: Any) -> Any:
    """
    Give a table by a schema of :func:`unified`: its columns in that order, those that it lacks as nulls.

    :raises SchemasDiffer: a number is not among those of the other type
    """
    arrays = []
    for field in schema:
        if field.name not in table.column_names:
            arrays.append(pyarrow.nulls(table.num_rows, field.type))
            continue
        try:
            arrays.append(_cast(table.column(field.name), field.type))
        except pyarrow.ArrowException as error:
            raise SchemasDiffer(
                "column %r is %s in some batches and has values that this is too small for in others (%s); let the "
                "predictor give one type always, or take pandas or pyarrow batches, which keep integers beside nulls"
                % (field.name, field.type, error)
            ) from None
    return pyarrow.table(arrays, schema=schema)


def _cast(column: Any, kind: Any) -> Any:
    if column.type == kind:
        return column
    if isinstance(column.type, pyarrow.BaseExtensionType):
        chunks = [chunk.storage for chunk in column.chunks]
        column = pyarrow.chunked_array(chunks, type=column.type.storage_type)
    return column.cast(kind)


def texts(schema: Any) -> Any:
    """Give a schema of the same columns as texts."""
    return pyarrow.schema([(name, pyarrow.string()) for name in schema.names])
