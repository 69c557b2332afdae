"""Data sets as drivers are told of them. Ray's library is used, no cluster: see the integration tests for that."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.data.datasets import anchored, read_all, read_one, spec_of
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://b/rows", {"uri": "s3://b/rows"}),
        (["s3://b/day=1", "/day=2"], {"uri": ["s3://b/day=1", "/day=2"]}),
        ({"uri": ["/a", "/b"], "format": "csv"}, {"uri": ["/a", "/b"], "format": "csv"}),
    ],
    ids=["one", "several", "a dict"],
)
def test_places_alone_are_a_data_set(value: Any, expected: Any) -> None:
    assert spec_of(value) == expected


def test_each_of_several_places_is_made_absolute() -> None:
    assert anchored({"train": ["s3://b/day=1", "day=2"]}) == {
        "train": {"uri": ["s3://b/day=1", os.path.abspath("day=2")]}
    }


def test_a_reader_of_ray_that_reads_no_files_is_told_apart(tmp_path: Path) -> None:
    import ray.data

    names = [name for name, reader in vars(ray.data).items() if name.startswith("read_") and inspect.isfunction(reader)]
    names.remove("read_datasource")
    refused = set()
    for name in names:
        with pytest.raises(ConfigurationProblem, match=r"datasets\.train\.(format|uri)") as caught:
            read_one({"uri": str(tmp_path / "absent"), "format": f"ray.data.{name}"}, "datasets.train")
        if "datasets.train.format" in str(caught.value):
            refused.add(name)
            assert f"{{'reader': 'ray.data.{name}', 'options': {{" in str(caught.value)
    assert len(names) > 20
    assert refused == {
        "read_bigquery",
        "read_clickhouse",
        "read_databricks_tables",
        "read_delta_sharing_tables",
        "read_iceberg",
        "read_kafka",
        "read_mongo",
        "read_snowflake",
        "read_sql",
        "read_unity_catalog",
    }


class Rows:
    """What of a data set of Ray's reading looks at."""

    def __init__(self, options: dict[str, Any], names: list[str]) -> None:
        self.options = options
        self.names = names

    def schema(self) -> Any:
        return SimpleNamespace(names=self.names)

    def map_batches(self) -> None:
        """Be one."""

    def select_columns(self, names: list[str]) -> Rows:
        return Rows(self.options, names)


def read_orders(sql: str, connect: Callable[[], Any], day: str = "") -> Rows:
    return Rows({"sql": sql, "connect": connect, "day": day}, ["id", "day"])


def connect() -> None:
    """Stand for a connection."""


def test_a_reader_that_knows_the_place_is_called_with_its_options() -> None:
    options = {"sql": "SELECT 1", "connect": f"{__name__}:connect", "day": "a:b"}
    spec = {"reader": f"{__name__}:read_orders", "options": options, "columns": ["id"]}
    found = read_one(spec, "input")
    assert found.options == {"sql": "SELECT 1", "connect": connect, "day": "a:b"}
    assert found.names == ["id"]
    with pytest.raises(ConfigurationProblem, match=r"input\.columns: no column 'x' in the data; it has 'id', 'day'"):
        read_one({**spec, "columns": ["x"]}, "input")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"reader": "builtins:dict"}, r"input\.reader: builtins:dict gave a dict, not a data set of Ray"),
        (
            {"reader": f"{__name__}:read_orders", "options": {"table": "x"}},
            r"input: .*read_orders cannot read: .*'table'",
        ),
        ({"reader": "no.such:reader"}, r"input\.reader: cannot import 'no\.such'"),
    ],
)
def test_a_reader_that_cannot_be_called_is_a_mistake(spec: Any, said: str) -> None:
    with pytest.raises(ConfigurationProblem, match=said):
        read_one(spec, "input")


def test_a_part_takes_no_other_data_sets_name() -> None:
    spec = {"reader": f"{__name__}:read_orders", "options": {"sql": "", "connect": connect}, "split": {"valid": 0.1}}
    with pytest.raises(ConfigurationProblem, match=r"datasets\.train\.split: there is a dataset 'valid' already"):
        read_all({"train": spec, "valid": spec})


def test_a_split_leaves_the_order_of_other_data_sets_alone() -> None:
    import ray.data

    options = {"sql": "", "connect": connect}
    spec = {"reader": f"{__name__}:read_orders", "options": options, "split": {"valid": 0.1}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rows, "map_batches", lambda self, *args, **options: self)
        assert set(read_all({"train": spec})) == {"train", "valid"}
    assert not ray.data.DataContext.get_current().execution_options.preserve_order
