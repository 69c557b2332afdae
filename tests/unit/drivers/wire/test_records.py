"""The record schema: what a driver writes comes home as it was, or not at all."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import random
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

from airflow_provider_air.drivers.wire import records as schema
from airflow_provider_air.drivers.wire.records import (
    EncodeError,
    RecordBuffer,
    RecordWriter,
    decode,
    encode,
    line_of,
)

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
    {schema.TAG: "bytes", "value": "no bytes"},
    {"nested": {schema.TAG: "?"}},
    datetime.date(2026, 2, 28),
    datetime.datetime(2026, 2, 28, 1, 2, 3, 4),  # noqa: DTZ001
    datetime.datetime(2026, 2, 28, tzinfo=UTC),
    datetime.timedelta(days=-1, microseconds=5),
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
]


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


def test_scalars_of_numpy_and_dataclasses_become_plain() -> None:
    assert through_json({"a": numpy.float64(1.5), "b": numpy.int8(3), "c": numpy.bool_(True)}) == {
        "a": 1.5,
        "b": 3,
        "c": True,
    }
    assert through_json([Point(1, 2.5)]) == [{"x": 1, "y": 2.5}]


def random_value(source: random.Random, depth: int = 0) -> Any:
    kinds = VALUES if depth > 3 else [*VALUES, "list", "tuple", "dict"]
    kind = source.choice(kinds)
    if kind == "list":
        return [random_value(source, depth + 1) for _ in range(source.randint(0, 4))]
    if kind == "tuple":
        return tuple(random_value(source, depth + 1) for _ in range(source.randint(0, 4)))
    if kind == "dict":
        keys = ["a", "", schema.TAG, "value", "ä"]
        return {source.choice(keys): random_value(source, depth + 1) for _ in range(source.randint(0, 4))}
    return kind


def test_any_nesting_of_values_survives() -> None:
    source = random.Random(2)
    for _ in range(500):
        value = random_value(source)
        assert through_json(value) == value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (object(), "value"),
        ({"a": [1, object()]}, "value['a'][1]"),
        ({1: 2}, "value"),
        ([Point(1, object())], "value[0].y"),  # type: ignore[arg-type]
        (numpy.array([object()]), "value"),
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
        {schema.TAG: "pickle", "value": "gASVAA=="},
        {schema.TAG: "nope", "value": 1},
        {schema.TAG: "uuid", "value": "x"},
        {schema.TAG: "bytes", "value": "x"},
        {schema.TAG: "ndarray", "dtype": "O", "shape": [1], "value": ""},
        [{schema.TAG: "datetime", "value": "yesterday"}],
        {schema.TAG: ["list"], "value": 1},
    ],
    ids=str,
)
def test_a_malformed_value_is_refused_and_never_run(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(value)


# Files


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps({"v": 1, "seq": i, "t": 0.0, **item}).encode() + b"\n" for i, item in enumerate(records))


def test_records_fed_in_any_pieces_come_once_and_in_order() -> None:
    items = [{"kind": "progress", "message": "ä" * number} for number in range(40)]
    data = lines(*items, {"kind": "end", "status": "succeeded"})
    source = random.Random(3)
    for _ in range(50):
        buffer, found, start = RecordBuffer(), [], 0
        while start < len(data):
            step = source.randint(1, 200)
            found += buffer.feed(data[start : start + step])
            start += step
        assert [item["seq"] for item in found] == list(range(41))
        assert (buffer.complete, buffer.offset) == (True, len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"\xff\n",
        b'{"v": 2, "seq": 0, "kind": "end"}\n',
        b'{"v": 1, "seq": 0, "kind": "pickle"}\n',
        b'{"v": 1, "seq": 1, "kind": "progress"}\n',
        b'{"v": 1, "seq": 0, "kind": "progress"}\n' * 2,
        b'{"v": 1, "seq": 0, "kind": "end"}\n{"v": 1, "seq": 1, "kind": "progress"}\n',
        b'{"v": 1, "seq": null, "kind": "end"}\n',
        b"x" * (schema.MAX_RECORD_BYTES + 1),
    ],
    ids=["empty", "no json", "list", "bytes", "version", "kind", "gap", "twice", "after the end", "null", "oversize"],
)
def test_a_file_that_is_no_record_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what it says is for people
        RecordBuffer().feed(data)


def test_what_a_writer_writes_a_buffer_reads(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "records"))
    written = [writer.write("metric", values={"a": number}, step=number) for number in range(5)]
    writer.close()
    writer.close()

    assert RecordBuffer().feed((tmp_path / "records").read_bytes()) == written


def test_threads_of_one_process_share_a_writer(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "records"))
    threads = [
        threading.Thread(target=lambda: [writer.write("progress", message="x" * 5000) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()

    assert len(RecordBuffer().feed((tmp_path / "records").read_bytes())) == 200


def test_a_writer_refuses_what_no_reader_takes(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "records"))

    with pytest.raises(ValueError, match="unknown record kind"):
        writer.write("pickle")
    with pytest.raises(ValueError, match="over the limit"):
        writer.write("result", value="x" * schema.MAX_RECORD_BYTES)
    assert writer.write("end", status="succeeded")["seq"] == 0
    writer.close()


def test_a_second_process_of_the_job_cannot_take_the_file(tmp_path: Path) -> None:
    path = tmp_path / "records"
    writer = RecordWriter(str(path))
    writer.write("progress", message="mine")
    script = f"from airflow_provider_air.drivers.wire.records import RecordWriter; RecordWriter({str(path)!r})"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    writer.write("end", status="succeeded")
    writer.close()

    assert other.returncode != 0
    assert "another process" in other.stderr
    assert len(RecordBuffer().feed(path.read_bytes())) == 2


def test_a_forked_child_cannot_write_between_its_parents_records(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "records"))
    child = os.fork()
    if child == 0:
        try:
            writer.write("progress", message="child")
        except RuntimeError:
            os._exit(7)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    writer.close()

    assert os.waitstatus_to_exitcode(status) == 7


def test_a_later_process_starts_the_file_anew(tmp_path: Path) -> None:
    path = tmp_path / "records"
    for _ in range(2):
        writer = RecordWriter(str(path))
        writer.write("end", status="succeeded")
        writer.close()

    assert len(RecordBuffer().feed(path.read_bytes())) == 1


# For people


END = {"kind": "end", "status": "succeeded"}


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"kind": "progress", "message": "epoch"}, "epoch"),
        ({"kind": "progress", "message": "epoch", "done": 3}, "epoch (3)"),
        ({"kind": "progress", "message": "epoch", "done": 3, "total": 10}, "epoch (3/10)"),
        ({"kind": "metric", "values": {"b": 1, "a": 0.123456789}}, "a=0.123457, b=1"),
        ({"kind": "metric", "values": {"a": 1}, "step": 2}, "step 2: a=1"),
        ({"kind": "metric", "values": {"a": math.nan, "b": -math.inf}}, "a=nan, b=-inf"),
        ({"kind": "metric", "values": {"x" * 500: 1}}, "x" * 100 + "=1"),
        (
            {"kind": "metric", "values": {f"m{number:03}": number for number in range(100)}, "step": 1},
            "step 1: " + ", ".join(f"m{number:03}={number}" for number in range(30)) + ", and 70 more",
        ),
        (
            {"kind": "progress", "message": "x" * 5000},
            "x" * 666 + "\n[... 3060 characters are left out here ...]\n" + "x" * 1274,
        ),
        ({"kind": "checkpoint", "uri": "s3://b/c"}, "checkpoint s3://b/c"),
        ({"kind": "result", "value": 1}, None),
        (END, None),
    ],
)
def test_a_record_has_a_line_for_people(record: dict[str, Any], line: str | None) -> None:
    assert line_of(record) == line
