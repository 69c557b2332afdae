"""Joined rows in as many files as readers want, in their order."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.data.staging import StagedOutput
from airflow_provider_air.drivers.features import parts
from airflow_provider_air.drivers.features.parts import PartWriter


def written(place: Path, rows: int, sizes: list[int]) -> tuple[PartWriter, StagedOutput]:
    staged = StagedOutput(str(place), "run")
    staged.begin()
    writer = PartWriter(staged)
    for _ in range(2):  # as after an outage
        writer.begin(rows)
        first = 0
        for size in sizes:
            n = pyarrow.array(range(first, first + size), pyarrow.int64())
            writer.write(pyarrow.table({"n": n, "none": pyarrow.nulls(size, pyarrow.string())}))
            first += size
        writer.end()
    return writer, staged


def test_many_rows_are_in_a_file_for_each_of_many_readers(tmp_path: Path) -> None:
    writer, staged = written(tmp_path / "out", 320_000, [150_000, 1, 169_999])
    staged.commit(writer.parts, {})

    assert [part["rows"] for part in writer.parts] == [20_000] * parts.FILES
    assert writer.rows == 320_000
    assert (writer.values["n"], writer.values["none"]) == (320_000, 0)
    assert pyarrow.parquet.read_table(tmp_path / "out").column("n").to_pylist() == list(range(320_000))


def test_a_cluster_of_more_cpus_finds_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 32.0})
    monkeypatch.setitem(sys.modules, "ray", cluster)

    writer, _ = written(tmp_path / "out", 320_000, [320_000])

    assert [part["rows"] for part in writer.parts] == [10_000] * 32


def test_few_rows_are_in_one_file(tmp_path: Path) -> None:
    writer, _ = written(tmp_path / "out", 3, [1, 2])

    assert [part["rows"] for part in writer.parts] == [3]


def test_no_rows_are_a_file_with_columns(tmp_path: Path) -> None:
    writer, staged = written(tmp_path / "out", 0, [0])
    staged.commit(writer.parts, {})

    table = pyarrow.parquet.read_table(tmp_path / "out")
    assert (table.num_rows, table.column_names) == (0, ["n", "none"])


def test_a_file_is_no_larger_than_readers_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "FILE_BYTES", 8_000)

    writer, _ = written(tmp_path / "out", 5_000, [1_000] * 5)

    assert [part["rows"] for part in writer.parts] == [1_000] * 5
