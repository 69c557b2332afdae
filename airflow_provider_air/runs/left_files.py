"""
What runs have left in a storage, by the marks beside it: code, joined rows, results. Checkpoints are nobody's waste.

Ages are by the storage's own clock: it says what time it is by the time of a file that is written now.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_air.contracts.leftovers import Leftover
from airflow_provider_air.errors import ProtocolError, UnavailableError
from airflow_provider_air.runs import marks

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import Storage, StoredFile

CODE_FOLDER = "code"
RESULT_FOLDER = "results"
ROWS_ENDING = "-features"
KINDS: tuple[marks.Kind, ...] = ("code", "rows", "result")


@dataclass(frozen=True)
class _Thing:
    """
    One thing, as it was listed.

    :param marks: those of this deployment about it
    """

    kind: marks.Kind
    name: str
    marks: tuple[StoredFile, ...]


class LeftFiles:
    """
    A :class:`~airflow_provider_air.contracts.leftovers.Neighbour`: one storage.

    What is younger than it is kept for is only counted: of that no mark is read.

    :param keep: for how many seconds after its last use code, rows and results are kept, by kind
    """

    def __init__(self, storage: Storage, deployment: str, keep: Mapping[marks.Kind, float]) -> None:
        self.where = storage.uri()
        self._storage = storage
        self._deployment = deployment
        self._keep = keep
        self._found: dict[str, _Thing] = {}
        self._results: list[StoredFile] = []

    def left(self) -> Iterator[Leftover]:
        """Give what this deployment has marked and no longer keeps."""
        now, young = self._now(), 0
        self._results = self._storage.list(RESULT_FOLDER)
        for kind in KINDS:
            things: dict[str, list[StoredFile]] = {}
            for mark in self._storage.list(marks.folder_of(kind, self._deployment)):
                things.setdefault(marks.thing_of(mark.path), []).append(mark)
            for name, found in things.items():
                age = now - max(mark.modified_at for mark in found)
                if age >= self._keep[kind]:
                    yield self._leftover(_Thing(kind, name, tuple(found)), age, now)
                else:
                    young += 1
        if young:
            why = "they are younger than such things are kept"
            yield Leftover("files", f"of {young} tasks", f"file {self.where}", self._deployment, stays=why)

    def _now(self) -> float:
        path = f"{marks.FOLDER}/now-{secrets.token_hex(4)}"
        self._storage.put(path, b"")
        try:
            seen = self._storage.stat(path)
        finally:
            self._storage.delete(path)
        if seen is None:
            raise UnavailableError("The storage does not show what was written to it", where=self._storage.uri(path))
        return seen.modified_at

    def _leftover(self, thing: _Thing, age: float, now: float) -> Leftover:
        files = self._files(thing)
        age = min([age, *(now - file.modified_at for file in files)])
        stays, users = "", []
        try:
            users = [marks.key_at(self._storage, mark.path) for mark in thing.marks]
        except ProtocolError as error:
            stays = str(error)
        identity = f"file {self.where} {thing.kind} {thing.name}"
        self._found[identity] = thing
        return Leftover(
            thing.kind,
            thing.name,
            identity,
            self._deployment,
            users=tuple(key for key in users if key is not None),
            age=age,
            keep=self._keep[thing.kind],
            stays=stays,
            size_bytes=sum(file.size_bytes for file in files),
        )

    def use_of(self, item: Leftover) -> str:
        """Say who else has marked it, or used it since it was listed."""
        thing = self._found[item.identity]
        known = {mark.path: mark.modified_at for mark in thing.marks}
        ours = self._storage.list(f"{marks.folder_of(thing.kind, self._deployment)}/{thing.name}")
        if any(known.get(mark.path) != mark.modified_at for mark in ours):
            return "a task has marked it as its own just now"
        if thing.kind == "code" and (others := self._others(thing.name)):
            # The same code has the same name, whoever ships it.
            return f"{others} tasks of other deployments have marked it, too"
        return ""

    def _others(self, name: str) -> int:
        own = marks.folder_of("code", self._deployment) + "/"
        marked = self._storage.list(f"{marks.FOLDER}/code")
        return sum(not mark.path.startswith(own) and marks.thing_of(mark.path) == name for mark in marked)

    def take(self, item: Leftover) -> str:
        """Remove its files, then its marks: who dies in between leaves what can be told of."""
        thing = self._found[item.identity]
        files = self._files(thing)
        for path in [*(file.path for file in files), *(mark.path for mark in thing.marks)]:
            self._storage.delete(path)
        return f"{len(files)} files of {sum(file.size_bytes for file in files)} bytes were removed"

    def _files(self, thing: _Thing) -> list[StoredFile]:
        if thing.kind == "rows":
            return self._storage.list(f"{thing.name}{ROWS_ENDING}")
        if thing.kind == "code":
            found = self._storage.stat(f"{CODE_FOLDER}/{thing.name}")
            return [] if found is None else [found]
        return [file for file in self._results if _is_of(file.path, thing.name)]


def report_path(submission_id: str) -> str:
    """Name the page about an attempt that lies with its result, below the storage's root."""
    return f"{RESULT_FOLDER}/{submission_id}-report.html"


def _is_of(path: str, submission_id: str) -> bool:
    """Tell whether a file is a job's result, a part of it, or its report: ``results/ID.json``, ``ID-1.parquet``."""
    name = path.rpartition("/")[2].removeprefix(submission_id)
    stem, _, ending = name.partition(".")
    if path == report_path(submission_id):
        return True
    return (not stem and ending == "json") or (
        stem[:1] == "-" and stem[1:].isdecimal() and ending in ("json", "parquet")
    )
