"""The border for arguments: Airflow's and pendulum's own become Python's, and all else is left alone."""

from __future__ import annotations

import collections
import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

import lazy_object_proxy  # type: ignore[import-untyped]  # Airflow wraps what it would have to ask for
import pandas
import pendulum
import pytest
from airflow.sdk import DAG, task
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from airflow_provider_air import load_result
from airflow_provider_air.connections.arguments import plain_argument
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.task_context import Supervisor
from tests.kinds.values import is_same

MOMENT = datetime.datetime(2026, 7, 1, 12, 0, 0, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
PENDULUM = pendulum.instance(MOMENT).in_timezone("Europe/Berlin")


class Span(NamedTuple):
    begin: Any
    days: int


GIVEN: dict[str, tuple[Any, Any]] = {
    "moment": (PENDULUM, MOMENT),
    "UTC": (pendulum.datetime(2026, 7, 1), datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)),
    "naive moment": (pendulum.naive(2026, 7, 1), datetime.datetime(2026, 7, 1)),  # noqa: DTZ001  # as pendulum gives it
    "Python's own in pendulum's zone": (MOMENT.astimezone(pendulum.timezone("Europe/Berlin")), MOMENT),
    "date": (pendulum.date(2026, 7, 1), datetime.date(2026, 7, 1)),
    "time": (pendulum.time(12, 30), datetime.time(12, 30)),
    "duration": (pendulum.duration(days=1, microseconds=5), datetime.timedelta(days=1, microseconds=5)),
    "interval": (pendulum.datetime(2026, 7, 2) - pendulum.datetime(2026, 7, 1), datetime.timedelta(days=1)),
    "lazy": (lazy_object_proxy.Proxy(lambda: PENDULUM), MOMENT),
    "lazy None": (lazy_object_proxy.Proxy(lambda: None), None),
    "params": ({"since": PENDULUM, "of": [(PENDULUM, "x")]}, {"since": MOMENT, "of": [(MOMENT, "x")]}),
    "key": ({PENDULUM: 1}, {MOMENT: 1}),
    "date as a key": ({pendulum.date(2026, 7, 1): {PENDULUM: 1}}, {datetime.date(2026, 7, 1): {MOMENT: 1}}),
    "set": ({pendulum.date(2026, 7, 1)}, {datetime.date(2026, 7, 1)}),
    "named tuple": (Span(PENDULUM, 1), Span(MOMENT, 1)),
    "ordered": (collections.OrderedDict(b=PENDULUM, a=1), collections.OrderedDict(b=MOMENT, a=1)),
    "ordered by keys": (collections.OrderedDict({PENDULUM: 1, "a": 2}), collections.OrderedDict({MOMENT: 1, "a": 2})),
    "counter": (
        collections.Counter({pendulum.date(2026, 7, 1): 3, "a": 1}),
        collections.Counter({datetime.date(2026, 7, 1): 3, "a": 1}),
    ),
    "with a default": (
        collections.defaultdict(list, {PENDULUM: [PENDULUM]}),
        collections.defaultdict(list, {MOMENT: [MOMENT]}),
    ),
}


@pytest.mark.parametrize(("value", "expected"), GIVEN.values(), ids=GIVEN.keys())
def test_moments_are_pythons_own(value: Any, expected: Any) -> None:
    assert is_same(plain_argument(value), expected)


def test_a_key_is_pythons_own_though_pendulums_is_equal_to_it() -> None:
    for given in (PENDULUM, pendulum.duration(days=1), pendulum.date(2026, 7, 1)):
        (key,) = plain_argument({given: 1})
        assert type(key).__module__ == "datetime"
        assert key == given


class Named(list[Any]):
    """A list that is made in another way."""

    def __init__(self, name: str, *items: Any) -> None:
        super().__init__(items)
        self.name = name


class Pair(tuple[Any, ...]):
    """A tuple that is made in another way."""

    def __new__(cls, left: Any, right: Any) -> Pair:
        return super().__new__(cls, (left, right))


def test_a_list_of_a_class_of_its_own_stays_one() -> None:
    made = plain_argument(Named("spans", PENDULUM, 1))

    assert (type(made), made.name, list(made)) == (Named, "spans", [MOMENT, 1])
    assert type(made[0]) is datetime.datetime


def test_what_cannot_be_made_anew_or_holds_itself_is_a_mistake_with_a_name() -> None:
    itself: list[Any] = [1]
    itself.append(itself)

    with pytest.raises(ConfigurationError, match="holds itself"):
        plain_argument({"a": itself})
    with pytest.raises(ConfigurationError, match="a Pair that cannot be made anew"):
        plain_argument([Pair(PENDULUM, 1)])


@pytest.mark.parametrize(
    "value",
    [
        pandas.Timestamp("2026-07-01", tz="UTC"),
        MOMENT,
        {"a": [1, (2, {3})], "b": collections.Counter("aab")},
        collections.defaultdict(list, a=[1]),
        Span(1, 2),
        object(),
        "text",
    ],
    ids=lambda value: type(value).__name__,
)
def test_all_else_is_the_same_object(value: Any) -> None:
    assert plain_argument(value) is value


@pytest.fixture
def mapped(supervisor: Supervisor) -> Any:
    """What Airflow gives of a mapped task: it is asked for item by item."""

    def mapped(*values: Any, of: str = "parts") -> LazyXComSequence[Any]:
        with DAG("flights", schedule=None):
            called: Any = task(task_id=of)(lambda number: number).expand(number=[1])
        supervisor.mapped |= Supervisor(mapped={of: list(values)}).mapped
        return LazyXComSequence(xcom_arg=called, ti=SimpleNamespace(run_id="manual__1"))  # type: ignore[arg-type]

    return mapped


def test_what_mapped_tasks_have_returned_is_a_list(mapped: Any) -> None:
    parts = mapped(1, {"at": PENDULUM}, (b"x".hex(),))
    expected = [1, {"at": MOMENT}, ("78",)]

    assert is_same(plain_argument(parts), expected)
    assert is_same(plain_argument({"of": [parts]}), {"of": [expected]})


def test_what_is_made_of_mapped_tasks_is_a_list(mapped: Any) -> None:
    from airflow.sdk.definitions.xcom_arg import _ConcatResult, _MapResult, _ZipResult

    first, second = mapped(1, 2), mapped("a", "b", of="others")

    assert plain_argument(_MapResult(first, [lambda value: value * 2])) == [2, 4]
    assert plain_argument(_ZipResult([first, second])) == [(1, "a"), (2, "b")]
    assert plain_argument(_ConcatResult([first, second])) == [1, 2, "a", "b"]


def test_results_of_mapped_tasks_are_loaded_as_a_list(mapped: Any) -> None:
    parts = mapped(1, {"blob": encode(b"x")})

    assert load_result(parts) == [1, {"blob": b"x"}]
