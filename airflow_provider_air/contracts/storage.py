"""What every storage must answer. Paths are relative to the storage's root, with forward slashes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections


@dataclass(frozen=True)
class StoredFile:
    """
    One file.

    :param path: below the storage's root
    :param size_bytes: its length
    :param modified_at: epoch seconds
    """

    path: str
    size_bytes: int
    modified_at: float


@dataclass(frozen=True)
class JobAccess:
    """
    What a job needs to reach a storage.

    :param env_vars: names and addresses, which anybody may read
    :param secrets: credentials, which no job listing shows
    :param files: by environment variables that name where each lies on a node, such as a CA bundle
    """

    env_vars: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@runtime_checkable
class Storage(Protocol):
    """A place for files that workers, triggerers and the Ray cluster all reach. Calls block."""

    def uri(self, path: str = "") -> str:
        """Give the URI by which the Ray cluster reaches a path."""

    def put(self, path: str, data: bytes) -> None:
        """
        Write a file, whole or not at all; replaces an older one.

        :raises ConfigurationError: it may not be written
        :raises UnavailableError: the storage does not answer
        """

    def put_new(self, path: str, data: bytes) -> bool:
        """
        Write a file only where there is none, told by one atomic request; False where there is another's already.

        A request that is sent again because its answer was lost still gives True.
        """

    def writer(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to be written in pieces of bounded memory; it appears whole at the end, or not at all."""

    def reader(self, path: str) -> AbstractContextManager[BinaryIO]:
        """
        Open a file to be read in pieces of bounded memory.

        :raises FileNotFoundError: there is none
        """

    def read(self, path: str) -> bytes | None:
        """Read a file whole; None where there is none."""

    def stat(self, path: str) -> StoredFile | None:
        """Give a file's size and time; None where there is none."""

    def list(self, prefix: str = "") -> list[StoredFile]:
        """Give all files below a folder, sorted by path; empty where there is none."""

    def delete(self, path: str) -> None:
        """
        Remove a file, or all files below a folder; absent is fine.

        :raises ConfigurationError: the path is empty: a root is never emptied by a variable that was
        """

    def probe(self) -> None:
        """
        Write and read a small file, before compute is spent; needs no right to remove it.

        :raises ConfigurationError: the place is absent or cannot be written; the message says which
        :raises UnavailableError: the storage does not answer
        """

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        """
        Give what a job needs to reach it; runs in the worker.

        :param lifetime: how long the job may run (``execution_timeout``), or None
        :raises ConfigurationError: the credentials may end before the job, or never
        :raises UnavailableError: whoever gives them does not answer
        """


@runtime_checkable
class StorageSpec(Protocol):
    """
    What an author writes for a storage: a plain dataclass whose fields are JSON.

    :param worker_can_open: False where the cluster alone reaches it, by itself: it is not probed, no code is staged
        there, and :meth:`open` says what to write instead
    """

    template_fields: ClassVar[tuple[str, ...]]
    worker_can_open: ClassVar[bool]

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""

    def uri(self) -> str:
        """Give the URI by which the Ray cluster reaches the root; asks nobody."""

    def open(self, connections: Connections) -> Storage:
        """
        Open it; reads a connection.

        :raises ConfigurationError: the connection is absent or malformed, or the worker cannot reach the place
        :raises MissingExtraError: its SDK is not installed
        """
