"""What on-demand views give, by the types that their schemas say."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pyarrow
import pytest

from airflow_provider_air.drivers.features import arrow_types, computing
from airflow_provider_air.drivers.features.plan import ComputedPlan
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

DAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NAN = float("nan")
VIEW = ComputedPlan("computed", "computed", ["f"], [])


def declared(name: str) -> Any:
    """Ask for a type of Feast's, by the name that its registry keeps."""
    return arrow_types.declared(SimpleNamespace(to_value_type=lambda: SimpleNamespace(name=name)))


def as_declared(values: Any, name: str) -> pyarrow.ChunkedArray:
    return computing._as_declared(pyarrow.chunked_array([values]), declared(name), VIEW, "f")


@pytest.mark.parametrize(
    ("values", "name", "kind", "expected"),
    [
        (pyarrow.array([1.0, None, NAN]), "INT64", pyarrow.int64(), [1, None, None]),
        (pyarrow.array([1, None]), "INT32", pyarrow.int32(), [1, None]),
        (pyarrow.array([2**60 + 1]), "DOUBLE", pyarrow.float64(), [float(2**60)]),
        (pyarrow.array([0.5, None]), "FLOAT", pyarrow.float32(), [0.5, None]),
        (pyarrow.nulls(2), "STRING", pyarrow.string(), [None, None]),
        (pyarrow.array(["a", None]).dictionary_encode(), "STRING", pyarrow.string(), ["a", None]),
        (pyarrow.nulls(1), "BYTES", pyarrow.binary(), [None]),
        (pyarrow.nulls(1), "BOOL", pyarrow.bool_(), [None]),
        (pyarrow.array([[1.0], None]), "INT64_LIST", pyarrow.list_(pyarrow.int64()), [[1], None]),
        (pyarrow.nulls(1), "STRING_SET", pyarrow.list_(pyarrow.string()), [None]),
        (pyarrow.array([DAY], pyarrow.timestamp("ns")), "UNIX_TIMESTAMP", pyarrow.timestamp("us", "UTC"), [DAY]),
        (pyarrow.array([5]), "UNIX_TIMESTAMP", pyarrow.int64(), [5]),
        (pyarrow.array([[[1]]]), "VALUE_LIST", pyarrow.list_(pyarrow.list_(pyarrow.int64())), [[[1]]]),
        (pyarrow.array([{"a": 1}]), "MAP", pyarrow.struct([("a", pyarrow.int64())]), [{"a": 1}]),
        (pyarrow.array([{"a": 1}]), "INT64", pyarrow.struct([("a", pyarrow.int64())]), [{"a": 1}]),
    ],
)
def test_values_have_the_type_of_the_schema_where_it_tells_one(
    values: Any, name: str, kind: Any, expected: list[Any]
) -> None:
    column = as_declared(values, name)

    assert (column.type, column.to_pylist()) == (kind, expected)


@pytest.mark.parametrize(
    ("values", "name"), [([2.5], "INT64"), ([2**40], "INT32"), (["many"], "INT64"), (["many"], "DOUBLE")]
)
def test_values_that_the_type_does_not_hold_are_refused(values: list[Any], name: str) -> None:
    with pytest.raises(
        ConfigurationProblem, match="view 'computed' gives values of 'f' that are not of the type in its"
    ):
        as_declared(pyarrow.array(values), name)
