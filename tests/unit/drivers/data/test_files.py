"""URIs and small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.fs
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


class WrittenOnce:
    """A bucket, as far as it is asked here: nothing is removed from it, and some places are denied."""

    type_name = "s3"

    def __init__(self, folder: Path) -> None:
        self._files: Any = pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())

    def open_output_stream(self, path: str) -> Any:
        return self._files.open_output_stream(path)

    def delete_file(self, path: str) -> None:
        raise OSError("AWS Error ACCESS_DENIED during DeleteObject operation")


def test_a_bucket_is_tried_without_a_right_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket without a server: which filesystem a URI has is Arrow's to say."""
    (tmp_path / "bucket").mkdir()
    monkeypatch.setattr(files, "open_uri", lambda uri, field: (WrittenOnce(tmp_path), uri.removeprefix("s3://")))

    files.must_take_files("s3://bucket", "storage_path")

    (left,) = (tmp_path / "bucket").iterdir()
    assert left.read_bytes() == b"probe"
    with pytest.raises(ConfigurationProblem, match="cannot write to s3://absent"):
        files.must_take_files("s3://absent", "storage_path")
