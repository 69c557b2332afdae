"""Ray Data's last step: files of a sensible size in the staging folder, all of one schema."""

from __future__ import annotations

import urllib.parse
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

import pyarrow
import pyarrow.compute
from pyarrow import types
from ray.data.block import BlockAccessor
from ray.data.datasource import Datasink

from . import files, schemas, writers
from .writers import FORMATS

__all__ = ["FORMATS", "ColumnsMissing", "StagedSink"]

# What hive calls the folder of a null.
NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
# In memory; parquet files are smaller.
FILE_BYTES = 128 * 1024 * 1024


class ColumnsMissing(Exception):
    """The rows lack columns that the output is to have."""


class StagedSink(Datasink):  # type: ignore[type-arg, misc, unused-ignore]
    """
    Writes the rows of some 128 MiB into each file, and each combination of partition values into a folder of its own.

    A task that Ray runs again writes the same files again. :meth:`write` runs in Ray Data's tasks, all else in the
    driver.

    :param output: ``format`` and, where the author wants them, ``columns``, ``partition_by``, ``min_rows_per_file``,
        ``max_rows_per_file``
    :param before: takes each table, gives what is to be written of it and how many rows were read for it
    :ivar parts: of each file ``file`` (its path below the staging folder), ``rows`` and ``bytes``
    :ivar rows_read: the sum of what ``before`` gave
    """

    def __init__(
        self,
        staging_uri: str,
        attempt: str,
        output: Dict[str, Any],
        before: Callable[[Any], Tuple[Any, int]] = lambda table: (table, table.num_rows),
    ) -> None:
        self._uri = staging_uri
        self._attempt = attempt
        self._output = output
        self._before = before
        self.parts: List[Dict[str, Any]] = []
        self.rows_read = 0
        self._schemas: List[Any] = []

    @property
    def min_rows_per_write(self) -> Optional[int]:
        """Tell Ray Data how many rows a task wants at least; None leaves it to :attr:`min_bytes_per_write`."""
        return self._output.get("min_rows_per_file")

    @property
    def min_bytes_per_write(self) -> Optional[int]:
        """Tell Ray Data (2.60) how many bytes a task wants at least; older ones write a file per block."""
        return None if self._output.get("min_rows_per_file") else FILE_BYTES

    def on_write_start(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing; Ray 2.51 passes no schema here, Ray 2.60 does."""

    def write(self, blocks: Iterable[Any], ctx: Any) -> Dict[str, Any]:
        """Write the blocks of one task; give its files, what was read for them, and their schema."""
        tables, rows_read = [], 0
        for block in blocks:
            table, rows = self._before(BlockAccessor.for_block(block).to_arrow())
            tables.append(table)
            rows_read += rows
        known = [table for table in tables if table.num_columns]
        if not known:
            return {"files": [], "rows_read": rows_read, "schema": None}
        schema = schemas.unified([table.schema for table in known])
        table = pyarrow.concat_tables([schemas.cast(table, schema) for table in known])
        table = writers.readable(table.select(self._columns(table.column_names)))
        named = self._files(table, "part-%s-%06d" % (self._attempt, ctx.task_idx)) if table.num_rows else iter(())
        written = [self._write(name, part) for name, part in named]
        inside = [name for name in table.column_names if name not in self._partition_by]
        return {
            "files": written,
            "rows_read": rows_read,
            "schema": table.select(inside).schema.serialize().to_pybytes(),
        }

    def on_write_complete(self, write_result: Any) -> None:
        """Keep what was written, for the commit."""
        for told in write_result.write_returns:
            self.parts += [{**part, "schema": len(self._schemas)} for part in told["files"]]
            self._schemas.append(told["schema"])
            self.rows_read += told["rows_read"]

    def schema(self) -> Any:
        """Give the schema of what was seen, whether or not it has rows; None where nothing was."""
        found = [pyarrow.ipc.read_schema(pyarrow.py_buffer(data)) for data in dict.fromkeys(self._schemas) if data]
        return writers.shared(schemas.unified(found), found) if found else None

    def settle(self) -> None:
        """
        Write again, by tasks, those files whose schema is not that of all of them together.

        :raises SchemasDiffer: there is none that holds the values of all
        """
        wanted = self.schema()
        others = [part for part in self.parts if not self._is_as(self._schemas[part["schema"]], wanted)]
        if others:
            import ray

            again = ray.remote(num_cpus=1)(_write_again)
            kind = self._output["format"]
            told = ray.get([again.remote(self._uri, part["file"], kind, wanted) for part in others])
            for at, part in enumerate(others):
                part.update(told[at])

    def write_nothing(self, schema: Any) -> None:
        """Write one file without rows, so that the output can be read."""
        table = schema.empty_table()
        inside = [name for name in self._columns(table.column_names, pad=True) if name not in self._partition_by]
        missing = [name for name in inside if name not in table.column_names]
        for name in missing:
            table = table.append_column(name, pyarrow.nulls(0))
        self.parts.append(
            self._write("part-%s-empty.%s" % (self._attempt, self._output["format"]), table.select(inside))
        )

    @property
    def _partition_by(self) -> List[str]:
        return list(self._output.get("partition_by") or [])

    def _is_as(self, data: Any, wanted: Any) -> bool:
        schema = pyarrow.ipc.read_schema(pyarrow.py_buffer(data))
        if self._output["format"] == "parquet":
            return bool(schema.equals(wanted))
        # A row of JSON names its own columns; of CSV the head of the file does.
        return self._output["format"] == "json" or bool(schema.names == wanted.names)

    def _columns(self, present: List[str], pad: bool = False) -> List[str]:
        wanted = self._output.get("columns") or present
        missing = [name for name in [*wanted, *self._partition_by] if name not in present]
        if missing and not pad:
            raise ColumnsMissing(
                "output: no column %s in what the predictor gives, which is %s"
                % (", ".join(map(repr, missing)), ", ".join(map(repr, present)))
            )
        return [*wanted, *(name for name in self._partition_by if name not in wanted)]

    def _files(self, table: Any, stem: str) -> Iterator[Tuple[str, Any]]:
        most = self._output.get("max_rows_per_file") or table.num_rows
        for folder, part in _partitions(table, self._partition_by):
            for number, start in enumerate(range(0, part.num_rows, most)):
                end = "" if part.num_rows <= most else "-%04d" % number
                yield "%s%s%s.%s" % (folder, stem, end, self._output["format"]), part.slice(start, most)

    def _write(self, name: str, table: Any) -> Dict[str, Any]:
        return {"file": name, "rows": table.num_rows, "bytes": _write_file(self._uri, name, table)}


def _partitions(table: Any, by: List[str]) -> Iterator[Tuple[str, Any]]:
    """Give each combination of values its folder, as hive names it, and its rows without these columns."""
    if not by:
        yield "", table
        return
    rest = table.drop_columns(by)
    plain = pyarrow.table([_plain(column) for column in rest.columns], rest.column_names)
    parts = [_folders(table.column(name), name) for name in by]
    folders = pyarrow.compute.binary_join_element_wise(*parts, pyarrow.scalar("", pyarrow.large_string()))
    found = folders.unique()
    # By number: NaN is equal to nothing, and different values may have one folder.
    numbers = pyarrow.compute.index_in(folders, value_set=found)
    for number, folder in enumerate(found.to_pylist()):
        part = plain.filter(pyarrow.compute.equal(numbers, number))
        yield folder, schemas.cast(part, rest.schema)


# What Arrow (25) does not filter by, count or look up, and what holds the same values.
_PLAIN = {"string_view": pyarrow.large_string(), "binary_view": pyarrow.large_binary()}


def _plain(column: Any) -> Any:
    kind = _PLAIN.get(str(column.type))
    return column if kind is None else column.cast(kind)


def _folders(column: Any, name: str) -> Any:
    """Give the folder of each value of one column."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    column = _plain(column)
    if types.is_decimal(column.type) and column.type.bit_width < 128:
        column = column.cast(pyarrow.decimal128(column.type.precision, column.type.scale))
    if types.is_float16(column.type):
        column = column.cast(pyarrow.float32())  # Arrow does not count these
    if types.is_floating(column.type):
        column = pyarrow.compute.add(column, pyarrow.scalar(0.0, column.type))  # -0.0 is 0.0
    values = column.unique()
    texts = ["%s=%s/" % (_quoted(name), _folder(value)) for value in values.to_pylist()]
    return pyarrow.array(texts, pyarrow.large_string()).take(pyarrow.compute.index_in(column, value_set=values))


def _folder(value: Any) -> str:
    return NULL_FOLDER if value is None else _quoted(str(value))


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe=" :+-")


def _write_file(uri: str, name: str, table: Any) -> int:
    filesystem, path = files.located(files.join(uri, name))
    files.make_folder(filesystem, path.rpartition("/")[0])
    with filesystem.open_output_stream(path) as stream:
        writers.write(table, name.rpartition(".")[2], stream)
    return int(filesystem.get_file_info(path).size)


def _write_again(uri: str, name: str, kind: str, schema: Any) -> Dict[str, Any]:
    """Write one staged file by another schema; its name changes, so that a task that Ray runs again finds it."""
    filesystem, path = files.located(files.join(uri, name))
    with filesystem.open_input_file(path) as stream:
        table = writers.read(stream, kind)
    stem, _, end = name.rpartition(".")
    again = "%s-again.%s" % (stem, end)
    table = schemas.cast(table, schema if kind == "parquet" else schemas.texts(schema))
    return {"file": again, "bytes": _write_file(uri, again, table)}
