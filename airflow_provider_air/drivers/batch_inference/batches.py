"""Batches as predictors want them, and what they give as Arrow tables."""

from __future__ import annotations

import collections.abc
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy
import pyarrow
import pyarrow.compute
from pyarrow import types

from . import columns
from .columns import NoColumn

# A column that tells how many input rows a row of the output stands for: it goes from the actors to the tasks that
# write, so that a task that Ray runs again counts once. Of a batch, the first row has them all.
ROWS = "__air_rows__"
# Floats hold each integer up to here.
EXACT = 2**53


def of_block(block: Any) -> Any:
    """Give a block of Ray Data as an Arrow table, whose columns of Python objects have a type of Arrow's."""
    return table_of(block, None, "pyarrow")


def shown(table: Any, kind: str) -> Any:
    """
    Give a table as predictors are given it.

    :param kind: ``pandas``, ``numpy`` or ``pyarrow``
    """
    from ray.data.block import BlockAccessor

    if kind == "pyarrow":
        return table
    if kind == "numpy":
        table = _decoded(table)
    found = BlockAccessor.for_block(table).to_batch_format(kind)
    if kind == "numpy":
        found.update(
            {name: _objects(table[name].to_pylist()) for name in table.column_names if _is_rounded(table[name])}
        )
    return found


def _is_rounded(column: Any) -> bool:
    """Whether numpy would show integers as floats, since there are nulls beside them, and not hold them exactly."""
    kind, chunks = column.type, getattr(column, "chunks", [column])
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return any(_is_rounded(chunk.flatten()) for chunk in chunks)
    if types.is_struct(kind):
        return any(_is_rounded(field) for chunk in chunks for field in chunk.flatten())
    if types.is_map(kind):
        return any(_is_rounded(side) for chunk in chunks for side in (chunk.keys, chunk.items))
    if not types.is_integer(kind) or not column.null_count:
        return False
    ends = pyarrow.compute.min_max(column).as_py().values()
    return any(end is not None and abs(end) > EXACT for end in ends)


def _objects(values: List[Any]) -> Any:
    found = numpy.empty(len(values), dtype=object)
    for at, value in enumerate(values):
        found[at] = _objects(value) if isinstance(value, list) else value
    return found


def _decoded(table: Any) -> Any:
    # Ray (2.60) gives nulls of such a column the value of another row.
    for index, field in enumerate(table.schema):
        if types.is_dictionary(field.type):
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    return table


def table_of(result: Any, given: Optional[Any], kind: str) -> Any:
    """
    Give what a predictor gives as an Arrow table, see :func:`~air_drivers.batch_inference.columns.column`.

    :param result: a data frame of pandas or polars, a table of Arrow, an array (the column ``data``), or a dict of
        columns: lists, arrays and tensors of any library, series
    :param given: the batch as a table, if any
    :param kind: how the predictor was given the batch
    :raises NoColumn: it is nothing of these
    """
    found = {}
    for name, values in _columns(result).items():
        if not isinstance(name, str):
            raise NoColumn("the name of column %r is no text" % (name,))
        old = given.column(name) if given is not None and name in given.column_names else None
        found[name] = columns.column(
            values, name, None if old is None else old.combine_chunks(), _as_seen(given, name, kind)
        )
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise NoColumn("the columns are of different lengths: %s" % lengths)
    return pyarrow.table(found)


def _as_seen(given: Any, name: str, kind: str) -> Callable[[], Any]:
    return lambda: shown(given.select([name]), kind)[name]


def _columns(result: Any) -> Dict[Any, Any]:
    if isinstance(result, (pyarrow.Table, pyarrow.RecordBatch)):
        return _by_name(result.schema.names, result.column)
    if type(result).__module__.startswith("pandas.") and hasattr(result, "columns"):
        return _by_name(list(result.columns), lambda at: result.iloc[:, at])
    if isinstance(result, collections.abc.Mapping):
        return dict(result)
    if isinstance(result, numpy.ndarray):
        return {"data": result}  # as Ray itself calls it
    if hasattr(result, "__arrow_c_stream__") and hasattr(result, "columns"):
        return _columns(pyarrow.table(result))
    raise NoColumn("the predictor gave a %s; give a data frame, a table, or a dict of columns" % type(result).__name__)


def _by_name(names: List[Any], column: Callable[[int], Any]) -> Dict[Any, Any]:
    if len(set(names)) < len(names):
        raise NoColumn("there are columns of the same name: %s" % ", ".join(map(str, names)))
    return {name: column(at) for at, name in enumerate(names)}


def counted(table: Any, rows: int) -> Any:
    """Add the column :data:`ROWS`; to nothing, a row that stands for the input alone."""
    if table.num_rows == 0 and rows:
        empty = {field.name: pyarrow.nulls(1, field.type) for field in table.schema if not _is_extended(field.type)}
        return pyarrow.table({**empty, ROWS: pyarrow.array([-rows], pyarrow.int64())})
    told = numpy.zeros(table.num_rows, dtype="int64")
    told[:1] = rows
    return table.append_column(ROWS, pyarrow.array(told))


def nothing(rows: int) -> Any:
    """Give what stands for input rows of which a predictor gave nothing: it says nothing of the output's columns."""
    return counted(pyarrow.table({}), rows)


def uncounted(table: Any) -> Tuple[Any, int]:
    """Take the column of :func:`counted` off again; give the table, and how many input rows it stands for."""
    if ROWS not in table.column_names:
        return table, 0
    told = table.column(ROWS).to_numpy()
    if (told < 0).any():
        table = table.filter(pyarrow.array(told >= 0))
    return table.drop_columns([ROWS]), int(numpy.abs(told).sum())


def _is_extended(kind: Any) -> bool:
    return isinstance(kind, pyarrow.BaseExtensionType)
