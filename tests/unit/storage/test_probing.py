"""Storages are tried without a right to remove anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.storage.probing import write_and_read
from airflow_provider_air.storage.shared_folder import Folder


class WrittenOnce(Folder):
    """A storage from which nothing is removed."""

    def __init__(self, root: Path, error: AirError) -> None:
        super().__init__(root)
        self.error = error

    def delete(self, path: str) -> None:
        raise self.error


class Forgetful(Folder):
    """A storage that does not give back what it got."""

    def read(self, path: str) -> bytes | None:
        return None


@pytest.mark.parametrize("error", [ConfigurationError("denied"), UnavailableError("away")], ids=["denied", "away"])
def test_what_may_not_be_removed_stays(tmp_path: Path, error: AirError) -> None:
    write_and_read(WrittenOnce(tmp_path, error))

    (left,) = tmp_path.iterdir()
    assert left.name.startswith("air-probe-")


def test_what_is_not_given_back_is_told_and_removed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not return what was written"):
        write_and_read(Forgetful(tmp_path))

    assert list(tmp_path.iterdir()) == []
