"""The embedded cluster as a back end: starts, adopts, describes and deletes supervised heads on this host."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import psutil

from airflow_provider_air.clusters.host import base_folder
from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.clusters.local.head import clean_environment, search_path
from airflow_provider_air.clusters.local.home import (
    ClusterHome,
    ClusterRecord,
    StateRecord,
    host_id,
    list_clusters,
)
from airflow_provider_air.clusters.local.installers import check_installer
from airflow_provider_air.clusters.local.launching import clear, launch, lease_of, require_ray
from airflow_provider_air.clusters.local.probe import HeadProbe
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.clusters.naming import cluster_name, name_to_find
from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.clusters.watching import watch_by_looking
from airflow_provider_air.contracts.clusters import (
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ListedCluster,
)
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError, ProtocolError
from airflow_provider_air.ray_api.transport import Transport

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobBackend, JobRequest
    from airflow_provider_air.contracts.runs import AttemptInfo, Clock
    from airflow_provider_air.contracts.serving import ServeBackend

NAME_LENGTH = 40


class LocalBackend:
    """
    Have Ray clusters on this host, each with a supervisor of its own.

    Every call runs where the cluster runs: on another host it raises ConfigurationError.

    :param connections: not needed: a local cluster's token lies on disk
    """

    has_fixed_size: ClassVar[bool] = True

    def __init__(self, connections: Connections | None = None) -> None:
        pass

    def name_of(self, spec: LocalCluster, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """
        Name the cluster by the spec's own name, else by the task instance, to which it then belongs.

        :raises ConfigurationError: the spec is wrong
        """
        spec.validate()
        return _ref(cluster_name(spec.name, key, NAME_LENGTH), owned=spec.name is None)

    def check(self, target: ClusterSpec | ClusterRef, request: JobRequest) -> None:
        """
        Refuse a runtime environment for which the head's Python has no installer.

        :raises ConfigurationError: it has none, or the cluster belongs to another host
        """
        python: str | None = None
        variables: Mapping[str, str] | None = None
        if isinstance(target, LocalCluster):
            python = target.interpreter()
            inherited = clean_environment(os.environ, target.pass_env)
            variables = {**inherited, "PATH": search_path(python, inherited), **target.env_vars}
        elif isinstance(target, ClusterRef) and (cluster := _open(target).cluster()) is not None:
            python = cluster.spec["python"]
        if python is not None:
            for environment in request.environments:
                check_installer(python, environment, variables)

    def ensure(
        self, spec: LocalCluster, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """
        Adopt the cluster of this name if it lives and matches, else start it.

        An adopted cluster takes over the time-outs of ``spec`` and counts as used just now. One that is being deleted
        is waited for and started anew.

        :raises ConfigurationError: a live cluster of this name has another spec, the spec is wrong, or Ray is missing
        :raises ClusterFailedError: the supervisor did not start
        """
        spec.validate()
        require_ray(spec.interpreter())
        home = _open(ref)
        made = _ref(ref.name, owned=ref.owned)
        with home.lock():
            if not _is_alive(home, ref.name):
                launch(home, spec, made, owner)
                return made
            cluster = home.cluster()
            if cluster is None or cluster.fingerprint != spec.fingerprint():
                raise ConfigurationError(
                    f"The local cluster {ref.name!r} lives and was made from another spec",
                    where=str(home.folder),
                    hint="Use the spec it was made from, choose another name, or delete the cluster first",
                )
            lease_of(spec, home.lease()).write(home.lease_file)
        return made

    def find(self, spec: LocalCluster) -> ClusterRef:
        """:raises ConfigurationError: the spec has no name, so that each task has a cluster of its own."""
        return _ref(name_to_find(spec.name, NAME_LENGTH))

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """Give the clusters of this user on this host, also failed ones."""
        homes = [(home, home.cluster()) for home in list_clusters()]
        listed = [_listed(home, cluster) for home, cluster in homes if cluster is not None]
        return [item for item in listed if owner is None or _is_of(item.owner, owner)]

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Report the state now; READY means that the next job can be submitted without delay.

        :raises ConfigurationError: the cluster belongs to another host
        """
        home = _open(ref)
        cluster, token = home.cluster(), home.token()
        supervised = home.supervisor() is not None
        status = judge(home.state(), exists=cluster is not None, supervised=supervised, is_to_go=home.is_to_go())
        if status.state is not ClusterState.READY or cluster is None or token is None:
            return status
        session_name = HeadProbe(cluster.ports, token, timeout_seconds=5).session_name()
        if session_name is None:
            return ClusterStatus(ClusterState.STARTING, "the head does not answer at the moment")
        return dataclasses.replace(status, incarnation=session_name)

    def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """Look adaptively, together with all that wait for it."""
        return watch_by_looking((ref.backend, ref.name), lambda: self.describe(ref), clock)

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """Put off the end of its ``ttl_seconds``; nothing where it is absent."""
        home = _open(ref)
        if home.lease() is None:
            return
        with home.lock():
            lease = home.lease()
            if lease is not None:
                kept_until = max(lease.kept_until, time.time() + seconds)
                dataclasses.replace(lease, kept_until=kept_until).write(home.lease_file)

    def delete(self, ref: ClusterRef) -> None:
        """
        Ask its supervisor to go; ABSENT then means that its processes, ports and folder are gone.

        Where the supervisor is dead, what it left is removed here, which takes some seconds. By a ref with a ``uid``,
        another cluster of the same name stays.

        :raises ConfigurationError: the cluster belongs to another host
        :raises ClusterFailedError: processes are left that cannot be killed
        """
        home = _open(ref)
        # Who may take any of this name does so without a lock, as in a signal handler.
        if not ref.uid and _ask_to_go(home):
            return
        with home.lock():
            # Somebody may have started it anew before we got the lock.
            if not _is_another(home, ref) and not _ask_to_go(home):
                clear(home)
                home.remove_lock()

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """Give the deletion: nothing but this host is asked."""
        return lambda: self.delete(ref)

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """Give what lies in its folder."""
        home = _open(ref)
        cluster, lease, state = home.cluster(), home.lease(), home.state()
        if cluster is None:
            return {}
        return {
            "deployment": cluster.owner.get("deployment", ""),
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(cluster.created_at)),
            "idle_timeout_seconds": lease.idle_timeout_seconds if lease else "",
            "head_restarts": state.restarts if state else 0,
            "folder": str(home.folder),
            "head_log": str(home.head_log),
        }

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

    def jobs(self, ref: ClusterRef) -> JobBackend:
        """Give its Jobs API."""
        return JobsApi(ref, self.open_transport)

    def serving(self, ref: ClusterRef) -> ServeBackend:
        """Give its Serve, by REST and driver jobs."""
        return ServeRest(ref, self.open_transport)


def judge(state: StateRecord | None, *, exists: bool, supervised: bool, is_to_go: bool = False) -> ClusterStatus:
    """Decide what the files of a cluster and the life of its supervisor mean."""
    if not exists:
        return ClusterStatus(ClusterState.ABSENT)
    if state is not None and state.state == "failed":
        return ClusterStatus(ClusterState.FAILED, state.message)
    if not supervised:
        return ClusterStatus(ClusterState.FAILED, "its supervisor died; ensure or delete it to clean up")
    if is_to_go:
        return ClusterStatus(ClusterState.DELETING, "it is being deleted")
    if state is None:
        return ClusterStatus(ClusterState.STARTING, "its supervisor is starting")
    if state.state == "stopping":
        return ClusterStatus(ClusterState.DELETING, state.message)
    found = ClusterState.READY if state.state == "ready" else ClusterState.STARTING
    return ClusterStatus(found, state.message)


def _open(ref: ClusterRef) -> ClusterHome:
    here, there = host_id(base_folder()), ref.details.get("host")
    # The word goes with the base folder when a host starts anew, and the clusters with it: then the host's name tells.
    # Refs of earlier versions tell neither.
    if there not in (None, here) and ref.details.get("hostname") != socket.gethostname():
        raise ConfigurationError(
            f"The local cluster {ref.name!r} lives on host {ref.details.get('hostname')!r} and cannot be used "
            f"from {socket.gethostname()!r}",
            hint="Run all of Airflow on that host, or use a cluster that every worker can reach",
        )
    return ClusterHome.of(ref.name)


def _ref(name: str, *, owned: bool = False) -> ClusterRef:
    details = {"host": host_id(base_folder()), "hostname": socket.gethostname()}
    return ClusterRef(LocalCluster.backend, name, details, owned)


def _is_alive(home: ClusterHome, name: str) -> bool:
    """Tell whether a cluster lives in this folder; call it under the lock, which the supervisor respects."""
    cluster = home.cluster()
    if cluster is not None and cluster.name != name:
        raise ConfigurationError(
            f"The names {name!r} and {cluster.name!r} have the same digest", hint="Choose another name"
        )
    supervised = home.supervisor() is not None
    status = judge(home.state(), exists=cluster is not None, supervised=supervised, is_to_go=home.is_to_go())
    return status.state in (ClusterState.STARTING, ClusterState.READY)


def _is_another(home: ClusterHome, ref: ClusterRef) -> bool:
    """Tell whether the cluster in this folder has the name, but is not the one that is meant."""
    cluster = home.cluster()
    return bool(ref.uid) and cluster is not None and cluster.uid != ref.uid


def _ask_to_go(home: ClusterHome) -> bool:
    """Ask the supervisor; False where there is none, or it has given up and may not have heard."""
    supervisor = home.supervisor()
    if supervisor is None:
        return False
    home.ask_for_deletion()
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor.terminate()
    return home.supervisor() is not None


def _listed(home: ClusterHome, cluster: ClusterRecord) -> ListedCluster:
    lease = home.lease()
    kept_until = (lease.kept_until or None) if lease is not None else None
    expires_at = None
    if lease is not None and lease.ttl_seconds is not None:
        expires_at = max(cluster.created_at + lease.ttl_seconds, lease.kept_until)
    return ListedCluster(
        dataclasses.replace(_ref(cluster.name, owned=cluster.owned), uid=cluster.uid),
        _owner_of(cluster.owner),
        created_at=cluster.created_at,
        seen_at=time.time(),
        expires_at=expires_at,
        leased_until=kept_until,
        is_of_run=cluster.owned,
        going="its supervisor ends it" if home.is_to_go() and home.supervisor() is not None else "",
    )


def _owner_of(data: Mapping[str, Any]) -> ClusterOwner:
    deployment = str(data.get("deployment", ""))
    try:
        return ClusterOwner(deployment, fields_of(TaskKey, data))
    except ProtocolError:
        # Nobody in particular asked for it, or an earlier version wrote less down.
        return ClusterOwner(deployment)


def _is_of(one: ClusterOwner, owner: ClusterOwner) -> bool:
    return one.deployment == owner.deployment and owner.key in (None, one.key)
