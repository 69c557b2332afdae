"""The point-in-time join: right values, in the rows' order, with the types that they had."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import asof, entities
from airflow_provider_air.drivers.features.plan import ViewPlan, carried_name
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

UTC = datetime.UTC
BERLIN = "Europe/Berlin"
DAY = 86_400.0


def at(day: int, microsecond: int = 0) -> datetime.datetime:
    return datetime.datetime(2026, 1, day, 0, 0, 0, microsecond, tzinfo=UTC)


def view(source: str = "source", *, keys: Sequence[str] = ("k",), **fields: Any) -> ViewPlan:
    """Plan a view of one feature, ``f``."""
    told = {"created": None, "ttl_seconds": 0.0, "features": [["f", "f"]], **fields}
    return ViewPlan(view="v", uri=source, endpoint="", keys=[[key, key] for key in keys], timestamp="t", **told)


def side(table: pyarrow.Table) -> asof.Side:
    """Read a table as a join does."""

    def read(columns: list[str]) -> Any:
        return iter(table.select(columns).combine_chunks().to_batches(max_chunksize=3))

    return asof.Side(table.schema, read, lambda: table.num_rows, "the rows")


def join(rows: pyarrow.Table, *sources: tuple[ViewPlan, pyarrow.Table]) -> pyarrow.Table:
    views = [(plan, side(source)) for plan, source in sources]
    schema, batches = asof.joined(side(rows), "t", views)
    table = pyarrow.Table.from_batches(list(batches), schema)
    assert table.column_names == [carried_name(plan.view, name) for plan, _ in sources for name, _ in plan.features]
    return table.rename_columns([name for plan, _ in sources for name, _ in plan.features])


def found(rows: pyarrow.Table, source: pyarrow.Table, **fields: Any) -> list[Any]:
    values: list[Any] = join(rows, (view(**fields), source)).column("f").to_pylist()
    return values


def test_each_row_gets_the_newest_value_that_is_not_after_it() -> None:
    source = pyarrow.table({"k": ["a", "a", "a", "b"], "t": [at(3), at(1), at(9), at(2)], "f": [3, 1, 9, 2]})
    rows = pyarrow.table({"k": ["a", "b", "a", "c", "a", "b"], "t": [at(3), at(1), at(2), at(9), at(8), at(2)]})

    assert found(rows, source) == [3, None, 1, None, 3, 2]


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [
        (0.0, [1, 1, 1]),
        (DAY, [1, 1, None]),
        (DAY - 1e-6, [1, None, None]),
        (DAY + 1e-6, [1, 1, 1]),
        (1e-6, [1, None, None]),
    ],
)
def test_a_value_that_is_older_than_its_ttl_is_none(ttl: float, expected: list[Any]) -> None:
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": [1]})
    rows = pyarrow.table({"k": [1, 1, 1], "t": [at(1), at(2), at(2, 1)]})

    assert found(rows, source, ttl_seconds=ttl) == expected


def test_ids_above_2_to_the_53rd_are_told_apart_also_beside_a_missing_one() -> None:
    large = 1152921504606846977
    source = pyarrow.table({"k": [large, large + 2, large + 1], "t": [at(1)] * 3, "f": [large, None, 7]})
    rows = pyarrow.table({"k": [large, None, large + 2, large + 1], "t": [at(2)] * 4})

    joined = join(rows, (view(), source)).column("f")

    assert joined.type == pyarrow.int64()
    assert joined.to_pylist() == [large, None, None, 7]


TIMES = [
    pyarrow.timestamp("s"),
    pyarrow.timestamp("ms", "UTC"),
    pyarrow.timestamp("us"),
    pyarrow.timestamp("us", BERLIN),
    pyarrow.timestamp("ns"),
    pyarrow.timestamp("ns", "America/St_Johns"),
    pyarrow.date32(),
    pyarrow.date64(),
    pyarrow.string(),
]


def times(kind: Any, days: Sequence[int]) -> pyarrow.Array:
    values = pyarrow.array([at(day) for day in days], pyarrow.timestamp("s", "UTC"))
    if pyarrow.types.is_string(kind):
        return pyarrow.array([f"2026-01-{day:02}T01:00:00+01:00" for day in days])
    return values.cast(pyarrow.timestamp("s")).cast(kind) if not getattr(kind, "tz", None) else values.cast(kind)


@pytest.mark.parametrize("left", TIMES, ids=str)
@pytest.mark.parametrize("right", TIMES, ids=str)
def test_times_of_every_type_and_zone_are_compared_as_what_they_are(left: Any, right: Any) -> None:
    source = pyarrow.table({"k": [1, 1], "t": times(right, [2, 4]), "f": [2, 4]})
    rows = pyarrow.table({"k": [1, 1, 1, 1], "t": times(left, [1, 2, 3, 4])})

    assert found(rows, source) == [None, 2, 2, 4]


def test_a_nanosecond_counts() -> None:
    nanoseconds = pyarrow.timestamp("ns", "UTC")
    source = pyarrow.table({"k": [1], "t": pyarrow.array([1_000_000_000_000_000_001], nanoseconds), "f": [1]})
    rows = pyarrow.table({"k": [1, 1], "t": pyarrow.array([10**18, 10**18 + 1], nanoseconds)})

    assert found(rows, source) == [None, 1]


@pytest.mark.parametrize("kind", [pyarrow.timestamp("us", "UTC"), pyarrow.timestamp("ns"), pyarrow.date32()], ids=str)
def test_a_nanosecond_of_a_text_counts(kind: Any) -> None:
    texts = ["2026-01-02T00:00:00.000000001Z", "2026-01-01T23:59:59.999999999Z", "2026-01-02"]
    some = pyarrow.table({"k": [1, 1], "t": times(kind, [1, 2]), "f": [1, 2]})
    text = pyarrow.table({"k": [1, 1], "t": texts[:2], "f": [1, 2]})

    assert found(pyarrow.table({"k": [1] * 3, "t": texts}), some) == [2, 1, 2]
    assert found(pyarrow.table({"k": [1] * 3, "t": texts}), some, ttl_seconds=DAY) == [2, 1, 2]
    assert found(pyarrow.table({"k": [1] * 3, "t": texts}), some, ttl_seconds=DAY - 1e-6) == [2, None, 2]
    assert found(pyarrow.table({"k": [1, 1], "t": times(kind, [1, 2])}), text) == [None, 2]


FIRST, LAST = datetime.datetime(1, 1, 1, tzinfo=UTC), datetime.datetime(9999, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize("near", [pyarrow.timestamp("us", "UTC"), pyarrow.timestamp("ns", "UTC"), pyarrow.string()])
@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_times_far_away_are_no_trouble(near: Any, unit: str) -> None:
    def far(*moments: datetime.datetime) -> pyarrow.Array:
        return pyarrow.array(moments, pyarrow.timestamp("us", "UTC")).cast(pyarrow.timestamp(unit, "UTC"))

    source = pyarrow.table({"k": [1] * 3, "t": far(FIRST, at(5), LAST), "f": [1, 5, 9]})
    rows = pyarrow.table({"k": [1] * 2, "t": times(near, [4, 6])})
    assert found(rows, source) == [1, 5]
    assert found(rows, source, ttl_seconds=DAY) == [None, 5]
    source = pyarrow.table({"k": [1] * 2, "t": times(near, [4, 6]), "f": [4, 6]})
    rows = pyarrow.table({"k": [1] * 3, "t": far(LAST, at(5), FIRST)})
    assert found(rows, source) == [6, 4, None]
    assert found(rows, source, ttl_seconds=DAY) == [None, 4, None]


def test_a_row_or_a_value_without_a_time_has_none() -> None:
    source = pyarrow.table({"k": [1, 1], "t": [None, at(2)], "f": [1, 2]})
    rows = pyarrow.table({"k": [1, 1], "t": pyarrow.array([None, at(1)], pyarrow.timestamp("us", "UTC"))})

    assert found(rows, source) == [None, None]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pyarrow.array([1, 2, None], pyarrow.int8()), pyarrow.array([1, 2, None], pyarrow.int64())),
        (pyarrow.array([1, 2, None], pyarrow.uint64()), pyarrow.array([1, 2, None], pyarrow.int32())),
        (pyarrow.array([1.0, 2.0, None]), pyarrow.array([1, 2, None], pyarrow.int64())),
        (pyarrow.array([1, 2, None]), pyarrow.array([1.0, 2.0, float("nan")])),
        (pyarrow.array([0.0, 2.5, float("nan")]), pyarrow.array([-0.0, 2.5, None], pyarrow.float32())),
        (pyarrow.array(["a", "", None]), pyarrow.array(["a", "", None], pyarrow.large_string())),
        (pyarrow.array(["a", "", None]).dictionary_encode(), pyarrow.array(["a", "", None])),
        (pyarrow.array([b"a", b"", None]), pyarrow.array([b"a", b"", None], pyarrow.large_binary())),
        (pyarrow.array([True, False, None]), pyarrow.array([True, False, None])),
        (pyarrow.array([at(1), at(2), None]), pyarrow.array([at(1), at(2), None], pyarrow.timestamp("ns", BERLIN))),
        (pyarrow.array([at(1), at(2), None]), pyarrow.array([at(1).date(), at(2).date(), None])),
        (
            pyarrow.array([decimal.Decimal("1.50"), decimal.Decimal("2.00"), None]),
            pyarrow.array([decimal.Decimal("1.50"), decimal.Decimal("2.00"), None], pyarrow.decimal128(30, 2)),
        ),
        (
            pyarrow.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes, None], pyarrow.uuid()),
            pyarrow.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes, None], pyarrow.binary(16)),
        ),
    ],
    ids=lambda column: str(column.type),
)
def test_keys_of_several_types_are_equal_and_a_missing_one_equals_a_missing_one(left: Any, right: Any) -> None:
    source = pyarrow.table({"k": right, "t": [at(1)] * 3, "f": [1, 2, 3]})
    rows = pyarrow.table({"k": left, "t": [at(2)] * 3})

    assert found(rows, source) == [1, 2, 3]


def test_an_integer_equals_no_float_that_cannot_tell_it_from_its_neighbour() -> None:
    source = pyarrow.table({"k": [2**53 + 1, 5, None], "t": [at(1)] * 3, "f": [1, 5, 0]})
    rows = pyarrow.table({"k": [float(2**53), 5.0, 5.5, float("inf")], "t": [at(2)] * 4})

    assert found(rows, source) == [None, 5, None, None]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pyarrow.array(["1"]), pyarrow.array([1])),
        (pyarrow.array([True]), pyarrow.array([1])),
        (pyarrow.array([[1]]), pyarrow.array([[1]])),
        (pyarrow.array([at(1)]), pyarrow.array(["2026-01-01"])),
    ],
)
def test_keys_that_cannot_be_equal_are_refused_before_anything_is_read(left: Any, right: Any) -> None:
    source = pyarrow.table({"k": right, "t": [at(1)], "f": [1]})

    with pytest.raises(ConfigurationProblem, match=r"the key k of feature view v.* are no keys that can be equal"):
        found(pyarrow.table({"k": left, "t": [at(2)]}), source)


@pytest.mark.parametrize("kind", [pyarrow.int64(), pyarrow.int8(), pyarrow.uint64(), pyarrow.float64()])
@pytest.mark.parametrize("is_rows", [True, False])
def test_what_a_partition_tells_equals_the_integer_that_is_written_so(kind: Any, is_rows: bool) -> None:
    texts = pyarrow.array(["7", "0042", "a", None, "8"])
    numbers = pyarrow.array([7, 42, None, 8], kind)
    told, other = side(keyed(texts)), side(keyed(numbers))
    told.partitions = {"k": ""}
    rows, source = (told, other) if is_rows else (other, told)

    schema, batches = asof.joined(rows, "t", [(view(), source)])

    joined = pyarrow.Table.from_batches(list(batches), schema).column(0).to_pylist()
    assert joined == ([0, None, None, 2, 3] if is_rows else [0, None, 3, 4])


def keyed(keys: pyarrow.Array) -> pyarrow.Table:
    return pyarrow.table({"k": keys, "t": [at(1)] * len(keys), "f": range(len(keys))})


def test_no_views_give_no_features() -> None:
    schema, batches = asof.joined(side(keyed(pyarrow.array(["a"]))), "t", [])

    assert (schema.names, list(batches)) == ([], [])


def test_the_value_that_was_created_last_counts() -> None:
    created = [at(1), at(3), None, at(2)]
    source = pyarrow.table({"k": [1] * 4, "t": [at(1)] * 4, "c": created, "f": ["first", "last", "never", "then"]})
    rows = pyarrow.table({"k": [1, 2], "t": [at(1), at(1)]})

    assert found(rows, source, created="c") == ["last", None]


def test_a_value_that_is_there_twice_is_one() -> None:
    source = pyarrow.table({"k": [1, 1], "t": [at(1)] * 2, "f": [float("nan")] * 2})

    assert numpy.isnan(found(pyarrow.table({"k": [1], "t": [at(1)]}), source)[0])


@pytest.mark.parametrize("created", [None, "c"])
def test_several_values_of_one_time_are_refused_where_a_row_would_get_one_of_them(created: str | None) -> None:
    source = pyarrow.table(
        {"k": [1, 1, 1, 2], "t": [at(1), at(1), at(2), at(1)], "c": [at(1)] * 4, "f": ["a", "b", "c", "d"]}
    )

    with pytest.raises(ConfigurationProblem, match=r"several values of k=1 at 2026-01-01 .*created_timestamp_column"):
        found(pyarrow.table({"k": [2, 1], "t": [at(1), at(1)]}), source, created=created)
    later = pyarrow.table({"k": [2, 1], "t": [at(1), at(2)]})
    assert found(later, source, created=created) == ["d", "c"]


def test_views_of_other_keys_are_joined_side_by_side() -> None:
    one = pyarrow.table({"a": [1, 2], "t": [at(1)] * 2, "f": [1, 2]})
    two = pyarrow.table({"a": [1, 1], "b": ["x", "y"], "t": [at(1)] * 2, "g": ["1x", "1y"]})
    none = pyarrow.table({"t": [at(1), at(3)], "h": [0.1, 0.3]})
    rows = pyarrow.table({"a": [1, 1, 2], "b": ["x", "y", "x"], "t": [at(1), at(2), at(3)]})

    joined = join(
        rows,
        (view(keys=["a"]), one),
        (view(keys=["a", "b"], features=[["g", "g"]]), two),
        (view(keys=[], features=[["h", "h"]]), none),
    )

    assert joined.to_pydict() == {"f": [1, 1, 2], "g": ["1x", "1y", None], "h": [0.1, 0.1, 0.3]}


STRUCT = pyarrow.struct([("x", pyarrow.timestamp("ns", BERLIN)), ("y", pyarrow.list_(pyarrow.float16()))])
TYPES: list[tuple[Any, list[Any]]] = [
    (pyarrow.int8(), [1, None]),
    (pyarrow.uint8(), [255, None]),
    (pyarrow.int32(), [None, None]),
    (pyarrow.int64(), [2**63 - 1, None]),
    (pyarrow.uint64(), [2**64 - 1, None]),
    (pyarrow.float16(), [numpy.float16(1.5), None]),
    (pyarrow.float32(), [1.5, None]),
    (pyarrow.float64(), [float("inf"), None]),
    (pyarrow.bool_(), [True, None]),
    (pyarrow.null(), [None, None]),
    (pyarrow.string(), ["ä", None]),
    (pyarrow.large_string(), ["", None]),
    (pyarrow.binary(), [b"\0", None]),
    (pyarrow.large_binary(), [b"\0", None]),
    (pyarrow.binary(2), [b"ab", None]),
    (pyarrow.date32(), [datetime.date(2026, 1, 1), None]),
    (pyarrow.date64(), [datetime.date(2026, 1, 1), None]),
    (pyarrow.time32("s"), [datetime.time(1, 2, 3), None]),
    (pyarrow.time64("ns"), [datetime.time(1, 2, 3), None]),
    (pyarrow.timestamp("s"), [datetime.datetime(9999, 1, 1), None]),  # noqa: DTZ001
    (pyarrow.timestamp("us", "UTC"), [at(1), None]),
    (pyarrow.timestamp("ns", BERLIN), [at(1), None]),
    (pyarrow.duration("ms"), [datetime.timedelta(seconds=1), None]),
    (pyarrow.decimal128(10, 2), [decimal.Decimal("1.50"), None]),
    (pyarrow.decimal256(50, 2), [decimal.Decimal("1.50"), None]),
    (pyarrow.list_(pyarrow.int32()), [[1, None], None]),
    (pyarrow.large_list(pyarrow.string()), [["a"], None]),
    (STRUCT, [{"x": at(1), "y": [numpy.float16(1)]}, None]),
    (pyarrow.list_(STRUCT), [[{"x": None, "y": []}], None]),
    (pyarrow.map_(pyarrow.string(), pyarrow.int64()), [[("a", 1)], None]),
    (pyarrow.list_(pyarrow.null()), [[], None]),
    (pyarrow.large_list(pyarrow.null()), [[None, None], None]),
    (pyarrow.struct([("x", pyarrow.null()), ("y", pyarrow.list_(pyarrow.null()))]), [{"x": None, "y": [None]}, None]),
    (pyarrow.list_(pyarrow.struct([("x", pyarrow.null())])), [[{"x": None}, None], None]),
    (pyarrow.map_(pyarrow.string(), pyarrow.null()), [[("a", None)], None]),
    (pyarrow.uuid(), [uuid.UUID(int=1).bytes, None]),
]


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=lambda value: str(value) if not isinstance(value, list) else "")
def test_a_feature_comes_with_the_type_that_it_has_in_its_source(kind: Any, values: list[Any]) -> None:
    column = pyarrow.array(values, kind)
    source = pyarrow.table({"k": [1, 2], "t": [at(1)] * 2, "f": column})
    rows = pyarrow.table({"k": [2, 1, 3], "t": [at(1)] * 3})

    joined = join(rows, (view(), source)).column("f")

    joined.validate(full=True)
    assert joined.type == kind
    assert joined.to_pylist() == [None, column[0].as_py(), None]


def test_what_was_a_dictionary_comes_plain() -> None:
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": pyarrow.array(["x"]).dictionary_encode()})

    assert join(pyarrow.table({"k": [1], "t": [at(1)]}), (view(), source)).schema.field("f").type == pyarrow.string()


PAIR, MANY = pyarrow.list_(pyarrow.float64(), 2), pyarrow.list_(pyarrow.float64())


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (PAIR, [1.0, 2.0], MANY),
        (pyarrow.list_(PAIR), [[1.0, 2.0], None], pyarrow.list_(MANY)),
        (pyarrow.struct([("x", PAIR)]), {"x": [1.0, None]}, pyarrow.struct([("x", MANY)])),
    ],
    ids=str,
)
def test_lists_of_a_fixed_size_come_as_lists_of_which_parquet_may_lack_some(
    tmp_path: Path, kind: Any, value: Any, expected: Any
) -> None:
    column = pyarrow.array([value], kind)
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": column})

    pyarrow.parquet.write_table(join(pyarrow.table({"k": [2, 1], "t": [at(1)] * 2}), (view(), source)), tmp_path / "1")

    joined = pyarrow.parquet.read_table(tmp_path / "1").column("f")
    assert (joined.type, joined.to_pylist()) == (expected, [None, value])


@pytest.mark.parametrize("missing", ["k", "t", "f"])
def test_a_column_that_a_source_does_not_have_is_named(missing: str) -> None:
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": [1]}).drop_columns([missing])

    with pytest.raises(ConfigurationProblem, match=f"feature view v: no column '{missing}'"):
        found(pyarrow.table({"k": [1], "t": [at(1)]}), source)


def test_what_is_no_time_is_told_as_it_is() -> None:
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": [1]})

    with pytest.raises(ConfigurationProblem, match="t holds what is no time"):
        found(pyarrow.table({"k": [1], "t": ["noon"]}), source)


def test_no_rows_have_no_features_but_columns() -> None:
    source = pyarrow.table({"k": [1], "t": [at(1)], "f": [1.5]})
    rows = pyarrow.table({"k": pyarrow.array([], pyarrow.int64()), "t": pyarrow.array([], pyarrow.timestamp("us"))})

    assert join(rows, (view(), source)).schema == pyarrow.schema({"f": pyarrow.float64()})


def test_a_value_is_known_when_its_file_says_and_not_when_its_folder_does(tmp_path: Path) -> None:
    folder = tmp_path / "source" / "t=2026-01-02"
    folder.mkdir(parents=True)
    known = datetime.datetime(2026, 1, 2, 18, tzinfo=UTC)
    pyarrow.parquet.write_table(pyarrow.table({"k": [1], "t": [known], "f": [99]}), folder / "1.parquet")
    plan = view(str(tmp_path / "source"))
    rows = pyarrow.table({"k": [1, 1], "t": [known - datetime.timedelta(hours=9), known]})

    schema, batches = asof.joined(side(rows), "t", [(plan, entities.source("/repo", plan))])

    assert pyarrow.Table.from_batches(list(batches), schema).column(0).to_pylist() == [None, 99]


def test_many_rows_come_in_their_order(tmp_path: Path) -> None:
    count = 300_000
    generator = numpy.random.default_rng(1)
    keys = generator.integers(0, 1000, count)
    rows = {"k": keys, "t": pyarrow.array([at(2)] * count, pyarrow.timestamp("us", "UTC")), "n": range(count)}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "rows.parquet", row_group_size=7_777)
    source = pyarrow.table({"k": range(1000), "t": [at(1)] * 1000, "f": range(1000)})

    with entities.opened({"uri": str(tmp_path / "rows.parquet")}, "rows") as opened:
        _, batches = asof.joined(opened, "t", [(view(), side(source))])
        joined = pyarrow.Table.from_batches(list(batches))

    assert (joined.column(0).to_numpy() == keys).all()
