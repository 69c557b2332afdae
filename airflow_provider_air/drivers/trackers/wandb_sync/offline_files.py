"""
What wandb writes offline: a LevelDB log of protocol buffers, behind a header of seven bytes. Source: wandb 0.31.

Reads them without W&B's own reader, which takes a file that a killed driver left for a broken one.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple

HEADER, BLOCK, CHUNK_HEAD = 7, 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
FOLDER, SUFFIX = "offline-run-", ".wandb"


class DamagedFile(Exception):
    """The file is not what wandb writes."""


class Piece(NamedTuple):
    """
    One file: a run, or what one attempt added to it.

    :param run_id: empty where the file holds no run yet
    :param started: when its writer began, in nanoseconds
    :param rows: how many rows of history it has
    :param is_ended: whether the run's end is in it; a killed writer leaves none
    """

    path: str
    run_id: str
    project: str
    entity: str
    started: int
    rows: int
    is_ended: bool

    @property
    def folder(self) -> str:
        """The folder that holds the file, and all others of this piece."""
        return os.path.dirname(self.path)


def find(root: str) -> List[str]:
    """Give the files of all offline runs anywhere below a folder; links are not followed."""
    found = []
    for folder, folders, names in os.walk(root):
        if os.path.basename(folder).startswith(FOLDER):
            found += [os.path.join(folder, name) for name in names if name.endswith(SUFFIX)]
            folders.clear()
    return sorted(found)


def run_id_of(path: str) -> str:
    """Tell from a file's name whose it is."""
    return os.path.basename(path)[len("run-") : -len(SUFFIX)]


def changed(path: str) -> float:
    """Give the time at which the writer of a run's file last wrote there, or into its logs; epoch seconds."""
    logs = os.path.join(os.path.dirname(path), "logs")
    # Not all of the folder: an upload writes there, too.
    written = [os.path.join(logs, name) for name in os.listdir(logs)] if os.path.isdir(logs) else []
    return max(os.stat(one).st_mtime for one in [path, *written])


def read(path: str) -> Piece:
    """
    Tell what a file holds.

    :raises DamagedFile: it is no file of wandb's
    """
    told: Dict[str, Any] = {"run_id": "", "project": "", "entity": "", "started": 0}
    rows, is_ended = 0, False
    for data in records(path):
        record = _parsed(data)
        if record.HasField("run"):
            run = record.run
            told = {"run_id": run.run_id, "project": run.project, "entity": run.entity}
            told["started"] = run.start_time.ToNanoseconds()
        rows += record.HasField("history")
        is_ended = is_ended or record.HasField("exit")
    return Piece(path=path, rows=rows, is_ended=is_ended, **told)


def write_rest(path: str, target: str, sent: int) -> None:
    """Write a file that W&B's reader takes for whole, without the rows that were sent already."""
    with open(path, "rb") as file:
        header = file.read(HEADER)
    with open(target, "wb") as file:
        file.write(header)
        position = HEADER
        for data in _without_rows(path, sent):
            for chunk in _chunks(data, position):
                file.write(chunk)
                position += len(chunk)


def records(path: str) -> Iterator[bytes]:
    """
    Give the records of a file up to its end, or to where its writer was killed.

    :raises DamagedFile: a record in it was changed
    """
    with open(path, "rb") as file:
        if len(file.read(HEADER)) < HEADER:
            return
        parts = b""
        while True:
            left = BLOCK - file.tell() % BLOCK
            if left < CHUNK_HEAD:
                file.seek(left, os.SEEK_CUR)
                continue
            head = file.read(CHUNK_HEAD)
            if len(head) < CHUNK_HEAD or not any(head):
                return
            check, length, kind = struct.unpack("<IHB", head)
            data = file.read(length)
            if len(data) < length:
                return
            if zlib.crc32(bytes([kind]) + data) != check:
                raise DamagedFile("the file is damaged before byte %d" % file.tell())
            parts = data if kind in (FULL, FIRST) else parts + data
            if kind in (FULL, LAST):
                yield parts


def _without_rows(path: str, count: int) -> Iterable[bytes]:
    for data in records(path):
        if count and _parsed(data).HasField("history"):
            count -= 1
        else:
            yield data


def _chunks(data: bytes, position: int) -> Iterator[bytes]:
    is_first = True
    while is_first or data:
        left = BLOCK - position % BLOCK
        if left < CHUNK_HEAD:
            yield b"\0" * left
            position += left
            continue
        part, data = data[: left - CHUNK_HEAD], data[left - CHUNK_HEAD :]
        kind = (FIRST if data else FULL) if is_first else (MIDDLE if data else LAST)
        yield struct.pack("<IHB", zlib.crc32(bytes([kind]) + part), len(part), kind) + part
        position += CHUNK_HEAD + len(part)
        is_first = False


def _parsed(data: bytes) -> Any:
    from wandb.proto import wandb_internal_pb2

    record = wandb_internal_pb2.Record()
    try:
        record.ParseFromString(data)
    except Exception as error:
        raise DamagedFile("a record is unreadable: %s" % error) from error
    return record
