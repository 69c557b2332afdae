"""Archives behind a URI that stays, whose content is another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import archives
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.fakes.serve import KeyValueStore


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "code.zip"
    path.write_bytes(b"first")
    os.utime(path, (1, 1))
    return path


def application(path: Path) -> dict[str, Any]:
    return {"import_path": "a:b", "runtime_env": {"working_dir": path.as_uri()}}


def test_an_archive_that_stays_is_not_worth_a_word(archive: Path) -> None:
    store = KeyValueStore()
    assert [archives.check(store, [application(archive)]) for _ in range(2)] == [[], []]


def test_a_replaced_archive_is_refused_by_its_uri(archive: Path) -> None:
    store = KeyValueStore()
    archives.check(store, [application(archive)])
    archive.write_bytes(b"another one")
    with pytest.raises(ConfigurationProblem, match=r"code\.zip was replaced .* a name of its own"):
        archives.check(store, [application(archive)])


def test_one_that_was_written_again_with_as_many_bytes_is_told(archive: Path) -> None:
    """It may be the same: whoever builds every day writes it every day."""
    store = KeyValueStore()
    archives.check(store, [application(archive)])
    archive.write_bytes(b"other")
    (told,) = archives.check(store, [application(archive)])
    assert "was written again" in told


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9/code.zip", "file:///nowhere/code.zip", "azure://a/b.zip"])
def test_a_place_that_does_not_tell_is_left_to_ray(uri: str) -> None:
    store = KeyValueStore()
    assert archives.check(store, [{"runtime_env": {"py_modules": [uri, "gcs://a.zip", "local:///srv"]}}]) == []
    assert store.rows == {}
