"""
What a local cluster keeps on disk: one private folder per cluster, one writer per file.

``/tmp/air-<uid>/<digest of the name>/``

==================  ============================================================  =====================
file                holds                                                         written by
==================  ============================================================  =====================
``cluster.json``    name, spec, owner, host, ports, time of creation              who creates it, once
``token``           Ray's bearer token                                            who creates it, once
``delete``          nothing; that it is there says that the cluster is to go      who deletes it
``lease.json``      the time-outs in force and when somebody last asked for it    who ensures it
``supervisor.json`` process id and start time of the supervisor                   the supervisor, once
``state.json``      starting, ready, stopping or failed, and why                  the supervisor
``*.log``           the output of supervisor and head                             supervisor and head
``ray``, ``tmp``    Ray's sessions, and everybody's temporary files               what runs on the cluster
==================  ============================================================  =====================

The lock lies beside the folder, so that it outlives it. ``/tmp/air-<uid>/host`` holds a random word that tells this
host from others: names of hosts change with the network, and containers get new ones. ``places.json`` beside it is
what :mod:`airflow_provider_air.runs.places` keeps.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from airflow_provider_air.clusters.host import base_folder, take_lock
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ProtocolError


@dataclass(frozen=True)
class Record:
    """A JSON file of the folder, replaced as a whole so that no reader ever sees half of it."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read it, or give None where there is none (any more), or none that this version wrote."""
        try:
            return fields_of(cls, json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError, ValueError, ProtocolError):
            return None

    def write(self, path: Path) -> None:
        """Replace it; only its owner may read it."""
        draft = path.with_suffix(f".{os.getpid()}")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file)
        draft.rename(path)


@dataclass(frozen=True)
class ClusterRecord(Record):
    """
    What the cluster is; the same for all its life.

    :param host: the host's name, for people
    :param owner: ``deployment``, and what names the task instance where there is one
    :param owned: whether it belongs to one task
    :param uid: tells it from others that have, had and will have this name; empty in what an earlier version wrote
    """

    name: str
    host: str
    fingerprint: str
    spec: Mapping[str, Any]
    owner: Mapping[str, Any]
    ports: Mapping[str, int]
    created_at: float
    owned: bool = False
    uid: str = ""


@dataclass(frozen=True)
class Lease(Record):
    """
    How long the cluster may live.

    :param renewed_at: counts as activity
    :param kept_until: epoch seconds until which somebody counts on it: before, ``ttl_seconds`` does not end it
    """

    ttl_seconds: float | None
    idle_timeout_seconds: float | None
    startup_timeout_seconds: float
    renewed_at: float
    kept_until: float = 0.0


@dataclass(frozen=True)
class SupervisorRecord(Record):
    """Which process supervises the cluster; the start time tells it from a later one of the same id."""

    pid: int
    create_time: float

    def process(self) -> psutil.Process | None:
        """Give the process if it lives."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            # The boot time, which psutil counts from, moves a little when the clock is set.
            same = abs(process.create_time() - self.create_time) < 2
        except psutil.NoSuchProcess:
            return None
        return process if alive and same else None


@dataclass(frozen=True)
class StateRecord(Record):
    """What the supervisor says about the cluster: ``starting``, ``ready``, ``stopping`` or ``failed``."""

    state: str
    message: str = ""
    head_pid: int | None = None
    restarts: int = 0


class ClusterHome:
    """
    The folder of one cluster.

    :param folder: ``<base>/<digest>``; it need not exist
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster_file = folder / "cluster.json"
        self.lease_file = folder / "lease.json"
        self.supervisor_file = folder / "supervisor.json"
        self.state_file = folder / "state.json"
        self.token_file = folder / "token"
        self.delete_file = folder / "delete"
        self.supervisor_log = folder / "supervisor.log"
        self.head_log = folder / "head.log"
        self.ray_folder = folder / "ray"
        self.temp_folder = folder / "tmp"
        self.lock_file = folder.with_suffix(".lock")

    @classmethod
    def of(cls, name: str) -> ClusterHome:
        """Give the home of the cluster of this name, whether it exists or not."""
        return cls(base_folder() / hashlib.sha256(name.encode()).hexdigest()[:8])

    def cluster(self) -> ClusterRecord | None:
        """Read what the cluster is, or None where there is none."""
        return ClusterRecord.read(self.cluster_file)

    def lease(self) -> Lease | None:
        """Read how long it may live."""
        return Lease.read(self.lease_file)

    def state(self) -> StateRecord | None:
        """Read what its supervisor says."""
        return StateRecord.read(self.state_file)

    def supervisor(self) -> psutil.Process | None:
        """Give the supervisor's process if it lives."""
        record = SupervisorRecord.read(self.supervisor_file)
        return record.process() if record else None

    def token(self) -> str | None:
        """Read the cluster's bearer token."""
        try:
            return self.token_file.read_text()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def ask_for_deletion(self) -> None:
        """Write down that the cluster is to go."""
        with contextlib.suppress(FileNotFoundError):
            self.delete_file.touch(mode=0o600)

    def is_to_go(self) -> bool:
        """Tell whether somebody wants it deleted."""
        return self.delete_file.exists()

    def remove(self) -> None:
        """Remove the folder; at once for all who look, since it is renamed before its last files go."""
        for large in (self.ray_folder, self.temp_folder):
            shutil.rmtree(large, ignore_errors=True)
        doomed = self.folder.with_suffix(f".gone-{os.getpid()}")
        try:
            self.folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def remove_lock(self) -> None:
        """Remove the lock's file; call it while holding the lock."""
        self.lock_file.unlink(missing_ok=True)

    @contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """
        Hold the cluster's lock: whoever creates, adopts, expires or deletes it does so alone.

        :param wait: False gives up at once; the value of the ``with`` tells whether the lock is held
        """
        lock = take_lock(self.lock_file, wait=wait)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                os.close(lock)


def host_id(base: Path) -> str:
    """Give the word that tells this base folder, and so this host, from any other; it is made when first asked for."""
    file = base / "host"
    if not file.exists():
        draft = base / f"host.{secrets.token_hex(8)}"
        draft.write_text(secrets.token_hex(8))
        # A link, unlike a renaming, replaces nothing: whoever comes second takes what the first one wrote.
        with contextlib.suppress(FileExistsError):
            file.hardlink_to(draft)
        draft.unlink()
    return file.read_text()


def list_clusters() -> list[ClusterHome]:
    """List the homes of all local clusters of this user, dead ones included."""
    homes = (ClusterHome(path.parent) for path in sorted(base_folder().glob("*/cluster.json")))
    return [home for home in homes if ".gone-" not in home.folder.name]
