"""Starts a local cluster's supervisor, and clears up where none is left to do it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.host import base_folder, lock_base
from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.head import (
    MARKER,
    choose_ports,
    clean_environment,
    explain_death,
    spec_to_json,
)
from airflow_provider_air.clusters.local.home import (
    ClusterHome,
    ClusterRecord,
    Lease,
    list_clusters,
)
from airflow_provider_air.errors import (
    ClusterFailedError,
    ConfigurationError,
    DeadlineExceededError,
    MissingExtraError,
)
from airflow_provider_air.waiting import wait_until

if TYPE_CHECKING:
    from airflow_provider_air.clusters.local.spec import LocalCluster
    from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef

OLDEST_RAY = (2, 52)
"""The first one with tokens; without, whoever reaches a head's ports has it run anything."""

_STOP_SECONDS = 60.0
_LAUNCH_SECONDS = 30.0


def require_ray(python: str) -> None:
    """
    Look for Ray without importing it, so that its absence is told before anything starts.

    :raises ConfigurationError: it is not installed there, that is no interpreter, or it is a Ray that lets everybody in
    """
    version = _version_here() if python == sys.executable else _version_of(python)
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_RAY:
        raise ConfigurationError(
            f"Ray {version} knows no tokens: whoever reaches its ports could run code as the user of Airflow",
            where=python,
            hint="Install Ray {}.{} or newer there".format(*OLDEST_RAY),
        )


def _version_here() -> str:
    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError("ray", "ray") from None


def _version_of(python: str) -> str:
    question = "import importlib.metadata; print(importlib.metadata.version('ray'))"
    try:
        told = subprocess.run(
            [python, "-c", question], capture_output=True, text=True, timeout=_LAUNCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"LocalCluster(python={python!r}) is wrong: {error}", hint="Give the path of a Python interpreter"
        ) from error
    if told.returncode:
        raise ConfigurationError(
            f"Ray is not installed in the interpreter LocalCluster(python={python!r})",
            hint=f"Install it with: {python} -m pip install 'ray[default]'",
        )
    return told.stdout.strip()


def lease_of(spec: LocalCluster, before: Lease | None = None) -> Lease:
    """
    Give the time-outs of a spec, counted as used just now.

    :param before: the lease that it replaces; what was promised by ``extend`` stays so
    """
    return Lease(
        ttl_seconds=spec.ttl_seconds,
        idle_timeout_seconds=spec.idle_timeout_seconds,
        startup_timeout_seconds=spec.startup_timeout_seconds,
        renewed_at=time.time(),
        kept_until=before.kept_until if before else 0.0,
    )


def launch(home: ClusterHome, spec: LocalCluster, ref: ClusterRef, owner: ClusterOwner) -> None:
    """
    Write a new cluster down and start its supervisor; what a dead one left is removed first. Hold the lock.

    :raises ClusterFailedError: the supervisor does not start, or what is left does not end
    """
    clear(home)
    home.folder.mkdir(mode=0o700)
    home.temp_folder.mkdir()
    with open(os.open(home.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    lease_of(spec).write(home.lease_file)
    with lock_base(base_folder()):
        others = [other.cluster() for other in list_clusters()]
        taken = {port for other in others if other is not None for port in other.ports.values()}
        ClusterRecord(
            name=ref.name,
            host=socket.gethostname(),
            fingerprint=spec.fingerprint(),
            spec=spec_to_json(spec),
            owner=_owner_to_json(owner),
            ports=choose_ports(taken),
            created_at=time.time(),
            owned=ref.owned,
            uid=secrets.token_hex(8),
        ).write(home.cluster_file)
    _start_supervisor(home, spec)


def _owner_to_json(owner: ClusterOwner) -> dict[str, Any]:
    key = {} if owner.key is None else asdict(owner.key)
    return {**key, "deployment": owner.deployment}


def _start_supervisor(home: ClusterHome, spec: LocalCluster) -> None:
    """Start it as a process of nobody's family, and wait until it has written down who it is."""
    command = [sys.executable, "-m", "airflow_provider_air.clusters.local.supervisor", str(home.folder)]
    with home.supervisor_log.open("ab") as log:
        try:
            subprocess.run(
                command,
                env={**clean_environment(os.environ, spec.pass_env), MARKER: str(home.folder)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=_LAUNCH_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            reason = explain_death(home.supervisor_log.read_text(errors="replace"))
            clear(home)
            raise ClusterFailedError(
                f"The supervisor of a local cluster did not start ({error}): {reason}",
                where=str(home.folder),
                hint="See that the host has free memory and processes, then try again",
            ) from error


def clear(home: ClusterHome) -> None:
    """
    End whatever lives or lies in this folder; the supervisor does it best, we do it where it cannot. Hold the lock.

    :raises ClusterFailedError: processes are left that cannot be killed
    """
    supervisor = home.supervisor()
    if supervisor is not None:
        supervisor.terminate()
        with contextlib.suppress(DeadlineExceededError):
            wait_until(
                lambda: home.supervisor() is None or None,
                what="The end of the supervisor",
                timeout_seconds=_STOP_SECONDS,
            )
    if left := processes.kill_cluster(home.folder):
        raise ClusterFailedError(
            f"Processes {left} of the local cluster do not end", where=str(home.folder), hint="Kill them"
        )
    home.remove()
