"""URIs and small files."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_air.drivers.data import files
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem


@pytest.mark.parametrize(
    ("base", "joined"),
    [
        ("s3://b/p", "s3://b/p/x/y"),
        ("s3://b/p/", "s3://b/p/x/y"),
        ("s3://b/p?endpoint_override=h:1&scheme=http", "s3://b/p/x/y?endpoint_override=h:1&scheme=http"),
        ("/runs", "/runs/x/y"),
    ],
)
def test_parts_are_joined_before_the_query(base: str, joined: str) -> None:
    assert files.join(base, "x", "y") == joined


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    filesystem, path = files.open_uri(str(tmp_path / "deep" / "file"), "field")
    assert files.read(filesystem, path) is None
    files.write(filesystem, path, b"one")
    files.write(filesystem, path, b"two")
    assert files.read(filesystem, path) == b"two"
    assert files.names(str(tmp_path / "deep")) == ["file"]
    assert files.names(str(tmp_path / "absent")) == []


def test_an_absent_place_and_a_wrong_uri_name_their_field(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationProblem, match=r"datasets\.train\.uri: there is no file"):
        files.must_exist(str(tmp_path / "absent"), "datasets.train.uri")
    with pytest.raises(ConfigurationProblem, match="storage_path"):
        files.open_uri("nope://x", "storage_path")
    files.must_exist(str(tmp_path), "datasets.train.uri")
