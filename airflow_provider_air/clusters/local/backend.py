"""The embedded cluster as a backend: creates, adopts, describes and deletes supervised heads on this host."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import secrets
import socket
import subprocess
import sys
import time

from airflow_provider_air.clusters.contract import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
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
    StateRecord,
    base_folder,
    list_clusters,
    lock_base,
)
from airflow_provider_air.clusters.local.probe import HeadProbe
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import (
    ClusterFailedError,
    ClusterNotReadyError,
    ConfigurationError,
    DeadlineExceededError,
    MissingExtraError,
)
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import wait_until

_STOP_SECONDS = 60.0
_LAUNCH_SECONDS = 30.0


class LocalBackend:
    """
    Have Ray clusters on this host, each with a supervisor of its own.

    Every call runs where the cluster runs: on another host it raises ConfigurationError.
    """

    def create(self, spec: LocalCluster, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """
        Start a new cluster and return at once, before it is ready; what a dead one left is removed first.

        :raises ConfigurationError: a cluster of this name lives already, the spec is wrong, or Ray is missing
        :raises ClusterFailedError: the supervisor did not start
        """
        _check(spec, name)
        home = ClusterHome.of(name)
        with home.lock():
            if _is_alive(home, name):
                raise ConfigurationError(
                    f"A local cluster named {name!r} exists already",
                    where=str(home.folder),
                    hint="Delete it, choose another name, or ensure it instead of creating it",
                )
            return _launch(home, spec, name, owner)

    def ensure(self, spec: LocalCluster, *, name: str, owner: ClusterOwner) -> ClusterRef:
        """
        Adopt the cluster of this name if it lives and matches, else create it.

        An adopted cluster takes over the time-outs of ``spec`` and counts as used just now.

        :raises ConfigurationError: a live cluster of this name has another spec, or as ``create``
        :raises ClusterFailedError: the supervisor did not start
        """
        _check(spec, name)
        home = ClusterHome.of(name)
        with home.lock():
            if not _is_alive(home, name):
                return _launch(home, spec, name, owner)
            cluster = home.cluster()
            if cluster is None or cluster.fingerprint != spec.fingerprint():
                raise ConfigurationError(
                    f"The local cluster {name!r} lives and was made from another spec",
                    where=str(home.folder),
                    hint="Use the spec it was made from, choose another name, or delete the cluster first",
                )
            _lease(spec).write(home.lease_file)
            return _ref(name)

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Report the state now; READY means that the next job can be submitted without delay.

        :raises ConfigurationError: the cluster belongs to another host
        """
        home = _open(ref)
        cluster, token = home.cluster(), home.token()
        status = judge(home.state(), exists=cluster is not None, supervised=home.supervisor() is not None)
        if status.state is not ClusterState.READY or cluster is None or token is None:
            return status
        if HeadProbe(cluster.ports, token, timeout_seconds=5).answers():
            return status
        return ClusterStatus(ClusterState.STARTING, "the head does not answer at the moment")

    def delete(self, ref: ClusterRef) -> None:
        """
        Delete the cluster, and return when its processes, ports and folder are gone; absent is fine.

        :raises ConfigurationError: the cluster belongs to another host
        :raises ClusterFailedError: processes are left that cannot be killed
        """
        home = _open(ref)
        with home.lock():
            _clear(home)
            home.remove_lock()

    def open_transport(self, ref: ClusterRef) -> Transport:
        """
        Give the address and the token, read from disk at each use.

        :raises ConfigurationError: the cluster belongs to another host
        :raises ClusterNotReadyError: there is no such cluster, or no more
        """
        home = _open(ref)
        cluster, token = home.cluster(), home.token()
        if cluster is None or token is None:
            raise ClusterNotReadyError(
                f"There is no local cluster {ref.name!r} (any more)",
                where=str(home.folder),
                hint="It was deleted, expired or was never created",
            )
        return Transport(f"http://127.0.0.1:{cluster.ports['dashboard']}", token=token)

    def attach_job(self, ref: ClusterRef, submission_id: str) -> None:
        """Do nothing: a local cluster need not know its jobs."""

    def find(self, name: str) -> ClusterRef:
        """Name the cluster of this name on this host, whether it lives or not."""
        return _ref(name)

    def list_refs(self) -> list[ClusterRef]:
        """List the clusters of this user on this host, dead ones included; for the command line."""
        clusters = [home.cluster() for home in list_clusters()]
        return [_ref(cluster.name) for cluster in clusters if cluster is not None]


def judge(state: StateRecord | None, *, exists: bool, supervised: bool) -> ClusterStatus:
    """Decide what the files of a cluster and the life of its supervisor mean."""
    if not exists:
        return ClusterStatus(ClusterState.ABSENT)
    if state is not None and state.state == "failed":
        return ClusterStatus(ClusterState.FAILED, state.message)
    if not supervised:
        return ClusterStatus(ClusterState.FAILED, "its supervisor died; ensure or delete it to clean up")
    if state is None:
        return ClusterStatus(ClusterState.STARTING, "its supervisor is starting")
    if state.state == "stopping":
        return ClusterStatus(ClusterState.ABSENT, state.message)
    found = ClusterState.READY if state.state == "ready" else ClusterState.STARTING
    return ClusterStatus(found, state.message)


def _check(spec: LocalCluster, name: str) -> None:
    spec.validate()
    if not name.strip():
        raise ConfigurationError("A local cluster needs a name", hint="Set name= on LocalCluster")
    _require_ray(spec.interpreter())


def _require_ray(python: str) -> None:
    """Look for Ray without importing it, so that its absence is told before anything starts."""
    if python == sys.executable:
        try:
            importlib.metadata.version("ray")
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtraError("ray", "ray") from None
        return
    question = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ray') is None)"
    try:
        found = subprocess.run([python, "-c", question], capture_output=True, timeout=_LAUNCH_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"LocalCluster(python={python!r}) is wrong: {error}", hint="Give the path of a Python interpreter"
        ) from error
    if found.returncode:
        raise ConfigurationError(
            f"Ray is not installed in the interpreter LocalCluster(python={python!r})",
            hint=f"Install it with: {python} -m pip install 'ray[default]'",
        )


def _open(ref: ClusterRef) -> ClusterHome:
    here = socket.gethostname()
    if ref.host != here:
        raise ConfigurationError(
            f"The local cluster {ref.name!r} lives on host {ref.host!r} and cannot be used from {here!r}",
            hint="Run all of Airflow on that host, or use a cluster that every worker can reach",
        )
    return ClusterHome.of(ref.name)


def _ref(name: str) -> ClusterRef:
    return ClusterRef(backend=LocalCluster.backend, name=name, host=socket.gethostname())


def _lease(spec: LocalCluster) -> Lease:
    return Lease(
        ttl_seconds=spec.ttl_seconds,
        idle_timeout_seconds=spec.idle_timeout_seconds,
        startup_timeout_seconds=spec.startup_timeout_seconds,
        renewed_at=time.time(),
    )


def _is_alive(home: ClusterHome, name: str) -> bool:
    """Tell whether a cluster lives in this folder; call it under the lock, which the supervisor respects."""
    cluster = home.cluster()
    if cluster is not None and cluster.name != name:
        raise ConfigurationError(
            f"The names {name!r} and {cluster.name!r} have the same digest", hint="Choose another name"
        )
    state = judge(home.state(), exists=cluster is not None, supervised=home.supervisor() is not None).state
    return state in (ClusterState.STARTING, ClusterState.READY)


def _launch(home: ClusterHome, spec: LocalCluster, name: str, owner: ClusterOwner) -> ClusterRef:
    _clear(home)
    home.folder.mkdir(mode=0o700)
    home.temp_folder.mkdir()
    with open(os.open(home.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    _lease(spec).write(home.lease_file)
    with lock_base(base_folder()):
        others = [other.cluster() for other in list_clusters()]
        taken = {port for other in others if other is not None for port in other.ports.values()}
        ClusterRecord(
            name=name,
            host=socket.gethostname(),
            fingerprint=spec.fingerprint(),
            spec=spec_to_json(spec),
            owner=owner.labels(),
            ports=choose_ports(taken),
            created_at=time.time(),
        ).write(home.cluster_file)
    _start_supervisor(home)
    return _ref(name)


def _start_supervisor(home: ClusterHome) -> None:
    """Start it as a process of nobody's family, and wait until it has written down who it is."""
    command = [sys.executable, "-m", "airflow_provider_air.clusters.local.supervisor", str(home.folder)]
    with home.supervisor_log.open("ab") as log:
        try:
            subprocess.run(
                command,
                env={**clean_environment(os.environ), MARKER: str(home.folder)},
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
            _clear(home)
            raise ClusterFailedError(
                f"The supervisor of a local cluster did not start ({error}): {reason}",
                where=str(home.folder),
                hint="See that the host has free memory and processes, then try again",
            ) from error


def _clear(home: ClusterHome) -> None:
    """End whatever lives or lies in this folder; the supervisor does it best, we do it where it cannot."""
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
