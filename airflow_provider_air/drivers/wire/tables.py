"""Tables of pandas, polars and Arrow as the bytes of a parquet file; each library is imported for its tables only."""

from __future__ import annotations

import importlib
import io
from typing import Any, Dict, Optional

from .simpler import is_of


def library_of(value: Any) -> Optional[str]:
    """Give whose table a value is; None where it is none."""
    for library, names in (
        ("pandas", ("DataFrame",)),
        ("polars", ("DataFrame",)),
        ("pyarrow", ("Table", "RecordBatch")),
    ):
        if is_of(value, library, *names):
            return library
    return None


def to_parquet(library: str, table: Any) -> Optional[bytes]:
    """Give a table's file; None where another table would be read of it, such as one with a column of mixed types."""
    file = io.BytesIO()
    try:
        if library == "polars":
            table.write_parquet(file)
        else:
            import pyarrow
            import pyarrow.parquet

            arrow = table
            if library == "pandas":
                arrow = pyarrow.Table.from_pandas(table)
            elif isinstance(table, pyarrow.RecordBatch):
                arrow = pyarrow.Table.from_batches([table])
            pyarrow.parquet.write_table(arrow, file)
        data = file.getvalue()
        return data if _comes_back(library, table, data) else None
    except Exception:  # each library has errors of its own
        return None


def from_parquet(library: str, data: bytes) -> Any:
    """
    Read a table as its own library has it.

    :raises ImportError: the library, or pyarrow, is not here
    :raises ValueError: the bytes are no such file, or nobody knows the library
    """
    file = io.BytesIO(data)
    if library == "polars":
        return importlib.import_module("polars").read_parquet(file)
    if library not in ("pandas", "pyarrow"):
        raise ValueError("unknown kind of table %r" % (library,))
    import pyarrow.parquet

    # The file itself, since a data set has no two columns of one name.
    table = pyarrow.parquet.ParquetFile(file).read()
    return _frame_of(table) if library == "pandas" else table


def _frame_of(table: Any) -> Any:
    import pandas  # noqa: F401  # what to_pandas() needs, and does not say

    # Else integers beside a null would be floats, which have not all of them.
    return table.to_pandas(integer_object_nulls=True)


def _comes_back(library: str, table: Any, data: bytes) -> bool:
    """
    Tell whether a table's file is read as the table: pandas' columns may have another type, but not other values.

    Whatever is wrong with the file, this raises. Of a large table, a part at a time is in memory for the second time.
    """
    if library == "polars":
        return bool(from_parquet(library, data).equals(table))
    import pyarrow.parquet

    file, rows = pyarrow.parquet.ParquetFile(io.BytesIO(data)), 0
    for group in range(file.num_row_groups):
        part = file.read_row_group(group)
        if library == "pandas" and not _is_same_frame(_frame_of(part), table.iloc[rows : rows + len(part)]):
            return False
        # Arrow's types are parquet's: what is read has the same values.
        rows += len(part)
    return rows == len(table)


def _is_same_frame(found: Any, value: Any) -> bool:
    import pandas

    if not _is_same_column(found.columns, value.columns):
        return False
    # Such an index is not in the file's rows, of which this may be a part.
    if not isinstance(value.index, pandas.RangeIndex):
        # As of value_counts(): several levels, of which there is one.
        index = value.index.get_level_values(0) if value.index.nlevels == 1 else value.index
        if not _is_same_column(found.index, index):
            return False
    found.index = value.index
    return all(_is_same_column(found.iloc[:, place], value.iloc[:, place]) for place in range(value.shape[1]))


def _is_same_column(found: Any, value: Any) -> bool:
    """Compare two of pandas' columns, or two indexes."""
    if found.dtype != value.dtype and found.dtype.kind == value.dtype.kind:  # such as times of another unit
        found = found.astype(value.dtype)
    return found.equals(value) or (len(found) == len(value) and all(map(_is_same_cell, found, value)))


def _is_same_cell(found: Any, value: Any) -> bool:
    """Compare values: 1 is 1.0, a list is numpy's array of its items, and what is missing is missing."""
    import numpy
    import pandas

    if isinstance(value, dict):
        return found.keys() == value.keys() and all(_is_same_cell(found[key], value[key]) for key in value)
    if isinstance(value, (list, tuple, numpy.ndarray)):
        array = numpy.asarray(value) if found.dtype.kind in "biuf" else None
        if array is not None and array.dtype == found.dtype:  # many at once, such as an embedding
            return numpy.array_equal(found, array, equal_nan=True)
        return len(found) == len(value) and all(map(_is_same_cell, found, value))
    return bool((pandas.isna(found) and pandas.isna(value)) or found == value)


def columns_of(library: str, table: Any) -> Dict[str, Any]:
    """Give a table that parquet does not take as lists: of pandas its columns, index and rows, else by column."""
    if library == "pandas":
        rows = [list(row) for row in table.itertuples(index=False, name=None)]
        return {"index": table.index.tolist(), "columns": table.columns.tolist(), "data": rows}
    found: Dict[str, Any] = table.to_dict(as_series=False) if library == "polars" else table.to_pydict()
    return found
