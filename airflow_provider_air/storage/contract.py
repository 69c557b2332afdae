"""What every storage must answer. Paths are relative to the storage's root, with forward slashes."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from airflow_provider_air.errors import ConfigurationError


@runtime_checkable
class Storage(Protocol):
    """A place for files that workers, triggerers and the Ray cluster all reach. Calls block."""

    def uri(self, path: str = "") -> str:
        """Give the URI by which the Ray cluster reaches a path."""

    def put(self, path: str, data: bytes) -> None:
        """
        Write a file, whole or not at all; replaces an older one.

        :raises ConfigurationError: it may not be written
        """

    def read(self, path: str) -> bytes | None:
        """Read a file; None where there is none."""

    def exists(self, path: str) -> bool:
        """Tell whether a file or a folder is there."""

    def list(self, prefix: str = "") -> list[str]:
        """Give the paths of all files below a folder, sorted; empty where there is none."""

    def probe(self) -> None:
        """
        Write, read and remove a small file, before compute is spent.

        :raises ConfigurationError: the place is absent or cannot be written; the message says which
        """


def check_path(path: str) -> str:
    """
    Refuse paths that leave the root.

    :raises ConfigurationError: the path is absolute or climbs
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigurationError(f"A storage path stays below its root, but {path!r} does not")
    return path
