"""
Whose the files are that runs leave in a storage: a mark beside them, written before they are.

A file's own name tells neither the deployment nor the DAG run. A mark is a small JSON file, one for each user of a
thing: ``air-marks/<kind>/<digest of the deployment>/<name of the thing>/<user>.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_air.contracts.names import TaskKey, digest
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.storage import Storage

FOLDER = "air-marks"
Kind = Literal["code", "rows", "result"]


@dataclass(frozen=True)
class Mark:
    """
    One use of one thing in a storage.

    :param kind: ``code`` is a package, ``rows`` what was joined for a run, ``result`` what a job reported
    :param name: of the package, the run, the job
    """

    kind: Kind
    name: str
    key: TaskKey

    @property
    def path(self) -> str:
        """Where it is, below the storage's root: the same for all attempts of a task instance."""
        return f"{folder_of(self.kind, self.key.deployment)}/{self.name}/{digest(self.key, length=16)}.json"

    def write(self, storage: Storage) -> None:
        """Write it, also where it is there: its time says when the thing was used last."""
        storage.put(self.path, json.dumps({"version": 1, "key": asdict(self.key)}).encode())


def folder_of(kind: Kind, deployment: str) -> str:
    """Name the folder of a deployment's marks."""
    return f"{FOLDER}/{kind}/{digest(deployment, length=16)}"


def thing_of(path: str) -> str:
    """Read from a mark's path which thing it is about."""
    return path.split("/")[-2]


def key_at(storage: Storage, path: str) -> TaskKey | None:
    """
    Read for which task instance a mark was written; None where it is gone.

    :raises ProtocolError: this is no mark
    """
    data = storage.read(path)
    if data is None:
        return None
    try:
        told = json.loads(data)
        return fields_of(TaskKey, told["key"])
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"This is no mark of ours: {error}", where=storage.uri(path)) from None
