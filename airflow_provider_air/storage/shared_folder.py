"""A folder that every host sees under the same path: NFS, a mounted volume, or one machine's disk."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.contract import check_path


@dataclass
class SharedFolder:
    """
    Storage in a shared folder.

    :param folder: absolute path, the same on workers and on the Ray cluster's nodes
    """

    template_fields: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str

    @property
    def _root(self) -> Path:
        root = Path(self.folder)
        if not root.is_absolute():
            raise ConfigurationError(f"A shared folder needs an absolute path, not {self.folder!r}")
        return root

    def uri(self, path: str = "") -> str:
        """Give the absolute path; Ray takes it as it is."""
        return str(self._root / check_path(path))

    def put(self, path: str, data: bytes) -> None:
        """
        Write a file through a temporary one beside it.

        :raises ConfigurationError: the folder cannot be written
        """
        target = self._root / check_path(path)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(data)
            os.replace(draft, target)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise self._denied("written", error) from error

    def read(self, path: str) -> bytes | None:
        """
        Read a file; None where there is none.

        :raises ConfigurationError: it may not be read
        """
        try:
            return (self._root / check_path(path)).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._denied("read", error) from error

    def exists(self, path: str) -> bool:
        """Tell whether a file or a folder is there."""
        return (self._root / check_path(path)).exists()

    def list(self, prefix: str = "") -> list[str]:
        """Give all files below a folder, sorted; drafts of unfinished writes are left out."""
        start = self._root / check_path(prefix)
        found = (path for path in start.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(path.relative_to(self._root).as_posix() for path in found)

    def probe(self) -> None:
        """:raises ConfigurationError: the folder is absent or cannot be written."""
        if not self._root.is_dir():
            raise ConfigurationError(
                "The shared folder does not exist on this host",
                where=self.folder,
                hint="Create it, or mount it at the same path everywhere",
            )
        name = f"air-probe-{secrets.token_hex(4)}"
        self.put(name, b"probe")
        try:
            if self.read(name) != b"probe":
                raise ConfigurationError("The shared folder does not return what was written", where=self.folder)
        finally:
            (self._root / name).unlink(missing_ok=True)

    def _denied(self, verb: str, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"The shared folder cannot be {verb}: {error.strerror or error}", where=self.folder)
