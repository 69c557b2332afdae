"""What an author reports, as records and results take it."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest

from airflow_provider_air.drivers.frame.metrics import (
    LEFT_OUT,
    MAX_METRICS_BYTES,
    MAX_REPORT_BYTES,
    MAX_RESULT_BYTES,
    MAX_RESULT_ROWS,
    fitted,
    plain,
    tell_metrics,
)
from airflow_provider_air.drivers.wire.records import MAX_RECORD_BYTES, RecordBuffer, RecordWriter
from airflow_provider_air.drivers.wire.values import TAG, decode
from tests.kinds import parameters
from tests.kinds.metrics import LARGE, NUMBERS, Scalar, Unspeakable, holding_itself

VALUES, NAMES = parameters(LARGE)
REPORTS, REPORT_NAMES = parameters(NUMBERS)


def test_reported_values_become_what_a_record_takes() -> None:
    value = plain({"a": numpy.float64(1.5), "b": (1, {"c": None}), "d": object, 3: math.inf})
    assert decode({"a": value["a"], "3": value["3"]}) == {"a": 1.5, "3": math.inf}
    assert value["b"] == [1, {"c": None}]
    assert value["d"] == "<class 'object'>"


def test_nan_is_itself_in_a_file_and_tagged_in_a_result() -> None:
    row = plain({"a": math.nan, "b": {"c": -math.inf}})
    assert math.isnan(json.loads(json.dumps(row))["a"])

    result = fitted({"metrics": row, "rows": [row]}, "rows")
    json.dumps(result, allow_nan=False)
    back = decode(result)
    assert math.isnan(back["rows"][0]["a"])
    assert back["metrics"]["b"]["c"] == -math.inf


def test_scalars_of_any_library_are_numbers_and_other_values_stay_themselves() -> None:
    row = plain(
        {
            "tensor": Scalar(0.5),
            "array": numpy.array(3),
            "flag": numpy.bool_(True),
            "price": decimal.Decimal("0.25"),
            "seed": 2**70,
            "day": datetime.date(2026, 1, 1),
            "curve": numpy.arange(3),
            "pair": (1, Scalar(2)),
            "count": pyarrow.scalar(3),
            "arrow": pyarrow.scalar(True),
            "masked": numpy.ma.masked,
        }
    )

    assert (row["tensor"], row["array"], row["flag"], row["price"], row["seed"]) == (0.5, 3, True, 0.25, 2**70)
    assert row["flag"] is True
    assert row["pair"] == [1, 2]
    assert (row["count"], row["arrow"], row["masked"]) == (3, True, None)
    assert row["arrow"] is True
    assert decode(row["day"]) == datetime.date(2026, 1, 1)
    assert decode(row["curve"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("reported", "expected"), REPORTS, ids=REPORT_NAMES)
def test_every_report_becomes_json_that_comes_back(reported: Any, expected: dict[str, Any]) -> None:
    decode(fitted({"metrics": plain(reported)})["metrics"])


@pytest.mark.parametrize(("value", "what"), VALUES, ids=NAMES)
def test_a_large_value_is_left_out_and_named(value: Any, what: str) -> None:
    row = plain({"loss": 1.0, "nested": {"large": value}})

    assert row == {"loss": 1.0, "nested": {"large": f"<{what}: left out>"}}


def test_a_report_that_is_large_as_a_whole_loses_its_largest_parts() -> None:
    row = plain({"loss": 1.0, **{f"text{number}": "x" * 10_000 for number in range(100)}})

    assert len(json.dumps(row)) <= MAX_REPORT_BYTES + 200
    assert row["loss"] == 1.0
    assert row[LEFT_OUT] == "74 of 101 values, 1000999 bytes in all"


def test_what_holds_itself_or_raises_costs_nothing_but_itself() -> None:
    assert plain(holding_itself()) == {"loss": 1.0, "again": "<dict that holds itself: left out>"}
    assert plain({"a": Unspeakable(), "b": [Unspeakable(), 1]}) == {"a": "<Unspeakable>", "b": ["<Unspeakable>", 1]}
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert plain({"a": deep}) == "<dict: left out>"


def test_a_dict_that_looks_like_ours_is_not_taken_for_it() -> None:
    assert decode(fitted({"m": plain({TAG: "bytes", "value": "no bytes"})})) == {
        "m": {TAG: "bytes", "value": "no bytes"}
    }


def test_very_many_metrics_are_several_records(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "records"))
    many = {f"metric{number:060}": float(number) for number in range(60_000)}

    first = tell_metrics(writer, many, step=3)

    lines = (tmp_path / "records").read_bytes()
    records = RecordBuffer().feed(lines)
    assert {name: value for record in records for name, value in record["values"].items()} == many
    assert records[0]["values"] == first
    assert {record["step"] for record in records} == {3}
    assert max(map(len, lines.splitlines())) < MAX_METRICS_BYTES + 1000 < MAX_RECORD_BYTES


def test_a_result_is_shortened_from_its_beginning_until_it_can_travel() -> None:
    short = fitted({"n": 2000, "rows": list(range(2000)), "kept": ["c"]}, "rows", "kept")
    assert short == {"n": 2000, "rows": list(range(2000 - MAX_RESULT_ROWS, 2000)), "kept": ["c"]}
    large = fitted({"rows": ["x" * 10_000] * 900 + ["last"], "kept": ["c"]}, "rows", "kept")
    assert len(json.dumps(large)) <= MAX_RESULT_BYTES
    assert (large["rows"][-1], large["kept"]) == ("last", ["c"])
