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
    """Give a table's file; None where parquet has no form of it, such as a column of mixed types."""
    file = io.BytesIO()
    try:
        if library == "polars":
            table.write_parquet(file)
        else:
            import pyarrow
            import pyarrow.parquet

            if library == "pandas":
                table = pyarrow.Table.from_pandas(table)
            elif isinstance(table, pyarrow.RecordBatch):
                table = pyarrow.Table.from_batches([table])
            pyarrow.parquet.write_table(table, file)
    except Exception:  # each library has errors of its own
        return None
    return file.getvalue()


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

    if library == "pandas":
        import pandas  # noqa: F401  # what to_pandas() needs, and does not say

    table = pyarrow.parquet.read_table(file)
    return table.to_pandas() if library == "pandas" else table


def columns_of(library: str, table: Any) -> Dict[str, Any]:
    """Give a table that parquet does not take as lists: of pandas its columns, index and rows, else by column."""
    if library == "pandas":
        rows = [list(row) for row in table.itertuples(index=False, name=None)]
        return {"index": table.index.tolist(), "columns": table.columns.tolist(), "data": rows}
    found: Dict[str, Any] = table.to_dict(as_series=False) if library == "polars" else table.to_pydict()
    return found
