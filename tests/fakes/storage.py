"""
A storage that is unlike the real ones: in memory, as slow as a test says, failing when a test says.

It has no folders, no files and no SDK: a server that a connection of the kind ``memory`` leads to holds all.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO, ClassVar, TypeVar

from airflow_provider_air.contracts.connections import Connections
from airflow_provider_air.contracts.storage import JobAccess, StoredFile
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError

T = TypeVar("T")
START = "memory://"


@dataclass
class MemoryServer:
    """
    What holds the files of all roots.

    :param delay_seconds: how long each call takes
    :param failures: raised by the next calls, one each, before anything is done
    :param lost_replies: how many of the next calls do what they are asked and then say that nobody answered
    :param roots: those that exist
    """

    roots: set[str] = field(default_factory=set)
    delay_seconds: float = 0.0
    failures: deque[AirError] = field(default_factory=deque)
    lost_replies: int = 0
    files: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, root: str, act: Callable[[dict[str, tuple[bytes, float]]], T]) -> T:
        time.sleep(self.delay_seconds)
        with self.lock:
            if self.failures:
                raise self.failures.popleft()
            if root not in self.roots:
                raise ConfigurationError("There is no such place in memory", where=root)
            done = act(self.files)
            if self.lost_replies:
                self.lost_replies -= 1
                raise UnavailableError("The memory does not answer", where=root)
            return done


@dataclass
class MemoryStorage:
    """Storage below ``memory://name``."""

    template_fields: ClassVar[tuple[str, ...]] = ("conn_id", "root")
    worker_can_open: ClassVar[bool] = True

    root: str = ""
    conn_id: str = "memory"

    def validate(self) -> None:
        if not self.root.startswith(START) or self.root == START:
            raise ConfigurationError(f"MemoryStorage's 'root' must be {START}name, not {self.root!r}")

    def uri(self) -> str:
        return self.root

    def open(self, connections: Connections) -> Memory:
        return Memory(self.root, connections.open("memory", self.conn_id))


class Memory:
    """A storage of one root."""

    def __init__(self, root: str, server: MemoryServer) -> None:
        self._root, self._server = root, server

    def uri(self, path: str = "") -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ConfigurationError(f"A storage path stays below its root, but {path!r} does not")
        return f"{self._root}/{path}" if path else self._root

    def put(self, path: str, data: bytes) -> None:
        self._call(lambda files: files.__setitem__(self._file(path), (data, time.time())), path)

    def put_new(self, path: str, data: bytes) -> bool:
        written = (data, time.time())
        for _ in range(3):
            with contextlib.suppress(UnavailableError):
                # As a client that sends again what was not answered; its own tuple tells it from others'.
                return self._call(lambda files: files.setdefault(self._file(path), written), path) is written
        raise UnavailableError("The memory does not answer", where=self.uri(path))

    @contextlib.contextmanager
    def writer(self, path: str) -> Iterator[BinaryIO]:
        self._file(path)
        file = io.BytesIO()
        yield file
        self.put(path, file.getvalue())

    @contextlib.contextmanager
    def reader(self, path: str) -> Iterator[BinaryIO]:
        data = self.read(path)
        if data is None:
            raise FileNotFoundError(self.uri(path))
        yield io.BytesIO(data)

    def read(self, path: str) -> bytes | None:
        found = self._call(lambda files: files.get(self.uri(path)), path)
        return None if found is None else found[0]

    def stat(self, path: str) -> StoredFile | None:
        found = self._call(lambda files: files.get(self.uri(path)), path)
        return None if found is None else StoredFile(path, len(found[0]), found[1])

    def list(self, prefix: str = "") -> list[StoredFile]:
        start = f"{self.uri(prefix)}/"
        found = self._call(lambda files: {name: held for name, held in files.items() if name.startswith(start)}, prefix)
        cut = len(self._root) + 1
        return [StoredFile(name[cut:], len(data), at) for name, (data, at) in sorted(found.items())]

    def delete(self, path: str) -> None:
        name = self._file(path)

        def remove(files: dict[str, Any]) -> None:
            for key in [key for key in files if key == name or key.startswith(f"{name}/")]:
                del files[key]

        self._call(remove, path)

    def probe(self) -> None:
        self.put(".probe", b"probe")
        self.delete(".probe")

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        return JobAccess({"MEMORY_ROOT": self._root})

    def _file(self, path: str) -> str:
        if not path:
            raise ConfigurationError("The root is no file", where=self._root)
        return self.uri(path)

    def _call(self, act: Callable[[dict[str, tuple[bytes, float]]], T], path: str) -> T:
        self.uri(path)
        return self._server.call(self._root, act)
