"""Batches to predictors and back: what a column was, it is again. Ray's library is used, no cluster."""

from __future__ import annotations

import asyncio
import datetime
import decimal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.compute
import pytest

from airflow_provider_air.drivers.batch_inference import batches, pool
from airflow_provider_air.drivers.batch_inference.columns import NoColumn
from airflow_provider_air.drivers.data import sink

DAY = datetime.datetime(2026, 1, 5, 12, 30)  # noqa: DTZ001  # zones are the column's
TENSORS = batches.table_of({"x": numpy.arange(8.0).reshape(2, 2, 2)}, None, "numpy").column(0).chunk(0)
# Two rows each, of which the second is null where the type may be.
COLUMNS: dict[str, Any] = {
    "string": pyarrow.array(["a", None]),
    "large_string": pyarrow.array(["a", None], pyarrow.large_string()),
    "dictionary": pyarrow.array(["a", None]).dictionary_encode(),
    "int": pyarrow.array([1, None]),
    "int beyond 2**53": pyarrow.array([2**60 + 1, None]),
    "uint8": pyarrow.array([1, None], pyarrow.uint8()),
    "float32": pyarrow.array([1.5, None], pyarrow.float32()),
    "NaN beside null": pyarrow.array([float("nan"), None]),
    "bool": pyarrow.array([True, None]),
    "decimal": pyarrow.array([decimal.Decimal("1.20"), None], pyarrow.decimal128(10, 2)),
    "date": pyarrow.array([DAY.date(), None]),
    "time": pyarrow.array([DAY.time(), None], pyarrow.time32("s")),
    "timestamp": pyarrow.array([DAY, None], pyarrow.timestamp("ms")),
    "timestamp with a zone": pyarrow.array([DAY, None], pyarrow.timestamp("us", "Europe/Berlin")),
    "duration": pyarrow.array([datetime.timedelta(days=1), None], pyarrow.duration("ms")),
    "binary": pyarrow.array([b"\x00\xff", None]),
    "list": pyarrow.array([[1, None], None]),
    "empty list": pyarrow.array([[], None], pyarrow.list_(pyarrow.string())),
    "list of structs": pyarrow.array([[{"a": 1, "b": None}], None]),
    "fixed-size list": pyarrow.array([[1.0, 2.0], [3.0, 4.0]], pyarrow.list_(pyarrow.float32(), 2)),
    "struct": pyarrow.array([{"a": 1, "b": "x"}, None]),
    "nested null": pyarrow.array(
        [{"a": [{"b": None}]}, None], pyarrow.struct([("a", pyarrow.list_(pyarrow.struct([("b", pyarrow.int16())])))])
    ),
    "map": pyarrow.array([[("k", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    "list with a null": pyarrow.array([[1.5, None], None]),
    "list of days": pyarrow.array([[DAY.date()], None]),
    "list of lists of days": pyarrow.array([[[DAY.date()], []], None]),
    "map with a null": pyarrow.array([[("k", 1), ("l", None)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    "struct with a null": pyarrow.array([{"a": 1, "b": None}, {"a": None, "b": 1.5}]),
    "struct of lists": pyarrow.array([{"a": [1.5, None]}, None]),
    "nanoseconds": pyarrow.array([1700000000123456789, None], pyarrow.timestamp("ns")),
    "nanoseconds with a zone": pyarrow.array([1700000000123456789, None], pyarrow.timestamp("ns", "Europe/Berlin")),
    "null": pyarrow.nulls(2),
    "tensor": TENSORS,
}


def same(batch: Any) -> Any:
    return batch


def copied(batch: Any) -> Any:
    """As a predictor that builds its own batch: other objects, the same values."""
    if isinstance(batch, pandas.DataFrame):
        return batch.astype(object)
    return {name: values.copy() for name, values in batch.items()} if isinstance(batch, dict) else batch


def listed(batch: Any) -> Any:
    if isinstance(batch, pyarrow.Table):
        return batch.to_pydict()
    return {name: list(batch[name]) for name in batch}


def predicted(function: Any, given: pyarrow.Table, kind: str) -> pyarrow.Table:
    return pool.Predict(function, None, {}, kind)(given)


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 1), slice(1, 2)], ids=["both", "the value", "the null"])
@pytest.mark.parametrize("function", [same, copied, listed])
@pytest.mark.parametrize("kind", ["pandas", "numpy", "pyarrow"])
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_out_as_it_went_in(name: str, kind: str, function: Callable[[Any], Any], rows: slice) -> None:
    column = pyarrow.chunked_array([COLUMNS[name]])[rows.start : rows.stop]
    given = pyarrow.table({"column": column})
    if function is listed and kind == "pyarrow" and name == "tensor":
        pytest.skip("Arrow's own lists of tensors have lost what they were")
    found, read = batches.uncounted(predicted(function, given, kind))
    assert read == given.num_rows
    assert found.schema == given.schema
    assert str(found.column(0).to_pylist()) == str(given.column(0).to_pylist())


@pytest.mark.parametrize("kind", ["pandas", "numpy", "pyarrow"])
@pytest.mark.parametrize(
    "column",
    [
        pyarrow.array([2**60 + 1, None, 2**60 + 3]),
        pyarrow.array([-(2**63), None, 1]),
        pyarrow.array([2**64 - 1, None, 1], pyarrow.uint64()),
        pyarrow.array([2**60 + 1, None, 2**60 + 3]).dictionary_encode(),
        pyarrow.array([[2**60 + 1, None], None, [1]]),
        pyarrow.array([[2**60 + 1, None], None, [1, 2]], pyarrow.list_(pyarrow.int64(), 2)),
        pyarrow.array([[[2**60 + 1, None]], None, [[1]]]),
        pyarrow.array([{"a": 2**60 + 1}, {"a": None}, {"a": 1}]),
        pyarrow.array([[("k", 2**60 + 1)], None, [("k", None)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    ],
    ids=lambda column: str(column.type),
)
def test_integers_beside_nulls_stay_exact_where_rows_are_taken_away_and_moved(column: Any, kind: str) -> None:
    def turned(batch: Any) -> Any:
        if kind == "pandas":
            return batch.iloc[[2, 0]]
        return batch.take([2, 0]) if kind == "pyarrow" else {name: values[[2, 0]] for name, values in batch.items()}

    given = pyarrow.table({"column": column})
    found, _ = batches.uncounted(predicted(turned, given, kind))
    if kind != "numpy" or not pyarrow.types.is_dictionary(column.type):
        assert found.schema == given.schema
    assert found.column(0).to_pylist() == given.column(0).take([2, 0]).to_pylist()


def test_integers_beside_nulls_are_numbers_to_numpy_where_floats_hold_them() -> None:
    shown = batches.shown(pyarrow.table({"x": [2**53, None], "y": [2**53 + 1, None]}), "numpy")
    assert [values.dtype for values in shown.values()] == ["float64", "object"]


def test_what_numpy_makes_of_times_and_texts_has_a_type_of_arrows() -> None:
    days = numpy.array(["2026-01-05", "2026-01-01"], "datetime64[D]")
    texts = numpy.array([["a", "b"], ["c", "d"]])
    made = {"since": days - days[::-1], "at": days.astype("datetime64[h]"), "top": texts}

    found = batches.table_of(made, None, "numpy")

    assert found["since"].to_pylist() == [datetime.timedelta(days=4), datetime.timedelta(days=-4)]
    assert found["at"][0].as_py() == datetime.datetime(2026, 1, 5)  # noqa: DTZ001
    assert found["top"].to_pylist() == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    ("kind", "made", "zone"),
    [
        ("pyarrow", lambda batch: batch.set_column(0, "at", pyarrow.compute.local_timestamp(batch["at"])), None),
        ("pandas", lambda batch: batch.assign(at=pandas.to_datetime(["2026-01-05 13:30"])), None),
        # numpy's have no zone, whoever gives them.
        ("pandas", lambda batch: {"at": batch["at"].to_numpy("datetime64[us]")}, "Europe/Berlin"),
        ("numpy", lambda batch: {"at": batch["at"] + numpy.timedelta64(0)}, "Europe/Berlin"),
    ],
)
def test_a_local_time_stays_one(kind: str, made: Any, zone: str | None) -> None:
    given = pyarrow.table({"at": pyarrow.array([DAY], pyarrow.timestamp("us", "Europe/Berlin"))})

    found, _ = batches.uncounted(predicted(made, given, kind))

    assert found.schema.field("at").type.tz == zone
    assert found["at"][0].as_py().replace(tzinfo=None) == DAY + datetime.timedelta(hours=1)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pyarrow.int64(), [1.5, 2.0], pyarrow.float64()),
        (pyarrow.int64(), ["a", "b"], pyarrow.string()),
        (pyarrow.string(), [1, 2], pyarrow.int64()),
        (pyarrow.bool_(), [1, 0], pyarrow.int64()),
        (pyarrow.float32(), [0.1, 0.2], pyarrow.float64()),
        (pyarrow.timestamp("us"), [1, 2], pyarrow.int64()),
        (pyarrow.int64(), [2.0, None], pyarrow.int64()),
        (pyarrow.int8(), [200, 1], pyarrow.int64()),
        (
            pyarrow.struct([("a", pyarrow.int64())]),
            [{"a": 1, "b": 2}] * 2,
            pyarrow.struct([("a", pyarrow.int64()), ("b", pyarrow.int64())]),
        ),
    ],
    ids=str,
)
def test_a_column_that_the_predictor_made_anew_keeps_its_own_values(kind: Any, values: Any, expected: Any) -> None:
    given = pyarrow.table({"column": pyarrow.nulls(2, kind)})
    found = predicted(lambda batch: {"column": values}, given, "numpy")
    assert found.schema.field("column").type == expected
    assert found.column("column").to_pylist() == values


class Tensor:
    """As torch's: on a device and with a gradient, so that numpy alone cannot have it."""

    def __init__(self, values: Any, is_local: bool = False) -> None:
        self._values = numpy.asarray(values)
        self._is_local = is_local

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if not self._is_local:
            raise TypeError("can't convert cuda tensor to numpy")
        return self._values

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return Tensor(self._values, is_local=True)


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0],
        (1.0, 2.0),
        numpy.array([1.0, 2.0]),
        [numpy.float64(1), numpy.float64(2)],
        Tensor([1.0, 2.0]),
        [Tensor(1.0), Tensor(2.0)],
        pandas.Series([1.0, 2.0]),
        pyarrow.array([1.0, 2.0]),
        pyarrow.chunked_array([[1.0], [2.0]]),
        map(float, [1, 2]),
    ],
    ids=lambda values: type(values).__name__,
)
def test_columns_of_a_dict_may_be_of_any_library(values: Any) -> None:
    found = predicted(lambda batch: {"y": values}, pyarrow.table({"x": [1, 2]}), "numpy")
    assert found.column("y").to_pylist() == [1.0, 2.0]
    assert found.schema.field("y").type == pyarrow.float64()


@pytest.mark.parametrize(
    "values",
    [numpy.ones((2, 3)), Tensor(numpy.ones((2, 3))), [numpy.ones(3), numpy.ones(3)]],
    ids=["array", "tensor", "list"],
)
def test_several_numbers_a_row_are_rows_of_numbers(values: Any) -> None:
    found = predicted(lambda batch: {"y": values}, pyarrow.table({"x": [1, 2]}), "numpy")
    assert [list(row) for row in found.column("y").to_pylist()] == [[1.0, 1.0, 1.0]] * 2


@pytest.mark.parametrize(
    "result",
    [
        pandas.DataFrame({"y": [1, 2]}, index=[7, 7]),
        pyarrow.table({"y": [1, 2]}),
        pyarrow.record_batch({"y": [1, 2]}),
        {"y": [1, 2]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_table_may_be_of_any_library(result: Any) -> None:
    assert predicted(lambda batch: result, pyarrow.table({"x": [1, 2]}), "pandas").column("y").to_pylist() == [1, 2]


def test_an_array_alone_is_the_column_data_as_ray_calls_it() -> None:
    found = predicted(lambda batch: numpy.array([1, 2]), pyarrow.table({"x": [1, 2]}), "numpy")
    assert found.column("data").to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (None, "the predictor gave a NoneType"),
        ([1, 2], "the predictor gave a list"),
        ({"y": [1, "a"]}, r"column 'y': Arrow has no type for its values \(int, str\)"),
        ({"y": [object(), None]}, r"column 'y': .*\(object\)"),
        ({"y": "ab"}, "column 'y' is one str for the whole batch"),
        ({"y": 1.0}, "column 'y' is one float for the whole batch"),
        ({"y": numpy.array(1.0)}, "column 'y' is one number for the whole batch"),
        ({"y": [1, 2], "z": [1]}, "different lengths: {'y': 2, 'z': 1}"),
        ({1: [1, 2]}, "column 1 is no text"),
        (pandas.DataFrame([[1, 2]], columns=["y", "y"]), "columns of the same name"),
    ],
)
def test_what_is_no_batch_is_told(result: Any, said: str) -> None:
    with pytest.raises(NoColumn, match=said):
        predicted(lambda batch: result, pyarrow.table({"x": [1, 2]}), "pandas")


def test_objects_that_an_earlier_step_has_pickled_get_a_type() -> None:
    from ray.data.block import BlockAccessor

    block = pandas.DataFrame({"s": ["a", float("nan")]}, dtype=object)
    pickled = BlockAccessor.for_block(block).to_arrow()
    for given in (block, pickled):
        assert predicted(same, given, "pyarrow").schema.field("s").type == pyarrow.string()


def test_rows_are_counted_where_the_predictor_gives_fewer_more_or_none() -> None:
    given = pyarrow.table(
        {"x": [1, 2, 3], "tensor": batches.table_of({"t": numpy.ones((3, 2, 2))}, None, "numpy").column(0)}
    )
    for function, rows in ((lambda b: b.head(1), 1), (lambda b: pandas.concat([b, b]), 6), (lambda b: b.head(0), 0)):
        table, read = batches.uncounted(predicted(function, given, "pandas"))
        assert (table.num_rows, read) == (rows, 3)


def test_a_generator_counts_its_batch_once() -> None:
    def twice(batch: Any) -> Any:
        yield batch
        yield batch

    def nothing(batch: Any) -> Any:
        yield from ()

    given = pyarrow.table({"x": [1, 2, 3]})
    assert [batches.uncounted(table)[1] for table in predicted(twice, given, "pandas")] == [3, 0]
    assert [batches.uncounted(table)[1] for table in predicted(nothing, given, "pandas")] == [3]


def hits(batch: Any) -> Any:
    if batch["x"].max() > 2:
        yield pandas.DataFrame({"x": ["c"], "score": [0.5]})


async def hits_in_time(batch: Any) -> Any:
    for one in hits(batch):
        yield one


async def collected(found: AsyncIterator[Any]) -> list[Any]:
    return [table async for table in found]


@pytest.mark.parametrize("target", [hits, hits_in_time])
def test_a_batch_of_which_nothing_is_given_says_nothing_of_the_columns(target: Any, tmp_path: Path) -> None:
    tables: list[Any] = []
    for given in ([1, 2], [3]):
        batch = pyarrow.table({"x": given, "unused": given})
        if target is hits:
            tables += list(pool.Predict(target, None, {}, "pandas")(batch))
        else:
            tables += asyncio.run(collected(pool.PredictAsync(target, None, {}, "pandas")(batch)))
    written = sink.StagedSink(str(tmp_path), "air-1-2", {"format": "parquet"}, batches.uncounted)
    told = [written.write([table], SimpleNamespace(task_idx=index)) for index, table in enumerate(tables)]
    written.on_write_complete(SimpleNamespace(write_returns=told))
    assert written.rows_read == 3
    assert written.schema() == pyarrow.schema([("x", pyarrow.string()), ("score", pyarrow.float64())])
    assert [part["rows"] for part in written.parts] == [1]


async def awaited(batch: Any) -> Any:
    return batch


async def streamed(batch: Any) -> Any:
    yield batch


class Awaited:
    async def __call__(self, batch: Any) -> Any:
        return batch


class Called:
    def __call__(self, batch: Any) -> Any:
        return batch


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (awaited, True),
        (streamed, True),
        (Awaited, True),
        (Awaited(), True),
        (same, False),
        (Called, False),
        (len, False),
    ],
)
def test_what_is_awaited_is_known_beforehand(target: Any, expected: bool) -> None:
    assert pool.is_async(target) is expected
    assert pool.takes_batches(target)


def test_a_class_whose_instances_cannot_be_called_is_no_predictor() -> None:
    assert not pool.takes_batches(Tensor)


def without_columns(batch: Any) -> Any:
    return pandas.DataFrame([])


@pytest.mark.parametrize("target", [same, awaited, streamed, Awaited, Called, without_columns])
def test_the_columns_of_an_output_without_rows_are_asked_for(target: Any) -> None:
    schema = pyarrow.schema([("x", pyarrow.int32()), ("s", pyarrow.string())])
    assert pool.schema_of_nothing(target, None, {}, "pandas", schema) == schema
