"""Rows in files: partitions, formats, and files whose schemas differ."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from airflow_provider_air.drivers.features import entities
from airflow_provider_air.drivers.features.plan import ViewPlan
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def rows_of(uri: Any, *needed: str, **fields: Any) -> pyarrow.Table:
    with entities.opened({"uri": uri, **fields}, "datasets.train", needed) as side:
        table = side.table(side.schema.names)
        assert side.count() == table.num_rows
        return table


def test_a_hive_partition_is_a_column(tmp_path: Path) -> None:
    write(tmp_path / "flights" / "carrier=AA" / "1.parquet", x=[1])
    write(tmp_path / "flights" / "carrier=UA" / "1.parquet", x=[2])
    (tmp_path / "flights" / "_SUCCESS").touch()

    assert rows_of(str(tmp_path / "flights")).to_pydict() == {"x": [1, 2], "carrier": ["AA", "UA"]}


def test_a_partitions_name_is_what_was_quoted(tmp_path: Path) -> None:
    write(tmp_path / "flights" / "the%20carrier%3D=A%2FA" / "1.parquet", x=[1])

    assert rows_of(str(tmp_path / "flights")).to_pydict() == {"x": [1], "the carrier=": ["A/A"]}


@pytest.mark.parametrize("place", ["", "1.parquet"])
def test_a_partition_above_the_place_is_a_column_where_it_is_needed(tmp_path: Path, place: str) -> None:
    write(tmp_path / "run=1" / "carrier=AA" / "1.parquet", x=[1])
    uri = str(tmp_path / "run=1" / "carrier=AA" / place)

    assert rows_of(uri).to_pydict() == {"x": [1]}
    assert rows_of(uri, "carrier").column("carrier").to_pylist() == ["AA"]


@pytest.mark.parametrize(
    "values", [["0042", "7"], ["3000000000", "1"], ["7"], ["a", "7"]], ids=["zero", "large", "small", "text"]
)
def test_a_partition_is_text_whatever_is_in_it_as_ray_reads_it(tmp_path: Path, values: list[str]) -> None:
    for value in [*values, "__HIVE_DEFAULT_PARTITION__"]:
        write(tmp_path / "sales" / f"store={value}" / "1.parquet", x=[1])

    store = rows_of(str(tmp_path / "sales")).column("store")

    assert store.type == pyarrow.string()
    assert sorted(store.drop_null().to_pylist()) == sorted(values)
    assert store.null_count == 1


def test_a_column_that_files_have_is_what_they_say_also_where_a_folder_tells_it(tmp_path: Path) -> None:
    write(tmp_path / "sales" / "store=7" / "1.parquet", x=[1], store=[7])
    write(tmp_path / "sales" / "store=8" / "1.parquet", x=[2])

    assert rows_of(str(tmp_path / "sales")).to_pydict() == {"x": [1, 2], "store": [7, 8]}


@pytest.mark.parametrize(
    ("folder", "own"),
    [
        ("b", "a"),
        ("north", 7),
        ("7", 7.5),
        ("0042", 7),
        ("2026-01-02", datetime.datetime(2026, 1, 2, 18, tzinfo=datetime.UTC)),
    ],
)
def test_a_folder_overwrites_nothing_that_a_file_has(tmp_path: Path, folder: str, own: Any) -> None:
    write(tmp_path / "rows" / "day=1" / f"k={folder}" / "1.parquet", k=[own, None])

    assert rows_of(str(tmp_path / "rows"), "k").to_pydict() == {"k": [own, None], "day": ["1", "1"]}


def test_a_folder_that_tells_no_value_of_a_column_of_other_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "sales" / "store=7" / "1.parquet", x=[1], store=[7])
    write(tmp_path / "sales" / "store=north" / "1.parquet", x=[2])

    with pytest.raises(
        ConfigurationProblem, match=r"store=north/1.parquet: what its folders tell is no value of the col"
    ):
        rows_of(str(tmp_path / "sales"))


def test_a_column_that_only_the_last_of_many_files_has_is_there(tmp_path: Path) -> None:
    for number in range(70):
        write(tmp_path / "rows" / f"{number:02}.parquet", x=pyarrow.array([number], pyarrow.int32()))
    write(tmp_path / "rows" / "99.parquet", x=[2**40], y=["late"])

    table = rows_of(str(tmp_path / "rows"))

    assert table.column("x").to_pylist() == [*range(70), 2**40]
    assert table.column("y").to_pylist() == [None] * 70 + ["late"]


def test_files_whose_columns_differ_are_read_as_what_all_of_them_are(tmp_path: Path) -> None:
    write(tmp_path / "rows" / "1.parquet", x=pyarrow.nulls(1), y=pyarrow.array([1], pyarrow.int32()))
    write(tmp_path / "rows" / "2.parquet", x=["a"], y=pyarrow.array([2**40], pyarrow.int64()), z=[1.5])
    other = write(tmp_path / "more.parquet", x=["b"], y=pyarrow.array([3], pyarrow.int8()), z=[None])

    table = rows_of([str(tmp_path / "rows"), other])

    assert table.to_pydict() == {"x": [None, "a", "b"], "y": [1, 2**40, 3], "z": [None, 1.5, None]}


def test_lists_of_a_fixed_size_that_a_file_does_not_have_are_lists(tmp_path: Path) -> None:
    pairs = pyarrow.array([[1, 2]], pyarrow.list_(pyarrow.int64(), 2))
    write(tmp_path / "rows" / "1.parquet", x=[1], every=pairs, some=pairs)
    write(tmp_path / "rows" / "2.parquet", x=[2], every=pairs)

    table = rows_of(str(tmp_path / "rows"))

    assert (table.schema.field("every").type, table.schema.field("some").type) == (
        pairs.type,
        pyarrow.list_(pyarrow.int64()),
    )
    assert table.column("some").to_pylist() == [[1, 2], None]


def test_files_without_a_common_schema_are_refused(tmp_path: Path) -> None:
    uris = [write(tmp_path / "1.parquet", x=["a"]), write(tmp_path / "2.parquet", x=[1])]

    with pytest.raises(ConfigurationProblem, match=r"datasets.train: the files of .* have no common schema"):
        rows_of(uris)


def test_columns_of_a_source_that_nobody_reads_may_differ_over_its_files(tmp_path: Path) -> None:
    for number, note in enumerate(["a", 1]):
        write(tmp_path / "source" / f"{number}.parquet", k=[number], t=["2026-01-01"], f=[1.5], note=[note], more=[0])
    view = ViewPlan("v", str(tmp_path / "source"), "", [["k", "k"]], "t", None, 0.0, [["f", "f"]])

    side = entities.source("/repo", view)

    assert side.schema.names == ["k", "t", "f", "more"]
    assert side.table(view.columns).to_pydict() == {"k": [0, 1], "f": [1.5, 1.5], "t": ["2026-01-01"] * 2}
    with pytest.raises(ConfigurationProblem, match=r"feature view v: the files of .* have no common schema"):
        entities.source("/repo", dataclasses.replace(view, features=[["f", "note"]]))


def test_csv_and_json_are_read_with_an_id_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("user,event_timestamp\n1152921504606846977,2026-01-01 00:00:00\n,2026-01-02\n")
    (tmp_path / "rows.jsonl").write_text('{"user": 1152921504606846977}\n{"user": null}\n')

    for name in ("rows.csv", "rows.jsonl"):
        assert rows_of(str(tmp_path / name)).column("user").to_pylist() == [1152921504606846977, None]


def test_json_that_arrow_does_not_read_is_read_by_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "1.json").write_text('{"user": 1}\n')
    (tmp_path / "rows" / "2.json").write_text('[{"user": 2}, {"user": 3}]')
    asked = []

    def by_ray(spec: Any, field: str, folder: str) -> None:
        asked.append((spec["uri"], field))
        write(Path(folder) / "0.parquet", user=[1, 2, 3])

    monkeypatch.setattr(entities, "_by_ray", by_ray)

    assert rows_of(str(tmp_path / "rows"), format="json").column("user").to_pylist() == [1, 2, 3]
    assert asked == [(str(tmp_path / "rows"), "datasets.train")]


def test_absent_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem, match=r"datasets.train: there is no file or folder at /nowhere"):
        rows_of("/nowhere")
