"""Values as JSON: what a driver writes comes home as it was, or as the table says."""

from __future__ import annotations

import argparse
import datetime
import decimal
import json
import math
import random
import types
import uuid
from dataclasses import dataclass
from typing import Any

import numpy
import pytest

from airflow_provider_air.drivers.wire.values import TAG, EncodeError, decode, encode

UTC = datetime.UTC


@dataclass
class Point:
    x: int
    y: float


VALUES = [
    None,
    True,
    0,
    -(10**30),
    1.5,
    float("inf"),
    "",
    "ä\n\0",
    b"",
    b"\xff\x00",
    [],
    [1, [2, [3]]],
    (),
    (1, (2,)),
    {1, 2},
    {},
    {"a": {"b": (1,)}},
    {TAG: "bytes", "value": "no bytes"},
    {"nested": {TAG: "?"}},
    datetime.date(2026, 2, 28),
    datetime.datetime(2026, 2, 28, 1, 2, 3, 4),  # noqa: DTZ001
    datetime.datetime(2026, 2, 28, tzinfo=UTC),
    datetime.timedelta(days=-1, microseconds=5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
]


def random_value(source: random.Random, depth: int = 0) -> Any:
    kinds = VALUES if depth > 3 else [*VALUES, "list", "tuple", "dict"]
    kind = source.choice(kinds)
    if kind == "list":
        return [random_value(source, depth + 1) for _ in range(source.randint(0, 4))]
    if kind == "tuple":
        return tuple(random_value(source, depth + 1) for _ in range(source.randint(0, 4)))
    if kind == "dict":
        keys = ["a", "", TAG, "value", "ä"]
        return {source.choice(keys): random_value(source, depth + 1) for _ in range(source.randint(0, 4))}
    return kind


def test_any_nesting_of_values_survives() -> None:
    source = random.Random(2)
    for _ in range(500):
        value = random_value(source)
        assert through_json(value) == value


def through_json(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_keeps_its_type_and_content(value: Any) -> None:
    again = through_json(value)

    assert again == value
    assert type(again) is type(value)


def test_not_a_number_stays_so() -> None:
    assert math.isnan(through_json(float("nan")))


@pytest.mark.parametrize("kind", ["int64", "float32", "bool", "U5", "S3", "M8[ns]", "complex64"])
def test_an_array_keeps_type_and_shape(kind: str) -> None:
    array = numpy.zeros((2, 3), dtype=kind)

    again = through_json({"array": array})["array"]

    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert (again == array).all()
    again[0, 0] = array[0, 0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("12:00:00", {TAG: "time", "value": "12:00:00", "zone": "Nowhere/Town"}),
        ("12:00:00+01:00", datetime.time.fromisoformat("12:00:00+01:00")),
    ],
)
def test_a_time_in_a_zone_that_is_not_known_here_stays_as_it_travelled_or_keeps_its_offset(
    value: str, expected: Any
) -> None:
    assert decode({TAG: "time", "value": value, "zone": "Nowhere/Town"}) == expected


def test_scalars_of_numpy_and_dataclasses_become_plain() -> None:
    assert through_json({"a": numpy.float64(1.5), "b": numpy.int8(3), "c": numpy.bool_(True)}) == {
        "a": 1.5,
        "b": 3,
        "c": True,
    }
    assert through_json([Point(1, 2.5)]) == [{"x": 1, "y": 2.5}]


@pytest.mark.parametrize("kind", [argparse.Namespace, types.SimpleNamespace])
def test_what_holds_names_becomes_plain(kind: Any) -> None:
    assert through_json(kind(lr=0.1, layers=(1, 2))) == {"lr": 0.1, "layers": (1, 2)}


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), "value"),
        ({"a": [1, object()]}, "value['a'][1]"),
        ([Point(1, object())], "value[0].y"),  # type: ignore[arg-type]
        (numpy.array([object()]), "value[0]"),
        (lambda: None, "value"),
        (Point, "value"),
    ],
)
def test_what_does_not_travel_is_named_by_its_place(value: Any, place: str) -> None:
    with pytest.raises(EncodeError) as raised:
        encode(value)
    assert str(raised.value).startswith(place + " ")


@pytest.mark.parametrize(
    "value",
    [
        {TAG: "pickle", "value": "gASVAA=="},
        {TAG: "nope", "value": 1},
        {TAG: "uuid", "value": "x"},
        {TAG: "bytes", "value": "x"},
        {TAG: "ndarray", "dtype": "O", "shape": [1], "value": ""},
        [{TAG: "datetime", "value": "yesterday"}],
        {TAG: ["list"], "value": 1},
    ],
    ids=str,
)
def test_a_malformed_value_is_refused_and_never_run(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(value)
