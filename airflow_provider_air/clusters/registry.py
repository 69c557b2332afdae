"""
Which back ends there are, and which cluster is meant.

Each back end is imported when it is first used. A new one of ours is a folder and a line here; anybody else's is an
entry point of the group :data:`ENTRY_POINTS` that names a :class:`ClusterKind`::

    [project.entry-points."airflow_provider_air.clusters"]
    moon = "moon_clusters:KIND"
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ClusterSpec
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.ray_api.transport import RayConnection

ENTRY_POINTS = "airflow_provider_air.clusters"
DEFAULT_RAY_CONN_ID = "ray_default"


@dataclass(frozen=True)
class ClusterKind:
    """
    Where a back end is, as ``module:name``, so that knowing of it imports nothing.

    :param spec: a dataclass, see :class:`~airflow_provider_air.contracts.clusters.ClusterSpec`
    :param backend: a class that takes the :class:`~airflow_provider_air.contracts.connections.Connections` and is a
        :class:`~airflow_provider_air.contracts.clusters.ClusterBackend`; a process has one, for all its threads
    """

    spec: str
    backend: str


_ROOT = "airflow_provider_air.clusters"
_OURS = {
    "existing": ClusterKind(f"{_ROOT}.existing.spec:ExistingCluster", f"{_ROOT}.existing.backend:ExistingBackend"),
    "kuberay": ClusterKind(f"{_ROOT}.kuberay.spec:KubeRayCluster", f"{_ROOT}.kuberay.backend:KubeRayBackend"),
    "local": ClusterKind(f"{_ROOT}.local.spec:LocalCluster", f"{_ROOT}.local.backend:LocalBackend"),
}


def backend_names() -> list[str]:
    """Give the names of all back ends, ours first."""
    return [*_OURS, *sorted(_others().keys() - _OURS.keys())]


def open_backend(name: str, connections: Connections) -> ClusterBackend:
    """
    Give a back end by its name.

    :raises ConfigurationError: there is none of this name, or it cannot be imported
    """
    made: ClusterBackend = _load(name, _kind(name).backend)(connections)
    return made


def build_spec(name: str, fields: Mapping[str, Any]) -> ClusterSpec:
    """
    Make a cluster spec of plain data, such as a connection's extra.

    :raises ConfigurationError: there is no such back end, or it has no such field
    """
    kind = _load(name, _kind(name).spec)
    try:
        made: ClusterSpec = kind(**fields)
    except TypeError as error:
        raise ConfigurationError(f"The cluster spec for back end {name!r} is wrong: {error}") from None
    return made


def target_of(cluster: Any, ray_conn_id: str | None, connections: Connections) -> ClusterSpec | ClusterRef:
    """
    Decide which cluster is meant; reads a connection at most, starts nothing.

    :param cluster: a spec, a :class:`ClusterRef`, its JSON form from an XCom, or None
    :param ray_conn_id: what counts where ``cluster`` is None; None for :data:`DEFAULT_RAY_CONN_ID`
    :raises ConfigurationError: the argument or the connection is wrong
    :raises ProtocolError: a mapping that names no cluster
    """
    if isinstance(cluster, ClusterRef):
        return cluster
    if isinstance(cluster, Mapping):
        return ClusterRef.from_json(cluster)
    if cluster is not None:
        if not isinstance(cluster, ClusterSpec):
            raise ConfigurationError(
                f"'cluster' must be a cluster spec such as LocalCluster(), or the XCom of a task that made one, "
                f"not {cluster!r}"
            )
        cluster.validate()
        return cluster
    ray_conn_id = DEFAULT_RAY_CONN_ID if ray_conn_id is None else ray_conn_id
    if not isinstance(ray_conn_id, str) or not ray_conn_id.strip():
        raise ConfigurationError(
            f"'ray_conn_id' must be the id of a connection, not {ray_conn_id!r}", hint="Leave it out for ray_default"
        )
    return _of_connection(ray_conn_id, connections)


def _of_connection(ray_conn_id: str, connections: Connections) -> ClusterSpec:
    said: RayConnection = connections.open("ray", ray_conn_id)
    if said.transport is not None:
        return ExistingCluster(ray_conn_id)
    spec = build_spec(said.backend, said.cluster)
    spec.validate()
    return spec


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _kind(name: str) -> ClusterKind:
    if name in _OURS:
        return _OURS[name]
    point = _others().get(name)
    if point is None:
        raise ConfigurationError(
            f"There is no cluster back end {name!r}", hint=f"Known ones: {', '.join(backend_names())}"
        )
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise _unloadable(name, point.value, error) from error
    if not isinstance(kind, ClusterKind):
        raise ConfigurationError(f"The entry point {point.value!r} of the back end {name!r} is no ClusterKind")
    return kind


def _load(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise _unloadable(name, place, error) from error


def _unloadable(name: str, place: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The cluster back end {name!r} cannot be imported: {error}", where=place, hint="Install what it needs"
    )
