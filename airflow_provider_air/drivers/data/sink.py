"""Ray Data's last step: one file per write task, into the staging folder."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

import pyarrow
import pyarrow.csv
import pyarrow.parquet
from ray.data.block import BlockAccessor
from ray.data.datasource import Datasink

from . import files

FORMATS = ("parquet", "csv", "json")


class StagedSink(Datasink):  # type: ignore[type-arg, misc, unused-ignore]
    """
    Writes one file per write task into the staging folder.

    A task that Ray runs again writes the same file again. Runs in Ray Data's write tasks.
    """

    def __init__(self, staging_uri: str, attempt: str, kind: str, columns: Optional[List[str]]) -> None:
        self._uri = staging_uri
        self._attempt = attempt
        self._kind = kind
        self._columns = columns
        self.parts: List[Dict[str, Any]] = []

    def on_write_start(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; Ray 2.51 passes no schema here, Ray 2.60 does."""

    def write(self, blocks: Iterable[Any], ctx: Any) -> Dict[str, Any]:
        """Write the blocks of one task, and return its file's name and rows."""
        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        tables = [table for table in tables if table.num_rows]
        name = "part-%s-%06d.%s" % (self._attempt, ctx.task_idx, self._kind)
        if not tables:
            return {"file": None, "rows": 0, "bytes": 0}
        table = pyarrow.concat_tables(tables, promote_options="default")
        if self._columns:
            table = table.select(self._columns)
        filesystem, path = files.located(files.join(self._uri, name))
        files.make_folder(filesystem, path.rpartition("/")[0])
        with filesystem.open_output_stream(path) as stream:
            _write_table(table, self._kind, stream)
        return {"file": name, "rows": table.num_rows, "bytes": filesystem.get_file_info(path).size}

    def on_write_complete(self, write_result: Any) -> None:
        """Keep what was written, for the commit."""
        self.parts = [part for part in write_result.write_returns if part and part["file"]]


def _write_table(table: Any, kind: str, stream: Any) -> None:
    if kind == "parquet":
        pyarrow.parquet.write_table(table, stream)
    elif kind == "csv":
        pyarrow.csv.write_csv(table, stream)
    else:
        text = table.to_pandas().to_json(orient="records", lines=True, date_format="iso")
        stream.write(text.encode())
