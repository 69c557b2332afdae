"""What is particular about a folder: drafts, links, and what file systems say."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError
from airflow_provider_air.storage.shared_folder import Folder, folder_problem


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ESTALE, UnavailableError),
        (errno.EIO, UnavailableError),
        (errno.ETIMEDOUT, UnavailableError),
        (errno.ENOTCONN, UnavailableError),
        (errno.ENOSPC, UnavailableError),
        (errno.EACCES, ConfigurationError),
        (errno.EPERM, ConfigurationError),
        (errno.EROFS, ConfigurationError),
        (errno.ENOENT, ConfigurationError),
        (errno.ENAMETOOLONG, ConfigurationError),
        (None, ConfigurationError),
    ],
)
def test_what_may_pass_is_told_from_what_somebody_has_to_mend(number: int | None, kind: type[AirError]) -> None:
    error = OSError("odd") if number is None else OSError(number, os.strerror(number))

    found = folder_problem("/shared", "written", error)

    assert type(found) is kind
    assert str(found) == f"The shared folder cannot be written: {error.strerror or 'odd'} [/shared]"


def test_a_draft_is_hidden_and_goes(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with folder.writer("a/b") as file:
        file.write(b"x")
        assert [path.name.endswith(".draft") for path in (tmp_path / "a").iterdir()] == [True]
        assert folder.list() == []

    assert os.listdir(tmp_path / "a") == ["b"]
    assert (folder.put_new("a/b", b"y"), os.listdir(tmp_path / "a")) == (False, ["b"])


def test_hidden_files_of_others_are_files(tmp_path: Path) -> None:
    """Ray Train keeps such beside its checkpoints."""
    (tmp_path / ".validate_storage_marker").touch()

    assert [file.path for file in Folder(tmp_path).list()] == [".validate_storage_marker"]


def test_a_name_that_no_file_system_takes_is_a_typed_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for act in (lambda: folder.put("x" * 300, b""), lambda: folder.put_new("x" * 300, b"")):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            act()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        folder.read("x" * 300)


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(kept)

    Folder(tmp_path / "root").delete("link")

    assert os.listdir(tmp_path / "root") == []
    assert os.listdir(kept) == ["file"]


def test_what_fails_while_a_stream_is_written_is_the_folders_failure() -> None:
    """A file of /dev/full is as large as a full disk lets it be."""
    from airflow_provider_air.storage.shared_folder import _GuardedFile

    folder = Folder(Path("/dev"))
    with _GuardedFile(Path("/dev/full"), "w", folder._reaching) as file, pytest.raises(UnavailableError, match="space"):
        file.write(b"x")
