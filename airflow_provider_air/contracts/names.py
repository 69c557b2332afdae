"""How task instances are named, and the ways to make a name of any text."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

OUR_METADATA = (
    "air_deployment",
    "air_task",
    "air_ledger",
    "air_generation",
    "air_attempt",
    "air_try",
    # Nobody waits for the job, which goes on when its task is over.
    "air_detached",
)
"""The keys of what a job's metadata says of its task instance; an author's own never are one of these."""


def slug(text: str, limit: int) -> str:
    """Reduce a text to lower-case letters, digits and dashes; ``limit`` is in characters. For people: not unique."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:limit].strip("-").lower() or "x"


def digest(*parts: object, length: int = 8) -> str:
    """Give a short stable hash of some parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:length]


def named(text: str, limit: int) -> str:
    """
    Make any text a name of at most ``limit`` characters: readable first, and a digest of the whole text always.

    Two texts never share a name because they were cut, or because their letters are no ASCII.
    """
    tail = digest(text)
    return f"{slug(text, limit - len(tail) - 1)}-{tail}"


def fitted(text: str, limit: int) -> str:
    """Keep a text that is a name as it is; make any other one :func:`named`, so that nothing of it is lost."""
    return text if text == slug(text, limit) else named(text, limit)


@dataclass(frozen=True)
class TaskKey:
    """
    One task instance of one Airflow deployment, whatever its try.

    :param map_index: -1 where the task is not mapped
    """

    deployment: str
    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        mapped = "" if self.map_index < 0 else f"[{self.map_index}]"
        return f"{self.dag_id}/{self.run_id}/{self.task_id}{mapped}"
