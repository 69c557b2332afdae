"""What an author reports, as records and results take it."""

from __future__ import annotations

import json
import math

import numpy

from airflow_provider_air.drivers.frame.metrics import MAX_RESULT_BYTES, MAX_RESULT_ROWS, fitted, numbers, plain
from airflow_provider_air.drivers.wire.values import decode


def test_reported_values_become_what_a_record_takes() -> None:
    value = plain({"a": numpy.float64(1.5), "b": (1, {"c": None}), "d": object, 3: math.inf})
    assert decode({"a": value["a"], "3": value["3"]}) == {"a": 1.5, "3": math.inf}
    assert value["b"] == [1, {"c": None}]
    assert value["d"] == "<class 'object'>"


def test_only_numbers_are_plotted() -> None:
    assert numbers({"a": 1, "b": 2.5, "c": True, "d": "x", "e": None}) == {"a": 1, "b": 2.5}


def test_a_result_is_shortened_from_its_beginning_until_it_can_travel() -> None:
    short = fitted({"n": 2000, "rows": list(range(2000)), "kept": ["c"]}, "rows", "kept")
    assert short == {"n": 2000, "rows": list(range(2000 - MAX_RESULT_ROWS, 2000)), "kept": ["c"]}
    large = fitted({"rows": ["x" * 10_000] * 900 + ["last"], "kept": ["c"]}, "rows", "kept")
    assert len(json.dumps(large)) <= MAX_RESULT_BYTES
    assert (large["rows"][-1], large["kept"]) == ("last", ["c"])
