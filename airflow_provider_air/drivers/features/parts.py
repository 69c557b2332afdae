"""Joined rows as parquet, in as many files as readers want: Ray reads each file in a task of its own."""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Dict, List, Optional

import pyarrow.parquet

from ..data import files
from ..data.staging import StagedOutput

# As many readers as this find a file each, where there are rows enough for all; more where the cluster has more CPUs.
FILES = 16
# No file is larger.
FEWEST_ROWS = 10_000
FILE_BYTES = 128 * 1024**2


class PartWriter:
    """
    Write tables one after another into files of an output's staging folder.

    :param staged: whose attempt this is
    """

    def __init__(self, staged: StagedOutput) -> None:
        self.parts: List[Dict[str, Any]] = []
        self.rows = 0
        self.values: Dict[str, int] = {}
        self._staged = staged
        self._most_rows = FEWEST_ROWS
        self._filesystem, self._folder = files.open_uri(staged.staging_uri, "output")
        self._stack = contextlib.ExitStack()
        self._file: Optional[Any] = None
        self._file_rows = self._file_bytes = 0

    def begin(self, rows: int) -> None:
        """Begin, or begin anew, to write about so many rows; raises what the storage raises."""
        self._stack.close()
        self.parts, self.rows, self.values, self._file = [], 0, {}, None
        self._most_rows = max(FEWEST_ROWS, -(-rows // _readers()))
        files.make_folder(self._filesystem, self._folder)

    def write(self, table: Any) -> None:
        """Write rows; also a table without any, so that readers find the columns."""
        while True:
            if self._file is None:
                self._open(table.schema)
            some = table.slice(0, self._most_rows - self._file_rows)
            self._take(some)
            table = table.slice(some.num_rows)
            if not table.num_rows:
                return

    def end(self) -> None:
        """Close the last file."""
        self._close()

    def taken(self, parts: List[Dict[str, Any]]) -> None:
        """Note what others have written: of each file its name, its rows, and which columns have values."""
        for part in parts:
            self.parts.append({"file": part["file"], "rows": part["rows"]})
            self.rows += part["rows"]
            for name in part["valued"]:
                self.values[name] = self.values.get(name, 0) + 1

    def _open(self, schema: Any) -> None:
        name = "%s-%05d.parquet" % (self._staged.attempt, len(self.parts))
        stream = self._stack.enter_context(self._filesystem.open_output_stream("%s/%s" % (self._folder, name)))
        self._file = self._stack.enter_context(pyarrow.parquet.ParquetWriter(stream, schema))
        self.parts.append({"file": name, "rows": 0})
        self._file_rows = self._file_bytes = 0

    def _take(self, some: Any) -> None:
        assert self._file is not None
        self._file.write_table(some)
        self.rows += some.num_rows
        self.parts[-1]["rows"] += some.num_rows
        self._file_rows += some.num_rows
        self._file_bytes += some.nbytes
        for name, column in zip(some.column_names, some.columns):
            self.values[name] = self.values.get(name, 0) + len(column) - column.null_count
        if self._file_rows >= self._most_rows or self._file_bytes >= FILE_BYTES:
            self._close()

    def _close(self) -> None:
        self._file = None
        self._stack.close()


def _readers() -> int:
    """Say how many may read at once, as far as that is known: a join alone needs no cluster, and joins none."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return FILES
    return max(FILES, int(ray.cluster_resources().get("CPU", 0)))
