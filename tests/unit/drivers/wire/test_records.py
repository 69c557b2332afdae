"""The record schema: what a driver writes comes home as it was, or not at all."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.wire import records as schema
from airflow_provider_air.drivers.wire.records import RecordBuffer, RecordWriter, line_of

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
