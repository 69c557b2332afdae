"""Values on their way to people: plain JSON that each of Airflow's lines takes."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

import msgspec
import pytest

from airflow_provider_air.drivers.wire.texts import spelled
from airflow_provider_air.runs.values import LEAST_INT, MOST_INT, is_simple, plain


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        ({"a": [1.5, -math.inf]}, {"a": [1.5, None]}),
        ((1, {2}), [1, [2]]),
        ({1: b"x"}, {"1": "b'x'"}),
        (2**64, str(2**64)),
        (1e30, "1e+30"),
        ("file-\udc80", "file-\\udc80"),
        ("a\0b", "a\\x00b"),
        ({"\udc80": 1}, {"\\udc80": 1}),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (True, True),
        (None, None),
    ],
    ids=repr,
)
def test_what_people_are_shown_is_plain(value: Any, expected: Any) -> None:
    shown = plain(value)

    assert shown == expected
    json.dumps(msgspec.msgpack.decode(msgspec.msgpack.encode(shown)), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("value", ["данные", "日本 🚀", "\\udc80", "a\tb\n", "\x01"])
def test_a_text_that_travels_is_left_alone(value: str) -> None:
    assert spelled(value) == value
    assert is_simple(value)


@pytest.mark.parametrize("value", [LEAST_INT, MOST_INT])
def test_integers_are_simple_as_far_as_the_line_takes_them(value: int) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == value
    for beyond in (LEAST_INT - 1, MOST_INT + 1):
        with pytest.raises(OverflowError):
            msgspec.msgpack.encode(beyond)
        assert not is_simple(beyond)
        # What JSONB gives back of such a float.
        assert not is_simple(float(beyond) * 2)
    assert is_simple(value)
