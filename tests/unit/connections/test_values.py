"""The border for results, on Airflow's real line: what comes home as itself, as None, or to be decoded."""

from __future__ import annotations

import collections
import datetime
import decimal
import json
import math
import random
import sys
import uuid
from typing import Any

import numpy
import pytest

from airflow_provider_air import load_result
from airflow_provider_air.connections.values import carried
from airflow_provider_air.drivers.frame import stored_results
from airflow_provider_air.drivers.wire.values import TAG, decode, encode
from tests.fakes.task_context import FakeTaskInstance
from tests.kinds import parameters
from tests.kinds.values import ENCODED, KINDS, ROUGH, Way, is_same

ZONE = datetime.timezone(datetime.timedelta(hours=5, minutes=30))


class Lines:
    """Takes a task's log."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.infos: list[str] = []

    def info(self, message: str, /, *values: Any) -> None:
        self.infos.append(message % values)

    def warning(self, message: str, /, *values: Any) -> None:
        self.warnings.append(message % values)


def home(value: Any, log: Lines | None = None, texts: list[str] | None = None) -> Any:
    """Give the XCom of what a driver returned: from its record over the border and Airflow's own line."""
    form = encode(value, "the return value", [] if texts is None else texts)
    travelled = json.loads(json.dumps(form, allow_nan=False))
    task = FakeTaskInstance()
    found = carried(decode(travelled), log or Lines())
    if found is None:
        # Airflow pushes nothing then.
        return None
    task.xcom_push("return_value", found)
    # As Postgres' JSONB would refuse it.
    assert "\0" not in repr(task.xcoms)
    return task.xcoms["return_value"]


VALUES, NAMES = parameters(KINDS)


@pytest.mark.parametrize("way", VALUES, ids=NAMES)
def test_what_people_return_comes_home(way: Way) -> None:
    log = Lines()
    texts: list[str] = []
    found = home(way.value, log, texts)
    loaded = load_result(found)

    assert is_same(loaded, way.expected), loaded
    if way.xcom is ENCODED:
        assert not is_same(found, way.expected)
        assert "load_result" in log.infos[0]
    else:
        assert is_same(found, way.expected), found
        assert log.infos == []
    assert (way.told is None) == (log.warnings + texts == [])
    assert way.told is None or way.told in (log.warnings + texts)[0]


@pytest.mark.parametrize("way", VALUES, ids=NAMES)
def test_what_people_return_is_an_argument_of_the_next(way: Way) -> None:
    """On the cluster, of the XCom that Airflow hands to the next ``@task.ray``, wherever it stands."""
    xcom = home(way.value)

    assert is_same(stored_results.fetched((1, {"of": [xcom]})), (1, {"of": [way.expected]}))


@pytest.mark.parametrize("value", ROUGH.values(), ids=ROUGH.keys())
def test_what_is_nobodys_data_is_told(value: Any) -> None:
    texts: list[str] = []
    home({"odd": value, "auc": 0.9}, texts=texts)

    assert texts[0].startswith("the return value['odd']")


def test_a_value_of_all_kinds_comes_home() -> None:
    everything = {name: way.value for name, way in zip(NAMES, VALUES, strict=True)}

    loaded = load_result(home(everything))

    assert {n: w.expected for n, w in zip(NAMES, VALUES, strict=True) if not is_same(loaded[n], w.expected)} == {}


# What is told or lost is told so by place; a bare offset is kept inside of what is held as it travelled.
LEAVES = [w for w, name in zip(VALUES, NAMES, strict=True) if w.told is None and name != "bare offset"]
KEYS: list[Any] = ["a", "", "ä", "__air__", "value", "__classname__", 1, 1.5, None, (1, "b"), datetime.date(2026, 1, 2)]


def any_value(source: random.Random, depth: int = 0) -> tuple[Any, Any]:
    """Give a value of all kinds, nested at random, and what becomes of it."""
    kind = source.choice(["leaf"] if depth > 3 else ["leaf", "list", "tuple", "dict", "deque", "ordered"])
    if kind == "leaf":
        way = source.choice(LEAVES)
        return way.value, way.expected
    items = [any_value(source, depth + 1) for _ in range(source.randint(0, 4))]
    values, expected = [value for value, _ in items], [found for _, found in items]
    if kind in ("dict", "ordered"):
        keys = source.sample(KEYS, len(items))
        made: Any = dict if kind == "dict" else collections.OrderedDict
        return made(zip(keys, values, strict=True)), dict(zip(keys, expected, strict=True))
    if kind == "tuple":
        return tuple(values), tuple(expected)
    return (values if kind == "list" else collections.deque(values)), expected


@pytest.mark.parametrize("seed", range(4))
def test_any_nesting_comes_home(seed: int) -> None:
    """Over Airflow's own serializer, msgpack and JSON without NaN; and on to the cluster as an argument."""
    source = random.Random(seed)
    for _ in range(60):
        value, expected = any_value(source)
        found = home(value)
        assert is_same(load_result(found), expected)
        assert is_same(stored_results.fetched([found]), [expected])


AS_ITSELF: list[Any] = [
    True,
    7,
    2**64 - 1,
    1.5,
    "данные",
    (1, (2, "x")),
    {1, 2},
    {"a": [{"b": (1,)}]},
    datetime.datetime(2026, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001  # what a driver may return
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2, tzinfo=ZONE),
    datetime.date(2026, 1, 2),
    datetime.timedelta(days=-1, seconds=1.5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=5),
]


@pytest.mark.parametrize("value", AS_ITSELF, ids=repr)
def test_what_airflow_carries_comes_home_as_itself(value: Any) -> None:
    log = Lines()
    found = home(value, log)

    assert found == value
    assert isinstance(found, type(value))
    assert load_result(found) == value
    assert (log.warnings, log.infos) == ([], [])


TO_DECODE: dict[str, Any] = {
    "bytes": b"\x00model\xff",
    "empty": b"",
    "beyond 64 bits": 2**70,
    "not UTF-8": "file-\udc80",
    "NUL": "a\0b",
    "NUL in a key": {"a\0b": 1},
    "a set of bytes": {b"a", b"b"},
    "Airflow's own words": {"__classname__": "x", "__data__": [1]},
    "Airflow's old words": {"__type": "x", "__var": 1},
    "our own words": {TAG: "bytes", "value": "eA=="},
    "our own words in text": [TAG, {"a": b"x"}],
    "a moment that is no time stamp": datetime.datetime(1, 1, 1, tzinfo=ZONE),
}


@pytest.mark.parametrize("value", TO_DECODE.values(), ids=TO_DECODE.keys())
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
def test_what_airflow_does_not_carry_is_loaded(value: Any, inside: bool) -> None:
    log = Lines()
    wanted = {"deep": [1, (value, "x")], "more": 2} if inside else value
    found = home(wanted, log)

    assert load_result(found) == wanted
    assert not inside or found["more"] == 2
    assert log.warnings == []
    assert len(log.infos) == 1
    assert "load_result" in log.infos[0]


def test_arrays_are_loaded_and_their_scalars_are_numbers() -> None:
    log = Lines()
    table = numpy.arange(6, dtype="float32").reshape(2, 3)
    table[0, 0] = math.nan
    found = home({"table": table, "best": numpy.float64(0.5), "n": numpy.int32(3), "flags": [numpy.bool_(True)]}, log)

    assert (found["best"], found["n"], found["flags"]) == (0.5, 3, [True])
    assert type(found["best"]) is float
    loaded = load_result(found)["table"]
    assert loaded.dtype == table.dtype
    numpy.testing.assert_array_equal(loaded, table)
    assert log.infos[0].endswith(": result['table']")


def test_an_array_passes_a_worker_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    table = numpy.arange(3)
    travelled = {"table": encode(table)}
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "numpy", None)
        task = FakeTaskInstance()
        task.xcom_push("return_value", carried(decode(travelled), Lines()))

    assert task.xcoms["return_value"] == travelled
    assert load_result(task.xcoms["return_value"])["table"].tolist() == [0, 1, 2]


def test_what_is_no_number_is_none_and_one_warning_names_where() -> None:
    log = Lines()
    values = {"loss": math.nan, "curve": [1.0, -math.inf], "pair": (decimal.Decimal("NaN"), 2), "some": {math.inf}}
    found = home(values, log)

    assert found == {"loss": None, "curve": [1.0, None], "pair": (None, 2), "some": {None}}
    assert len(log.warnings) == 1
    for path in ("result['loss']", "result['curve'][1]", "result['pair'][0]", "result['some']"):
        assert path in log.warnings[0]


def test_a_warning_about_many_stays_short() -> None:
    log = Lines()

    assert home([math.nan] * 5000, log) == [None] * 5000
    assert log.warnings[0].endswith("result[4] and 4995 more")


def test_nothing_that_leaves_is_raised_about() -> None:
    class Odd:
        """Nobody knows it, and it does not even say what it is."""

        def __repr__(self) -> str:
            return "odd \udc80"

    log = Lines()
    found = carried({"odd": Odd(), 1: 2}, log)

    FakeTaskInstance().xcom_push("return_value", found)
    assert load_result(found) == {"odd": "odd \\udc80", 1: 2}
    assert len(log.warnings) == 1


def test_somebodys_own_words_are_left_alone() -> None:
    assert load_result({TAG: "of another kind", "value": 1}) == {TAG: "of another kind", "value": 1}


def test_a_number_that_airflow_would_write_out_for_minutes_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []
    monkeypatch.setattr("airflow.sdk.serde.serialize", tried.append)
    value = {"of": [decimal.Decimal("1E+99999"), {decimal.Decimal("-1E+99999")}]}

    assert load_result(carried(value, Lines())) == value
    assert tried
    assert "Decimal(" not in repr(tried)
