"""Real clusters for tests: made when asked for, gone at the end of the ``with``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_air.clusters.local import processes
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.errors import ClusterFailedError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import wait_until

OWNER = ClusterOwner(deployment="tests")
BACKEND = LocalBackend()


def ensure(spec: LocalCluster, name: str) -> ClusterRef:
    """Adopt or start a cluster of this name."""
    named = LocalCluster(**{**vars(spec), "name": name})
    return BACKEND.ensure(named, BACKEND.find(named), owner=OWNER)


def known() -> set[str]:
    """Give the names of the local clusters that are there in any way."""
    return {listed.ref.name for listed in BACKEND.list()}


def delete(ref: ClusterRef) -> None:
    """Delete a cluster, and wait until nothing of it is left."""
    wait_until_gone(BACKEND, ref, timeout_seconds=300)
    home = ClusterHome.of(ref.name)
    # Its supervisor ends right after it has removed the folder.
    wait_until(
        lambda: not (processes.of_cluster(home.folder) or home.lock_file.exists()) or None,
        what=f"The end of the supervisor of {ref.name}",
        timeout_seconds=300,
    )


def wait_for_state(ref: ClusterRef, *states: ClusterState, timeout_seconds: float = 400.0) -> ClusterState:
    """Wait until the cluster is in one of these states; a failure that was not asked for raises at once."""

    def look() -> ClusterState | None:
        status = BACKEND.describe(ref)
        if status.state in states:
            return status.state
        if status.state is ClusterState.FAILED:
            raise ClusterFailedError(status.message, where=ref.name)
        return None

    return wait_until(
        look,
        what=f"The cluster {ref.name} in one of {[state.value for state in states]}",
        timeout_seconds=timeout_seconds,
        last_state=lambda: str(BACKEND.describe(ref)),
    )


@contextmanager
def local_cluster(name: str, **spec: Any) -> Iterator[tuple[ClusterRef, Transport]]:
    """
    Have a ready local cluster of this name and spec; it and all its processes are gone afterwards.

    :param spec: fields of LocalCluster; two logical CPUs and 256 MiB of object store by default
    """
    ref = ensure(LocalCluster(**{"num_cpus": 2, "object_store_memory_bytes": 256 * 1024 * 1024, **spec}), name)
    try:
        wait_for_state(ref, ClusterState.READY)
        yield ref, BACKEND.open_transport(ref)
    finally:
        delete(ref)
