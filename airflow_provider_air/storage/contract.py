"""What every storage must answer. Paths are relative to the storage's root, with forward slashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

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


@runtime_checkable
class StorageSpec(Protocol):
    """
    What an author writes for a storage that needs a connection: a plain dataclass whose fields are JSON.

    :param opener: ``module:function`` that opens it, where Airflow is known
    """

    opener: ClassVar[str]

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""

    def uri(self) -> str:
        """Give the URI by which the Ray cluster reaches the root; asks nobody."""


@dataclass(frozen=True)
class BucketRoot:
    """
    The part of a bucket in which a storage keeps its objects.

    :param prefix: without slashes at its ends; may be empty
    """

    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def parse(cls, root: Any, scheme: str, what: str) -> BucketRoot:
        """
        Read ``scheme://bucket/prefix``.

        :param what: what it is, for the message
        :raises ConfigurationError: it is not of this form
        """
        start = f"{scheme}://"
        bucket, _, prefix = root.removeprefix(start).partition("/") if isinstance(root, str) else ("", "", "")
        if not bucket or not root.startswith(start) or "?" in root:
            raise ConfigurationError(f"{what} must be {start}bucket/prefix, not {root!r}")
        return cls(scheme, bucket, check_path(prefix.strip("/")))

    def key(self, path: str, *, is_file: bool = False) -> str:
        """
        Give the key of a path.

        :raises ConfigurationError: the path leaves the root, or is the root where a file is meant
        """
        key = "/".join(part for part in (self.prefix, check_path(path).strip("/")) if part)
        if is_file and not path.strip("/"):
            raise ConfigurationError("A file's path is empty", where=self.uri())
        return key

    def path(self, key: str) -> str:
        """Give the path of a key, which lies below the prefix."""
        return key.removeprefix(f"{self.prefix}/" if self.prefix else "")

    def uri(self, path: str = "") -> str:
        """Give the URI of a path."""
        return f"{self.scheme}://{self.bucket}" + (f"/{key}" if (key := self.key(path)) else "")


def check_credentials(value: Any, what: str) -> None:
    """:raises ConfigurationError: this is no way to get credentials."""
    if value not in ("ambient", "session"):
        raise ConfigurationError(f"{what}'s 'credentials' must be ambient or session, not {value!r}")
