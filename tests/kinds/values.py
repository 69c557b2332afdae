"""What people return, and what their task's XCom is: each input is a :class:`Way`."""

from __future__ import annotations

# ruff: noqa: DTZ001  # what a function may return
import argparse
import array
import collections
import datetime
import decimal
import enum
import math
import pathlib
import threading
import types
import uuid
import zoneinfo
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy
import pandas
import pendulum
import pyarrow
import pyarrow.compute
import pydantic

from tests.kinds import Kind

# The XCom is what load_result() gives; the XCom stands for it; what load_result() gives is what was returned.
SAME, ENCODED = object(), object()


@dataclass(frozen=True)
class Way:
    """
    One value's way home.

    :param value: what the function returns
    :param xcom: what the task's XCom is; by default what ``load_result`` gives of it
    :param loaded: what ``load_result`` gives, by default what was returned
    :param told: the place that a warning names
    """

    value: Any
    xcom: Any = SAME
    loaded: Any = SAME
    told: str | None = None

    @property
    def expected(self) -> Any:
        return self.value if self.loaded is SAME else self.loaded


def is_same(found: Any, expected: Any) -> bool:
    """Compare contents, types and zones; NaN is NaN."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, numpy.ndarray):
        exact = found.dtype == expected.dtype and found.shape == expected.shape
        return exact and all(map(is_same, found.ravel().tolist(), expected.ravel().tolist()))
    if hasattr(found, "equals"):
        return bool(found.equals(expected))
    if isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(map(is_same, found, expected))
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(is_same(found[key], expected[key]) for key in found)
    if isinstance(found, (datetime.datetime, datetime.time)):
        return found.isoformat() == expected.isoformat() and str(found.tzinfo) == str(expected.tzinfo)
    return bool(found == expected) or (found != found and expected != expected)  # NaN


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: float


@dataclass(frozen=True)
class Score:
    name: str
    at: datetime.date
    best: Any = None


@attrs.define
class Split:
    share: float
    seeds: list[int] = attrs.field(factory=list)


class Packed(msgspec.Struct):
    a: int
    b: str


class Model(pydantic.BaseModel):
    name: str
    path: pathlib.PurePosixPath = pathlib.PurePosixPath("/m")
    parts: list[Score] = field(default_factory=list)


class Tensor:
    """As torch's are: its values leave by ``detach().cpu()``, and a number by ``item()``."""

    def __init__(self, data: Any, *, is_away: bool = True) -> None:
        self._data = numpy.asarray(data)
        self._is_away = is_away

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    def detach(self) -> Tensor:
        return Tensor(self._data)

    def cpu(self) -> Tensor:
        return Tensor(self._data, is_away=False)

    def item(self) -> Any:
        return self._data.item()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._is_away:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        return self._data


class Half(Tensor):
    """A tensor whose numbers numpy has not."""

    def detach(self) -> Half:
        return self

    def cpu(self) -> Half:
        return self

    def tolist(self) -> Any:
        return self._data.tolist()


class Settings(collections.abc.Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Any:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Odd:
    """Nobody knows it."""

    def __str__(self) -> str:
        return "odd"


class Mute:
    """It cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


def itself() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def nested(depth: int, inner: Any = 1) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


NAN = math.nan
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
INDIA = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
NOON = datetime.datetime(2026, 7, 1, 12, 0, 0, 5)
FINE = numpy.datetime64("2026-01-02T03:04:05.123456789", "ns")
# A float has none for the first.
IDS = [2**53 + 1, None]
FRAME = pandas.DataFrame(
    {
        "id": [1152921504606846977, 2],
        "score": [0.5, NAN],
        "name": ["ä", None],
        "at": pandas.DatetimeIndex(["2026-01-02", pandas.NaT]),
        "kind": pandas.Categorical(["a", "b"]),
    },
    index=pandas.Index([7, 9], name="row"),
)
RECORDS = pandas.DataFrame({"at": pandas.DatetimeIndex(["2026-01-02", None]), "v": [1.5, 2.5]}).to_records(index=False)
TABLE = pyarrow.table({"id": [1152921504606846977, None], "tags": [["a"], []]})
SALES = pandas.DataFrame(
    {
        "shop": [1, 1, 2, 2],
        "kind": pandas.Categorical(["a", "b", "a", "b"]),
        "day": pandas.DatetimeIndex(["2026-01-01", "2026-02-01"] * 2),
        "eur": [1.0, 2.0, 3.0, 4.0],
    }
)
DAYS = [datetime.date(2026, 1, 1), datetime.date(2026, 2, 1)]


def pivoted(by: Any) -> pandas.DataFrame:
    """Give the sales with these columns."""
    return SALES.assign(by=by).pivot_table(index="shop", columns="by", values="eur", observed=False)


def labelled(columns: Any) -> pandas.DataFrame:
    """Give a frame of one row with these columns."""
    return pandas.DataFrame([range(len(columns))], columns=columns)


def of_arrow(kind: Any, *values: Any) -> pandas.DataFrame:
    """Give a frame with a column of Arrow's."""
    return pandas.DataFrame({"a": pandas.Series(values, dtype=pandas.ArrowDtype(kind))})


def lists(columns: list[Any], *data: list[Any], index: Any = None) -> dict[str, Any]:
    """Give the lists of a frame."""
    return {"index": list(range(len(data))) if index is None else index, "columns": columns, "data": list(data)}


def sold(*labels: Any) -> dict[str, Any]:
    """Give the lists of the sales with these columns."""
    return lists(list(labels), [1.0, 2.0], [3.0, 4.0], index=[1, 2])


KINDS = [
    Kind(
        "`None`, `bool`, numbers, text, `list`, `tuple`, `set`, `frozenset`, `dict` with text keys",
        "itself",
        {
            "none": Way(None),
            "true": Way(True),
            "int": Way(2**64 - 1),
            "float": Way(-1.5e-300),
            "text": Way("данные 🚀"),
            "nesting": Way({"a": [1, (2, {3}), frozenset({4})], "": {}}),
            "ids in a frozenset": Way(frozenset({"a", (1, 2)})),
        },
    ),
    Kind(
        "NaN and infinities, also numpy's and `Decimal`'s",
        "`None`, and one warning says where; trackers, files, arrays and tables keep them",
        {
            "nan": Way(NAN, xcom=None, loaded=None, told="result"),
            "inf inside": Way({"loss": [1.0, -math.inf]}, loaded={"loss": [1.0, None]}, told="result['loss'][1]"),
            "nan of numpy": Way([numpy.float32("nan")], loaded=[None], told="result[0]"),
            "nan of Decimal": Way((decimal.Decimal("sNaN"),), loaded=(None,), told="result[0]"),
        },
    ),
    Kind(
        "numbers beyond 64 bits (`2**70`, `1e30`), complex numbers",
        "held as it travelled: `load_result()` and arguments of `@task.ray` give the value",
        {
            "large int": Way(2**70, ENCODED),
            "more digits than Python writes": Way({"of": [-(10**5000)]}, ENCODED),
            "many digits as a key": Way({10**5000: 1}, ENCODED),
            "large float": Way({"worst": 1e30}, ENCODED),
            "the largest float": Way(numpy.finfo("float64").max, ENCODED, loaded=1.7976931348623157e308),
            "complex": Way(1 - 2j, ENCODED),
            "complex of numpy": Way(numpy.complex64(1j), ENCODED, loaded=1j),
        },
    ),
    Kind(
        "numpy's scalars, and what of torch, jax or TensorFlow has no dimension",
        "Python's number, text or `bool`",
        {
            "float32": Way(numpy.float32(0.5), loaded=0.5),
            "float16": Way([numpy.float16(2)], loaded=[2.0]),
            "int8": Way(numpy.int8(-3), loaded=-3),
            "uint64": Way(numpy.uint64(2**64 - 1), loaded=2**64 - 1),
            "bool of numpy": Way({"ok": numpy.bool_(True)}, loaded={"ok": True}),
            "long double": Way(numpy.longdouble(0.25), loaded=0.25),
            "text of numpy": Way(numpy.str_("ab"), loaded="ab"),
            "0-d array": Way(numpy.array(7), loaded=7),
            "0-d array of an object": Way(numpy.array({"a": 1}, dtype=object), loaded={"a": 1}),
            "a loss": Way({"loss": Tensor(0.25)}, loaded={"loss": 0.25}),
            "a structured scalar": Way(numpy.array([(1, "a")], dtype="i4,U1")[0], loaded=(1, "a")),
        },
    ),
    Kind(
        "numpy's arrays; tensors, also on a GPU or with a gradient",
        "held as it travelled: `load_result()` gives numpy's array, with its type and shape",
        {
            "array": Way(numpy.arange(6, dtype="float32").reshape(2, 3), ENCODED),
            "array of one": Way(numpy.array([NAN]), ENCODED),
            "array of another order": Way(numpy.asfortranarray(numpy.arange(6).reshape(2, 3)), ENCODED),
            "array of times": Way(numpy.array(["2026-01-02", "NaT"], dtype="M8[ns]"), ENCODED),
            "empty array": Way(numpy.zeros((0, 3), dtype="int8"), ENCODED),
            "array of text": Way(numpy.array(["a", "bcd"]), ENCODED),
            "tensor": Way(Tensor([[1.0, 2.0]]), ENCODED, loaded=numpy.array([[1.0, 2.0]])),
        },
    ),
    Kind(
        "arrays of objects, with fields, or masked; tensors of numbers that numpy has not",
        "lists, element by element; what is masked is `None`",
        {
            "array of objects": Way(numpy.array([Colour.RED, None, 1.5], dtype=object), loaded=["red", None, 1.5]),
            "array with fields": Way(numpy.array([(1, 2.5)], dtype="i4,f8"), loaded=[(1, 2.5)]),
            "masked array": Way(numpy.ma.masked_array([1, 2], mask=[False, True]), loaded=[1, None]),
            "a masked element": Way([numpy.ma.masked_array([1, 2], mask=[False, True])[1]], loaded=[None]),
            "the mean of what is masked": Way({"a": numpy.ma.masked_invalid([NAN]).mean()}, loaded={"a": None}),
            "times with fields": Way(RECORDS, loaded=[(datetime.datetime(2026, 1, 2), 1.5), (None, 2.5)]),
            "one of times with fields": Way([RECORDS[0]], loaded=[(datetime.datetime(2026, 1, 2), 1.5)]),
            "fine times with fields": Way(
                numpy.array([(FINE, numpy.timedelta64(1, "ns"))], dtype="M8[ns],m8[ns]"),
                ENCODED,
                loaded=[(FINE, numpy.timedelta64(1, "ns"))],
            ),
            "times in fields of fields": Way(
                numpy.array([((1, "2026-01-02"), [3, 4])], dtype=[("a", "i4,M8[ns]"), ("b", "M8[ns]", 2)]),
                ENCODED,
                loaded=[((1, datetime.datetime(2026, 1, 2)), numpy.array([3, 4], dtype="M8[ns]"))],
            ),
            "an array of no dimension with fields": Way(
                numpy.array((7, "2026-01-02"), dtype="i4,M8[ns]"), loaded=(7, datetime.datetime(2026, 1, 2))
            ),
            "masked times": Way(
                numpy.ma.masked_array(numpy.array([["2026-01-02", "NaT"]], dtype="M8[ns]"), mask=[[False, True]]),
                loaded=[[datetime.datetime(2026, 1, 2), None]],
            ),
            "masked differences": Way(
                {"of": numpy.ma.masked_array(numpy.array([1, 60_000], dtype="m8[ns]"), mask=[True, False])},
                loaded={"of": [None, datetime.timedelta(microseconds=60)]},
            ),
            "a masked time": Way(
                numpy.ma.masked_array(numpy.datetime64("2026-01-02", "ns")), loaded=datetime.datetime(2026, 1, 2)
            ),
            "masked fields": Way(
                numpy.ma.masked_array(RECORDS, mask=[(False, True), (True, False)]),
                loaded=[(datetime.datetime(2026, 1, 2), None), (None, 2.5)],
            ),
            "bfloat16": Way(Half([1.0, 2.0]), loaded=[1.0, 2.0]),
        },
    ),
    Kind(
        "`bytes`, `bytearray`, `memoryview`",
        "held as it travelled: `load_result()` gives `bytes`",
        {
            "bytes": Way(b"\x00model\xff", ENCODED),
            "bytearray": Way(bytearray(b"ab"), ENCODED, loaded=b"ab"),
            "memoryview": Way({"part": memoryview(b"abcd")[::2]}, ENCODED, loaded={"part": b"ac"}),
        },
    ),
    Kind(
        "`date`, `datetime`, `timedelta`, also pendulum's",
        "itself, as Python's own, in its zone; a time with a bare offset: the same moment in UTC",
        {
            "date": Way(datetime.date(2026, 1, 2)),
            "datetime": Way(NOON),
            "datetime in a zone": Way(NOON.replace(tzinfo=BERLIN)),
            "the second of two": Way(datetime.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN)),
            "UTC": Way(NOON.replace(tzinfo=datetime.UTC)),
            "bare offset": Way(NOON.replace(tzinfo=INDIA), loaded=NOON.replace(tzinfo=INDIA).astimezone(datetime.UTC)),
            "pendulum's": Way(
                pendulum.datetime(2026, 7, 1, tz="Europe/Berlin"), loaded=datetime.datetime(2026, 7, 1, tzinfo=BERLIN)
            ),
            "pendulum's duration": Way(pendulum.duration(days=2, hours=1), loaded=datetime.timedelta(days=2, hours=1)),
            "timedelta": Way(datetime.timedelta(days=-1, microseconds=5)),
        },
    ),
    Kind(
        "`time`, a long `timedelta` with microseconds",
        "held as it travelled: `load_result()` gives the value",
        {
            "time": Way(datetime.time(12, 30, 0, 5), ENCODED),
            "time in a zone": Way(datetime.time(12, tzinfo=BERLIN), ENCODED),
            "times in a zone": Way({"opens": [datetime.time(9, 0, 0, 1, tzinfo=BERLIN)]}, ENCODED),
            "time in a zone of one offset": Way(datetime.time(12, tzinfo=zoneinfo.ZoneInfo("UTC")), ENCODED),
            "time in UTC": Way(datetime.time(12, tzinfo=datetime.UTC), ENCODED),
            "time of a bare offset": Way(datetime.time(12, tzinfo=INDIA), ENCODED),
            "time of a Timestamp in a zone": Way(
                pandas.Timestamp("2026-07-01T12:00", tz="Europe/Berlin").timetz(),
                ENCODED,
                loaded=datetime.time(12, tzinfo=BERLIN),
            ),
            "pendulum's time in a zone": Way(
                pendulum.time(12).replace(tzinfo=pendulum.timezone("Europe/Berlin")),
                ENCODED,
                loaded=datetime.time(12, tzinfo=BERLIN),
            ),
            "long timedelta": Way(datetime.timedelta(days=400_000, microseconds=1), ENCODED),
        },
    ),
    Kind(
        "`pandas.Timestamp` and `Timedelta`, numpy's `datetime64` and `timedelta64`",
        "Python's own; finer than its microseconds: held as it travelled, `load_result()` gives numpy's (in UTC)",
        {
            "Timestamp": Way(pandas.Timestamp(NOON), loaded=NOON),
            "Timestamp in a zone": Way(pandas.Timestamp(NOON, tz="Europe/Berlin"), loaded=NOON.replace(tzinfo=BERLIN)),
            "fine Timestamp": Way([pandas.Timestamp(FINE)], ENCODED, loaded=[FINE]),
            "fine Timestamp in a zone": Way(pandas.Timestamp(FINE).tz_localize("UTC"), ENCODED, loaded=FINE),
            "Timedelta": Way(pandas.Timedelta(minutes=3), loaded=datetime.timedelta(minutes=3)),
            "fine Timedelta": Way(pandas.Timedelta(1, "ns"), ENCODED, loaded=numpy.timedelta64(1, "ns")),
            "datetime64 of nanoseconds": Way(
                numpy.datetime64("2026-01-02T03:04:05", "ns"), loaded=datetime.datetime(2026, 1, 2, 3, 4, 5)
            ),
            "fine datetime64": Way(FINE, ENCODED),
            "datetime64 of a day": Way(numpy.datetime64("2026-01-02"), loaded=datetime.date(2026, 1, 2)),
            "datetime64 of a far year": Way(numpy.datetime64("20000-01-01", "s"), ENCODED),
            "timedelta64": Way(numpy.timedelta64(90, "s"), loaded=datetime.timedelta(seconds=90)),
            "timedelta64 of months": Way(numpy.timedelta64(2, "M"), ENCODED),
        },
    ),
    Kind(
        "`NaT`, `pandas.NA`",
        "`None`",
        {
            "NaT of pandas": Way([pandas.NaT], loaded=[None]),
            "NA": Way({"x": pandas.NA}, loaded={"x": None}),
            "NaT of numpy": Way(numpy.datetime64("NaT", "ns"), loaded=None),
            "NaT of numpy's differences": Way([numpy.timedelta64("NaT")], loaded=[None]),
        },
    ),
    Kind(
        "`Decimal`, `UUID`",
        "itself; a `Decimal` of more digits than a float has: held as it travelled",
        {
            "Decimal": Way(decimal.Decimal("1.10")),
            "long Decimal": Way({"sum": decimal.Decimal("1234567890.12345678901234567890")}, ENCODED),
            "large Decimal": Way(decimal.Decimal("1E+30"), ENCODED),
            "the largest Decimal": Way([decimal.Decimal("1E+999999")], ENCODED),
            "UUID": Way(uuid.UUID(int=5)),
        },
    ),
    Kind(
        "`Enum`, `IntEnum`, `StrEnum`, `Flag`",
        "its value",
        {
            "Enum": Way(Colour.RED, loaded="red"),
            "IntEnum": Way([Level.HIGH], loaded=[3]),
            "StrEnum": Way({Word.YES: Word.YES}, loaded={"yes": "yes"}),
            "Flag": Way(Right.READ | Right.WRITE, loaded=3),
        },
    ),
    Kind(
        "`pathlib.Path`, `UserString`, `pandas.Period` and `Interval`",
        "its text",
        {
            "Path": Way(pathlib.Path("/models/a"), loaded="/models/a"),
            "PurePath": Way({"of": [pathlib.PureWindowsPath("c:/a")]}, loaded={"of": ["c:\\a"]}),
            "Path as a key": Way({pathlib.Path("a"): 1}, loaded={"a": 1}),
            "UserString": Way(collections.UserString("ab"), loaded="ab"),
            "Period": Way([pandas.Period("2026-01")], loaded=["2026-01"]),
            "Interval": Way(pandas.Series({pandas.Interval(0, 1): 7}), loaded={"(0, 1]": 7}),
        },
    ),
    Kind(
        "`range`, `deque`, `array.array`, `dict.keys()` and its like, other sequences",
        "a list",
        {
            "range": Way(range(3), loaded=[0, 1, 2]),
            "deque": Way(collections.deque([1, b"x"]), loaded=[1, b"x"], xcom=ENCODED),
            "array.array": Way(array.array("d", [1.5]), loaded=[1.5]),
            "keys": Way({"a": 1}.keys(), loaded=["a"]),
            "values": Way({"a": [1]}.values(), loaded=[[1]]),
            "items": Way({"a": 1}.items(), loaded=[("a", 1)]),
            "UserList": Way(collections.UserList([1]), loaded=[1]),
        },
    ),
    Kind(
        "a named tuple",
        "a tuple, as of Airflow's own `@task`",
        {"named tuple": Way(Point(1, 2.5), loaded=(1, 2.5))},
    ),
    Kind(
        "`OrderedDict`, `defaultdict`, `Counter`, other mappings, `SimpleNamespace`",
        "a dict",
        {
            "OrderedDict": Way(collections.OrderedDict(b=1, a=2), loaded={"b": 1, "a": 2}),
            "defaultdict": Way(collections.defaultdict(list, a=[1]), loaded={"a": [1]}),
            "Counter": Way(collections.Counter("aab"), loaded={"a": 2, "b": 1}),
            "MappingProxyType": Way(types.MappingProxyType({"a": 1}), loaded={"a": 1}),
            "a mapping of one's own": Way(Settings(), loaded={"a": 1}),
            "SimpleNamespace": Way(types.SimpleNamespace(a=1), loaded={"a": 1}),
            "Namespace": Way(argparse.Namespace(lr=0.1), loaded={"lr": 0.1}),
        },
    ),
    Kind(
        "dicts with other keys than text: numbers, `None`, tuples, dates",
        "held as it travelled: `load_result()` gives the same keys, where Airflow's own `@task` makes text of them",
        {
            "int keys": Way({0: 0.9, 1: 0.1}, ENCODED),
            "a text like a number": Way({1: "a", "1": "b"}, ENCODED),
            "None as a key": Way({"by": {None: 1, True: 2, 1.5: 3}}, ENCODED),
            "tuple keys": Way({("a", 1): Colour.RED}, ENCODED, loaded={("a", 1): "red"}),
            "date keys": Way({datetime.date(2026, 1, 2): [NAN]}, ENCODED),
            "keys of numpy": Way({numpy.int64(3): 1}, ENCODED, loaded={3: 1}),
            "keys without a hash": Way(
                {Score("a", datetime.date(2026, 1, 2)): 1},
                loaded=[({"name": "a", "at": datetime.date(2026, 1, 2), "best": None}, 1)],
            ),
        },
    ),
    Kind(
        "dataclasses, attrs, pydantic's models, msgspec's structs",
        "a dict of its fields; a set of them is a list",
        {
            "dataclass": Way(
                Score("a", datetime.date(2026, 1, 2)),
                loaded={"name": "a", "at": datetime.date(2026, 1, 2), "best": None},
            ),
            "attrs": Way([Split(0.2, [1])], loaded=[{"share": 0.2, "seeds": [1]}]),
            "pydantic": Way(Model(name="m"), loaded={"name": "m", "path": "/m", "parts": []}),
            "msgspec": Way(Packed(1, "b"), loaded={"a": 1, "b": "b"}),
            "a set of dataclasses": Way(
                {Score("a", datetime.date(2026, 1, 2))},
                loaded=[{"name": "a", "at": datetime.date(2026, 1, 2), "best": None}],
            ),
        },
    ),
    Kind(
        "`pandas.Series`, `Index`, its arrays; Arrow's arrays and scalars, polars' series",
        "a list; a series with labels: a dict by label (pairs, where labels repeat)",
        {
            "series": Way(pandas.Series([1, NAN]), loaded=[1.0, None], told="result[1]"),
            "series with labels": Way(pandas.Series({"a": 3, "b": 1}), loaded={"a": 3, "b": 1}),
            "series with numbers as labels": Way(pandas.Series({7: "a"}), ENCODED, loaded={7: "a"}),
            "series with labels twice": Way(pandas.Series([1, 2], index=["a", "a"]), loaded=[("a", 1), ("a", 2)]),
            "series of times": Way(
                pandas.Series(pandas.DatetimeIndex(["2026-01-02", pandas.NaT])),
                loaded=[datetime.datetime(2026, 1, 2), None],
            ),
            "index": Way(pandas.Index(["a", "b"]), loaded=["a", "b"]),
            "unique values beside a null": Way(pandas.Series(IDS, dtype="Int64").unique(), loaded=IDS),
            "values of Arrow beside a null": Way(pandas.Series(IDS, dtype="int64[pyarrow]").values, loaded=IDS),
            "array of integers beside a null": Way({"ids": pandas.array(IDS, dtype="Int64")}, loaded={"ids": IDS}),
            "array of flags beside a null": Way(pandas.array([True, None], dtype="boolean"), loaded=[True, None]),
            "array of text beside a null": Way(pandas.array(["a", None], dtype="string"), loaded=["a", None]),
            "array of times in a zone": Way(
                pandas.DatetimeIndex([NOON], tz="Europe/Berlin").array, loaded=[NOON.replace(tzinfo=BERLIN)]
            ),
            "categories": Way(pandas.Categorical(["b", "a", "b"]), loaded=["b", "a", "b"]),
            "array of Arrow": Way(pyarrow.chunked_array([[1, None]]), loaded=[1, None]),
            "count of Arrow": Way({"rows": pyarrow.compute.count(pyarrow.array([1, 2]))}, loaded={"rows": 2}),
            "scalar of Arrow": Way(pyarrow.scalar(datetime.date(2026, 1, 2)), loaded=datetime.date(2026, 1, 2)),
        },
    ),
    Kind(
        "`pandas.DataFrame`",
        "itself, as Airflow carries it; of more than 1 MiB: a parquet file in the task's `storage`, which "
        "`load_result()` and arguments of `@task.ray` read",
        {
            "DataFrame": Way(FRAME),
            "DataFrame inside": Way({"table": FRAME, "n": 2}),
            "empty DataFrame": Way(pandas.DataFrame()),
            "numbers as columns": Way(pandas.DataFrame({0: [1.5], 1: [2.5]})),
            "times as columns": Way(pivoted(SALES["day"])),
            "levels of columns": Way(SALES.groupby("shop").agg({"eur": ["min", "max"]})),
            "one level of rows": Way(
                SALES[["shop"]].value_counts().to_frame(),
                loaded=pandas.DataFrame({"count": [2, 2]}, index=pandas.Index([1, 2], name="shop")),
            ),
            "categories of numbers": Way(
                pandas.DataFrame({"a": pandas.Categorical([7, 8])}), loaded=pandas.DataFrame({"a": [7, 8]})
            ),
            "times of seconds": Way(
                pandas.DataFrame({"a": numpy.array(["2026-01-02"], dtype="M8[s]")}),
                loaded=pandas.DataFrame({"a": numpy.array(["2026-01-02"], dtype="M8[ms]")}),
            ),
            "numbers as objects": Way(
                pandas.DataFrame({"a": pandas.Series([1, 2.5], dtype=object)}), loaded=pandas.DataFrame({"a": [1, 2.5]})
            ),
            "flags beside None": Way(pandas.DataFrame({"a": [True, None]})),
            "dicts of the same keys": Way(pandas.DataFrame({"a": [{"x": 1}, {"x": 2}]})),
            "lists in a column": Way(
                pandas.DataFrame({"a": [[1, 2], [3]]}),
                loaded=pandas.DataFrame({"a": [numpy.array([1, 2]), numpy.array([3])]}),
            ),
        },
    ),
    Kind(
        "a `DataFrame` with integers beside `None` among objects, of which Airflow itself makes floats",
        "held as it travelled: `load_result()` gives it",
        {
            "ids beside None": Way(pandas.DataFrame({"id": pandas.Series(IDS, dtype=object)}), ENCODED),
            "ids beside NA": Way(
                [pandas.DataFrame({"id": [2**53 + 1, pandas.NA]})],
                ENCODED,
                loaded=[pandas.DataFrame({"id": pandas.Series(IDS, dtype=object)})],
            ),
        },
    ),
    Kind(
        "Arrow's and polars' tables",
        "held as it travelled, and in the `storage` likewise: `load_result()` gives the table",
        {
            "Arrow": Way(TABLE, ENCODED),
            "a batch of Arrow": Way([TABLE.to_batches()[0]], ENCODED, loaded=[TABLE]),
            "two columns of a name of Arrow": Way(
                {"joined": pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["id", "id"])},
                ENCODED,
            ),
            "columns in Arrow's own words": Way(pyarrow.table({"__filename": ["a"], "__fragment_index": [1]}), ENCODED),
        },
    ),
    Kind(
        "tables that parquet does not take, or makes others of: columns of mixed types, two of one name, categories, "
        "periods, intervals, dates, durations or flags as columns, Arrow's lists in a `DataFrame`",
        "a dict of lists: `index`, `columns`, `data`",
        {
            "mixed column": Way(pandas.DataFrame({"a": [1, "x"]}), loaded=lists(["a"], [1], ["x"])),
            "two columns of a name": Way(labelled(["a", "a"]), loaded=lists(["a", "a"], [0, 1])),
            "categories as columns": Way(pivoted(SALES["kind"]), loaded=sold("a", "b")),
            "categories below another level": Way(
                SALES.pivot_table(index="shop", columns="kind", values=["eur"], observed=False),
                loaded=sold(("eur", "a"), ("eur", "b")),
            ),
            "a crosstab of categories": Way(
                {"of": [pandas.crosstab(SALES["shop"], SALES["kind"]), FRAME]},
                loaded={"of": [lists(["a", "b"], [1, 1], [1, 1], index=[1, 2]), FRAME]},
            ),
            "a table without rows": Way(pivoted(SALES["kind"])[:0], loaded=lists(["a", "b"])),
            "periods as columns": Way(pivoted(SALES["day"].dt.to_period("M")), loaded=sold("2026-01", "2026-02")),
            "days as columns": Way(pivoted(SALES["day"].dt.date), loaded=sold(*DAYS)),
            "durations as columns": Way(
                pivoted(SALES["day"] - SALES["day"][0]), loaded=sold(datetime.timedelta(0), datetime.timedelta(31))
            ),
            "intervals as columns": Way(
                labelled(pandas.interval_range(0, 2)), loaded=lists(["(0, 1]", "(1, 2]"], [0, 1])
            ),
            "flags as columns": Way(pivoted(SALES["eur"] % 2 == 0), loaded=sold(False, True)),
            "a number and its text as columns": Way(labelled([0, "0"]), loaded=lists([0, "0"], [0, 1])),
            "numbers and text as columns": Way(labelled([0, "target"]), loaded=lists([0, "target"], [0, 1])),
            "tuples as columns": Way(
                labelled(pandas.Index([("a", 1), ("b", 2)], tupleize_cols=False)),
                loaded=lists([("a", 1), ("b", 2)], [0, 1]),
            ),
            "an index of a column's name": Way(
                pandas.DataFrame({0: [1, 2]}, index=pandas.Index([3, 4], name=0)),
                loaded=lists([0], [1], [2], index=[3, 4]),
            ),
            "rows without columns": Way(pandas.DataFrame(index=range(2)), loaded=lists([], index=[0, 1])),
            "labels beyond a float": Way(
                pandas.DataFrame({"a": [1, 2]}, index=pandas.Index(IDS, dtype=object)),
                loaded=lists(["a"], [1], [2], index=IDS),
            ),
            "lists of Arrow": Way(
                of_arrow(pyarrow.list_(pyarrow.int64()), [1], None), loaded=lists(["a"], [[1]], [None])
            ),
            "structs of Arrow": Way(
                of_arrow(pyarrow.struct([("x", pyarrow.int64())]), {"x": 1}), loaded=lists(["a"], [{"x": 1}])
            ),
            "maps of Arrow": Way(
                of_arrow(pyarrow.map_(pyarrow.string(), pyarrow.int64()), [("k", 1)]), loaded=lists(["a"], [[("k", 1)]])
            ),
            "a dictionary of Arrow": Way(
                {"of": (of_arrow(pyarrow.dictionary(pyarrow.int32(), pyarrow.string()), "x"),)},
                loaded={"of": (lists(["a"], ["x"]),)},
            ),
            "dicts of other keys": Way(
                pandas.DataFrame({"a": [{"x": 1}, {"y": 2}]}), loaded=lists(["a"], [{"x": 1}], [{"y": 2}])
            ),
            "bytes beside text": Way(pandas.DataFrame({"a": [b"a", "b"]}), ENCODED, loaded=lists(["a"], [b"a"], ["b"])),
            "fine times beside None": Way(
                pandas.DataFrame({"a": pandas.Series([pandas.Timestamp(FINE), None], dtype=object)}),
                ENCODED,
                loaded=lists(["a"], [FINE], [None]),
            ),
        },
    ),
    Kind(
        "text that is not UTF-8 or holds NUL; dicts in Airflow's own words",
        "held as it travelled: `load_result()` gives the value",
        {
            "not UTF-8": Way("file-\udc80", ENCODED),
            "NUL": Way({"a": "b\0"}, ENCODED),
            "Airflow's words": Way({"__classname__": "x", "__data__": [1]}, ENCODED),
            "our words": Way([{"__air__": "bytes", "value": "eA=="}], ENCODED),
        },
    ),
    Kind(
        "anything else: models, functions, locks, generators; what holds itself, or is nested more than 100 deep",
        "that part's short text, and a warning names its place; the rest is there",
        {
            "a model": Way(
                {"model": Odd(), "auc": 0.9},
                loaded={"model": "odd", "auc": 0.9},
                told="['model'] (tests.kinds.values.Odd)",
            ),
            "a class": Way([Odd], loaded=["<class 'tests.kinds.values.Odd'>"], told="[0] (builtins.type)"),
            "what cannot be shown": Way(
                [Mute(), 1], loaded=["<tests.kinds.values.Mute>", 1], told="[0] (tests.kinds.values.Mute)"
            ),
            "inside of a dataclass": Way(
                Score("a", datetime.date(2026, 1, 2), Odd()),
                loaded={"name": "a", "at": datetime.date(2026, 1, 2), "best": "odd"},
                told=".best (tests.kinds.values.Odd)",
            ),
            "as a key": Way({Odd(): 1}, loaded={"odd": 1}, told="a key of the return value (tests.kinds.values.Odd)"),
            "an array of them": Way(
                numpy.array([Odd()], dtype=object), loaded=["odd"], told="[0] (tests.kinds.values.Odd)"
            ),
        },
    ),
]

# Of the last kind, whose texts are only roughly known.
ROUGH: dict[str, Any] = {
    "a lock": threading.Lock(),
    "a generator": iter(lambda: 1, 2),
    "a function": len,
    "what holds itself": itself(),
    "nested deeply": nested(300),
}
