"""A folder that every host sees under the same path: NFS, a mounted volume, or one machine's disk."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, cast

from airflow_provider_air.contracts.storage import JobAccess, StoredFile
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.paths import check_below, check_path
from airflow_provider_air.storage.probing import write_and_read

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
# What a file server says that is away or full for a while; all else is about rights and names.
_MAY_PASS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EDQUOT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EINTR,
    errno.EIO,
    errno.EMFILE,
    errno.ENETUNREACH,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


@dataclass
class SharedFolder:
    """
    Storage in a shared folder: ``storage=SharedFolder("/mnt/runs")``, or the path alone.

    :param folder: absolute path, the same on workers and on the Ray cluster's nodes
    """

    template_fields: ClassVar[tuple[str, ...]] = ("folder",)
    worker_can_open: ClassVar[bool] = True

    folder: str

    def validate(self) -> None:
        """:raises ConfigurationError: the path is not absolute."""
        if not isinstance(self.folder, str) or not Path(self.folder).is_absolute():
            raise ConfigurationError(f"A shared folder needs an absolute path, not {self.folder!r}")

    def uri(self) -> str:
        """Give the absolute path; Ray takes it as it is."""
        return str(Path(self.folder))

    def open(self, connections: Connections) -> Folder:
        """Open it; needs no connection."""
        return Folder(Path(self.folder))


class Folder:
    """
    A :class:`~airflow_provider_air.contracts.storage.Storage` in a folder; blocks.

    :param root: absolute path
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, path: str = "") -> str:
        """Give the absolute path; Ray takes it as it is."""
        return str(self._root / check_path(path))

    def put(self, path: str, data: bytes) -> None:
        """
        Write a file through a draft beside it.

        :raises ConfigurationError: it may not be written
        :raises UnavailableError: the file system fails
        """
        with self.writer(path) as file:
            file.write(data)

    def put_new(self, path: str, data: bytes) -> bool:
        """
        Write a file only where there is none: a hard link, which a file system makes or refuses in one go.

        :raises ConfigurationError: it may not be written, or the file system knows no hard links
        :raises UnavailableError: the file system fails
        """
        target = self._below(path)
        with self._draft_of(target) as draft, self._reaching("written"):
            draft.write_bytes(data)
            try:
                os.link(draft, target)
            except FileExistsError:
                # A file server that has lost its own answer is asked again, and finds what it has made.
                return draft.stat().st_nlink > 1
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise ConfigurationError(
                    f"The file system makes no hard links ({error.strerror}): it tells no writer from another",
                    where=str(self._root),
                    hint="Use NFS, a local disk, or a bucket",
                ) from error
            return True

    @contextlib.contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        """
        Open a draft, which takes the file's name once its block has ended.

        :raises ConfigurationError: it may not be written
        :raises UnavailableError: the file system fails
        """
        target = self._below(path)
        with self._draft_of(target) as draft:
            with self._reaching("written"):
                raw = _GuardedFile(draft, "w", self._reaching)
            with io.BufferedWriter(raw) as file:
                yield cast("BinaryIO", file)
            with self._reaching("written"):
                os.replace(draft, target)

    @contextlib.contextmanager
    def reader(self, path: str) -> Iterator[BinaryIO]:
        """
        Open a file.

        :raises FileNotFoundError: there is none
        :raises ConfigurationError: it may not be read
        :raises UnavailableError: the file system fails
        """
        target, raw = self._root / check_path(path), None
        with self._reaching("read"), contextlib.suppress(*_ABSENT):
            raw = _GuardedFile(target, "r", self._reaching)
        if raw is None:
            raise FileNotFoundError(errno.ENOENT, "There is no such file", str(target))
        with io.BufferedReader(raw) as file:
            yield cast("BinaryIO", file)

    def read(self, path: str) -> bytes | None:
        """
        Read a file; None where there is none.

        :raises ConfigurationError: it may not be read
        :raises UnavailableError: the file system fails
        """
        with self._reaching("read"):
            try:
                return (self._root / check_path(path)).read_bytes()
            except _ABSENT:
                return None

    def stat(self, path: str) -> StoredFile | None:
        """Give a file's size and time; None where there is none."""
        with self._reaching("read"):
            return self._stat(self._root / check_path(path))

    def list(self, prefix: str = "") -> list[StoredFile]:
        """Give all files below a folder, sorted; drafts of unfinished writes are left out."""
        start = self._root / check_path(prefix)
        with self._reaching("read"):
            paths = (
                Path(folder, name) for folder, _, names in os.walk(start, onerror=_pass_over_absent) for name in names
            )
            found = (self._stat(path) for path in paths if not _is_draft(path))
            return sorted((file for file in found if file), key=lambda file: file.path)

    def delete(self, path: str) -> None:
        """
        Remove a file, or a folder with all that is below it.

        :raises ConfigurationError: it may not be removed, or is the root itself
        :raises UnavailableError: the file system fails
        """
        target = self._below(path)
        with self._reaching("changed"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()

    def probe(self) -> None:
        """
        Write and read a small file; it is removed where that is allowed.

        :raises ConfigurationError: the folder is absent or cannot be written
        :raises UnavailableError: the file system fails
        """
        with self._reaching("read"):
            if not self._root.is_dir():
                raise ConfigurationError(
                    "The shared folder does not exist on this host",
                    where=str(self._root),
                    hint="Create it, or mount it at the same path everywhere",
                )
        write_and_read(self)

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        """Give nothing: whoever runs the job on its nodes has rights of his own there."""
        return JobAccess()

    def _below(self, path: str) -> Path:
        return self._root / check_below(path, str(self._root))

    @contextlib.contextmanager
    def _draft_of(self, target: Path) -> Iterator[Path]:
        """Give the path of a draft beside the target, and leave nothing of it behind."""
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.draft")
        with self._reaching("written"):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
        finally:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def _stat(self, path: Path) -> StoredFile | None:
        try:
            if not path.is_file():
                return None
            found = path.stat()
        except _ABSENT:
            return None
        return StoredFile(path.relative_to(self._root).as_posix(), found.st_size, found.st_mtime)

    @contextlib.contextmanager
    def _reaching(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise folder_problem(str(self._root), verb, error) from error


class _GuardedFile(io.FileIO):
    """An open file whose own errors are told from those of whoever works with it."""

    def __init__(
        self, path: Path, mode: Literal["r", "w"], reaching: Callable[[str], contextlib.AbstractContextManager[None]]
    ) -> None:
        super().__init__(path, mode)
        self._reaching = reaching

    def readinto(self, buffer: Any, /) -> int:
        with self._reaching("read"):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with self._reaching("read"):
            return super().readall()

    def write(self, data: Any, /) -> int:
        with self._reaching("written"):
            return super().write(data)


def folder_problem(folder: str, verb: str, error: OSError) -> ConfigurationError | UnavailableError:
    """Give the error for what a file system says: whether it may pass, or somebody has to do something."""
    kind = UnavailableError if error.errno in _MAY_PASS else ConfigurationError
    return kind(f"The shared folder cannot be {verb}: {error.strerror or error}", where=folder)


def _pass_over_absent(error: OSError) -> None:
    if not isinstance(error, _ABSENT):
        raise error


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".draft")
