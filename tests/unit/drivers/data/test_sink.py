"""What is written of what predictors give: one schema, files of a sensible size. Ray's library is used, no cluster."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.data import schemas, sink, writers
from airflow_provider_air.drivers.data.schemas import SchemasDiffer
from airflow_provider_air.drivers.data.sink import ColumnsMissing, StagedSink

TABLE = pyarrow.table({"x": [1, 2, 3], "day": ["a", None, "a"]})


def written(folder: Path, tasks: list[list[Any]], **output: Any) -> StagedSink:
    """Write as Ray Data does: the blocks of each task, then all results to the driver's own copy."""
    found = StagedSink(str(folder), "air-1-2", {"format": "parquet", **output})
    returns = [found.write(blocks, SimpleNamespace(task_idx=index)) for index, blocks in enumerate(tasks)]
    found.on_write_complete(SimpleNamespace(write_returns=returns))
    return found


def settled(folder: Path, found: StagedSink) -> list[pyarrow.Schema]:
    """Do what :meth:`settle` has tasks for, and give the schema of each file."""
    wanted = found.schema()
    for part in found.parts:
        if not found._is_as(found._schemas[part["schema"]], wanted):
            part.update(sink._write_again(str(folder), part["file"], found._output["format"], wanted))
    return [pyarrow.parquet.read_schema(folder / part["file"]).remove_metadata() for part in found.parts]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (pyarrow.nulls(1), pyarrow.array(["a"]), pyarrow.string()),
        (pyarrow.array([1]), pyarrow.array([1.5]), pyarrow.float64()),
        (pyarrow.array([1], pyarrow.int8()), pyarrow.array([1]), pyarrow.int64()),
        (pyarrow.array(["a"]), pyarrow.array(["b"], pyarrow.large_string()), pyarrow.large_string()),
        (pyarrow.array(["a"]), pyarrow.array(["b"]).dictionary_encode(), pyarrow.string()),
        (
            pyarrow.array([0], pyarrow.timestamp("s")),
            pyarrow.array([0], pyarrow.timestamp("us")),
            pyarrow.timestamp("us"),
        ),
        (pyarrow.array([[]], pyarrow.list_(pyarrow.null())), pyarrow.array([[1]]), pyarrow.list_(pyarrow.int64())),
        (pyarrow.array([{"a": None}]), pyarrow.array([{"a": 1}]), pyarrow.struct([("a", pyarrow.int64())])),
        (
            pyarrow.array([{"a": 1}]),
            pyarrow.array([{"a": 1, "b": 2}]),
            pyarrow.struct([("a", pyarrow.int64()), ("b", pyarrow.int64())]),
        ),
        (
            pyarrow.array([decimal.Decimal("1.2")]),
            pyarrow.array([decimal.Decimal("12.34")]),
            pyarrow.decimal128(4, 2),
        ),
    ],
    ids=str,
)
def test_all_files_have_one_schema(tmp_path: Path, first: Any, second: Any, expected: Any) -> None:
    tasks = [[pyarrow.table({"y": first, "x": [1]})], [pyarrow.table({"y": second, "x": [2]})]]
    found = settled(tmp_path, written(tmp_path, tasks))
    assert found == [pyarrow.schema([("y", expected), ("x", pyarrow.int64())])] * 2
    whole = pyarrow.dataset.dataset(tmp_path, exclude_invalid_files=True).to_table()
    assert set(whole.column("x").to_pylist()) == {1, 2}


def test_the_same_columns_in_another_order_or_absent_are_one_schema(tmp_path: Path) -> None:
    tasks = [
        [pyarrow.table({"a": [1], "b": ["x"]})],
        [pyarrow.table({"b": ["y"], "a": [2]})],
        [pyarrow.table({"a": [3]})],
    ]
    found = written(tmp_path, tasks)
    assert len(set(map(str, settled(tmp_path, found)))) == 1
    rows = [row for part in found.parts for row in pyarrow.parquet.read_table(tmp_path / part["file"]).to_pylist()]
    assert rows == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": None}]


def test_batches_of_one_task_have_one_schema_too(tmp_path: Path) -> None:
    written(
        tmp_path, [[pyarrow.table({"y": [1]}), pyarrow.table({"y": [1.5]}), pyarrow.table({"y": pyarrow.nulls(1)})]]
    )
    assert pyarrow.parquet.read_table(next(tmp_path.iterdir())).column("y").to_pylist() == [1.0, 1.5, None]


PAIR, MANY = pyarrow.list_(pyarrow.float32(), 2), pyarrow.list_(pyarrow.float32())
TENSOR = pyarrow.fixed_shape_tensor(pyarrow.float32(), [2])
PAIRS = pyarrow.array([[1, 2], [3, 4]], PAIR)


def tensors(storage: Any) -> Any:
    return pyarrow.ExtensionArray.from_storage(TENSOR, storage)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (PAIRS, PAIRS, PAIR),
        (PAIRS, pyarrow.array([None, [1, None]], PAIR), MANY),
        (PAIRS, pyarrow.nulls(2), MANY),
        (PAIRS, None, MANY),
        (tensors(PAIRS), tensors(PAIRS), TENSOR),
        (tensors(PAIRS), tensors(pyarrow.array([None, [1, 2]], PAIR)), MANY),
        *(
            (pyarrow.array([complete, None], around(PAIR)), pyarrow.array([lacking] * 2, around(PAIR)), around(kind))
            for around, complete, lacking, kind in [
                (pyarrow.list_, [[1, 2]], [], PAIR),
                (pyarrow.list_, [[1, 2]], [None], MANY),
                (pyarrow.large_list, [[1, 2]], [[3, 4], None], MANY),
                (lambda kind: pyarrow.map_(pyarrow.string(), kind), [("a", [1, 2])], [("a", None)], MANY),
            ]
        ),
        (
            pyarrow.array([{"a": [1, 2]}] * 2, pyarrow.struct([("a", PAIR)])),
            pyarrow.array([{"a": [1, 2]}, None], pyarrow.struct([("a", PAIR)])),
            pyarrow.struct([("a", MANY)]),
        ),
    ],
    ids=str,
)
def test_lists_of_a_fixed_size_are_lists_where_one_is_missing_which_arrow_does_not_read(
    tmp_path: Path, first: Any, second: Any, expected: Any
) -> None:
    columns = [{"x": [n, n], "y": values} for n, values in enumerate((first, second)) if values is not None]
    found = written(
        tmp_path, [[pyarrow.table(each)] for each in columns] + ([[pyarrow.table({"x": [1, 1]})]] * (2 - len(columns)))
    )

    assert [schema.field("y").type for schema in settled(tmp_path, found)] == [expected] * 2
    rows = [
        row
        for part in found.parts
        for row in pyarrow.parquet.read_table(tmp_path / part["file"]).column("y").to_pylist()
    ]
    assert rows == [*first.to_pylist(), *([None] * 2 if second is None else second.to_pylist())]


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            pyarrow.array([1]),
            pyarrow.array(["a"]),
            "column 'y' is of different types in different batches: int64, string",
        ),
        (pyarrow.array([2**60 + 1]), pyarrow.array([1.5]), "column 'y' is double in some batches"),
    ],
)
def test_types_that_have_nothing_in_common_are_told(tmp_path: Path, first: Any, second: Any, said: str) -> None:
    found = written(tmp_path, [[pyarrow.table({"y": first})], [pyarrow.table({"y": second})]])
    with pytest.raises(SchemasDiffer, match=said):
        settled(tmp_path, found)


def test_an_output_without_rows_is_one_file_that_says_its_columns(tmp_path: Path) -> None:
    found = written(tmp_path, [[TABLE.slice(0, 0)], []])
    assert found.parts == []
    found.write_nothing(found.schema())
    assert pandas.read_parquet(tmp_path).columns.to_list() == ["x", "day"]
    assert [part["rows"] for part in found.parts] == [0]


def test_an_output_without_rows_has_the_columns_that_were_asked_for(tmp_path: Path) -> None:
    found = written(tmp_path, [], columns=["x", "prediction"], partition_by=["day"])
    found.write_nothing(TABLE.schema)
    assert pyarrow.parquet.read_schema(tmp_path / found.parts[0]["file"]).names == ["x", "prediction"]


def test_each_combination_of_partition_values_has_its_folder(tmp_path: Path) -> None:
    table = pyarrow.table({"x": [1, 2, 3, 4], "day": ["a/b", None, "a/b", ""], "n": [1, 1, 2, 1]})
    found = written(tmp_path, [[table]], partition_by=["day", "n"])
    assert sorted(part["file"].rpartition("/")[0] for part in found.parts) == [
        "day=/n=1",
        "day=__HIVE_DEFAULT_PARTITION__/n=1",
        "day=a%2Fb/n=1",
        "day=a%2Fb/n=2",
    ]
    part = next(part for part in found.parts if part["file"].startswith("day=a%2Fb/n=2"))
    assert pyarrow.parquet.ParquetFile(tmp_path / part["file"]).read().to_pydict() == {"x": [3]}
    assert sum(part["rows"] for part in found.parts) == 4


NAN = float("nan")
DECIMALS = [pyarrow.decimal32(5, 2), pyarrow.decimal64(5, 2), pyarrow.decimal256(40, 2)]
HALVES = pyarrow.array(numpy.array([0.5, 1.5, 0.5], "float16"))


@pytest.mark.parametrize(
    ("values", "folders"),
    [
        ([1.0, NAN, None, 2.0, NAN], ["1.0", "nan", "__HIVE_DEFAULT_PARTITION__", "2.0", "nan"]),
        ([0.0, -0.0, 1e300], ["0.0", "0.0", "1e+300"]),
        ([None, sink.NULL_FOLDER], [sink.NULL_FOLDER] * 2),
        (HALVES, ["0.5", "1.5", "0.5"]),
        (pyarrow.nulls(2), [sink.NULL_FOLDER] * 2),
        (pyarrow.array(["a", None, "a"]).dictionary_encode(), ["a", sink.NULL_FOLDER, "a"]),
        (pyarrow.chunked_array([["a"], ["b", "a"]]), ["a", "b", "a"]),
        ([True, False, None], ["True", "False", sink.NULL_FOLDER]),
        ([2**60 + 1, 2**60], [str(2**60 + 1), str(2**60)]),
        ([decimal.Decimal("1.20"), decimal.Decimal("1.30")], ["1.20", "1.30"]),
        (pyarrow.array([1, 2], pyarrow.timestamp("ns")), [f"1970-01-01 00:00:00.00000000{n}" for n in (1, 2)]),
        (pyarrow.array([b"a", b"b"], pyarrow.binary(1)), ["b%27a%27", "b%27b%27"]),
        (pyarrow.array([b"a", None], pyarrow.binary_view()), ["b%27a%27", sink.NULL_FOLDER]),
        (pyarrow.array(["a", None, "a"], pyarrow.string_view()), ["a", sink.NULL_FOLDER, "a"]),
        *((pyarrow.array([decimal.Decimal("1.20"), None], kind), ["1.20", sink.NULL_FOLDER]) for kind in DECIMALS),
    ],
    ids=str,
)
def test_each_row_is_in_one_folder_whatever_it_is_partitioned_by(
    tmp_path: Path, values: Any, folders: list[str]
) -> None:
    table = pyarrow.table({"x": range(len(folders)), "p": values})
    found = written(tmp_path, [[table]], partition_by=["p"])
    read = {
        row: part["file"].split("/")[0]
        for part in found.parts
        for row in pyarrow.parquet.ParquetFile(tmp_path / part["file"]).read().column("x").to_pylist()
    }
    assert read == {row: f"p={folder}" for row, folder in enumerate(folders)}
    assert sum(part["rows"] for part in found.parts) == len(folders)


def test_what_is_not_partitioned_by_keeps_its_type(tmp_path: Path) -> None:
    table = pyarrow.table({"p": [1, 2], "x": pyarrow.array(["a", None], pyarrow.string_view())})
    found = written(tmp_path, [[table]], partition_by=["p"])
    assert found.schema() == pyarrow.schema([("x", pyarrow.string_view())])
    tables = [pyarrow.parquet.ParquetFile(tmp_path / part["file"]).read() for part in found.parts]
    assert [table.column("x").to_pylist() for table in tables] == [["a"], [None]]


def test_files_hold_no_more_rows_than_asked(tmp_path: Path) -> None:
    found = written(tmp_path, [[TABLE, TABLE]], max_rows_per_file=4)
    assert [part["rows"] for part in found.parts] == [4, 2]
    assert len({part["file"] for part in found.parts}) == 2
    assert pandas.read_parquet(tmp_path)["x"].to_list() == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("output", "rows", "data"),
    [
        ({}, None, sink.FILE_BYTES),
        ({"min_rows_per_file": 5}, 5, None),
        ({"max_rows_per_file": 5}, None, sink.FILE_BYTES),
    ],
)
def test_ray_is_told_how_much_a_file_shall_hold(output: dict[str, Any], rows: int | None, data: int | None) -> None:
    found = StagedSink("/x", "air-1-2", {"format": "parquet", **output})
    assert (found.min_rows_per_write, found.min_bytes_per_write) == (rows, data)


def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    for output in ({"columns": ["x", "z"]}, {"partition_by": ["z"]}):
        with pytest.raises(ColumnsMissing, match="no column 'z' in what the predictor gives, which is 'x', 'day'"):
            written(tmp_path, [[TABLE]], **output)


def test_rows_of_json_are_exact(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "id": pyarrow.array([2**60 + 1, None]),
            "at": pyarrow.array([datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC), None]),
            "price": pyarrow.array([decimal.Decimal("1.20"), None]),
            "data": pyarrow.array([b"\x00\xff", None]),
            "tags": pyarrow.array([[{"a": [1, None]}], None]),
            "score": pyarrow.array([float("nan"), 0.5]),
            "text": pyarrow.array(["ü", None]),
        }
    )
    found = written(tmp_path, [[table]], format="json")
    lines = (tmp_path / found.parts[0]["file"]).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "id": 2**60 + 1,
            "at": "2026-01-05T00:00:00+00:00",
            "price": "1.20",
            "data": "AP8=",
            "tags": [{"a": [1, None]}],
            "score": None,
            "text": "ü",
        },
        {"id": None, "at": None, "price": None, "data": None, "tags": None, "score": 0.5, "text": None},
    ]


def test_csv_takes_what_it_has_a_place_for(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "id": pyarrow.array([2**60 + 1, None]),
            "kind": pyarrow.array(["a", None]).dictionary_encode(),
            "none": pyarrow.nulls(2),
            "text": pyarrow.array(["", None]),
            "span": pyarrow.array([datetime.timedelta(milliseconds=1500), None], pyarrow.duration("ms")),
        }
    )
    found = written(tmp_path, [[table]], format="csv")
    assert (tmp_path / found.parts[0]["file"]).read_text().splitlines() == [
        '"id","kind","none","text","span"',
        '1152921504606846977,"a",,"",1.5',
        ",,,,",
    ]
    with pytest.raises(writers.NotInFormat, match="CSV has no place for the column 'tags', which is list"):
        written(tmp_path, [[pyarrow.table({"tags": [[1]]})]], format="csv")


def test_csv_files_have_the_same_columns(tmp_path: Path) -> None:
    tasks = [[pyarrow.table({"a": [1, 2], "b": ["x", ""]})], [pyarrow.table({"b": ["y", None], "a": [3, 4]})]]
    found = written(tmp_path, tasks, format="csv")
    settled_parts = [
        sink._write_again(str(tmp_path), part["file"], "csv", found.schema())["file"] for part in found.parts[1:]
    ]
    frame = pandas.concat(
        [pandas.read_csv(tmp_path / name, keep_default_na=False) for name in (found.parts[0]["file"], *settled_parts)]
    )
    assert frame.to_dict("list") == {"a": [1, 2, 3, 4], "b": ["x", "", "y", ""]}


def test_a_schema_of_nothing_is_one_without_columns() -> None:
    assert schemas.unified([]) == pyarrow.schema([])
