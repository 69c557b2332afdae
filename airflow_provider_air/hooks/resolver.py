"""
Which cluster a task uses: the one place that decides it.

``cluster=`` on the operator wins; else the enclosing ``RayClusterTaskGroup`` (it sets ``cluster=``); else
``ray_conn_id``, whose connection names a back end; else the connection ``ray_default``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from airflow.sdk import conf

from airflow_provider_air.clusters.contract import ClusterBackend, ClusterRef, ClusterSpec
from airflow_provider_air.clusters.existing import ExistingCluster
from airflow_provider_air.clusters.registry import build_spec, open_backend
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.connections import extra_of
from airflow_provider_air.hooks.ray import (
    RayHook,
    aget_ray_connection,
    get_ray_connection,
    transport_of,
)
from airflow_provider_air.identity import TaskKey, digest, slug
from airflow_provider_air.ray_api.feed import ClusterFeed, borrow_feed
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import backoff_seconds

CLUSTER_NAME_LENGTH = 40

# How long a trigger tries to open a cluster whose address or connection is not there.
OPEN_SECONDS = 60.0


def deployment_id() -> str:
    """
    Name this Airflow deployment, so that two of them on one Ray cluster never touch each other's jobs.

    Option ``[air] deployment``; else a hash of the API's addresses, which differ between deployments.
    """
    named = conf.get("air", "deployment", fallback="")
    if named:
        return str(named)
    places = [("api", "base_url"), ("core", "execution_api_server_url"), ("core", "fernet_key")]
    return digest(*(conf.get(section, key, fallback="") for section, key in places), length=12)


def backend_of(name: str) -> ClusterBackend:
    """
    Give a cluster backend; for workers.

    :raises ConfigurationError: there is no such backend
    """
    return open_backend(name, lambda ray_conn_id: transport_of(get_ray_connection(ray_conn_id)))


def resolve(cluster: Any, ray_conn_id: str | None) -> ClusterSpec | ClusterRef:
    """
    Decide which cluster is meant; reads a connection at most, starts nothing.

    :param cluster: a spec, a :class:`ClusterRef`, its JSON form from an XCom, or None
    :raises ConfigurationError: the argument or the connection is wrong
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
    ray_conn_id = RayHook.default_conn_name if ray_conn_id is None else ray_conn_id
    if not isinstance(ray_conn_id, str) or not ray_conn_id.strip():
        raise ConfigurationError(
            f"'ray_conn_id' must be the id of a connection, not {ray_conn_id!r}", hint="Leave it out for ray_default"
        )
    return _of_connection(ray_conn_id)


def _of_connection(ray_conn_id: str) -> ClusterSpec:
    connection = get_ray_connection(ray_conn_id)
    extra = extra_of(connection)
    backend = extra.get("backend") or ExistingCluster.backend
    if backend == ExistingCluster.backend:
        transport_of(connection)
        return ExistingCluster(ray_conn_id)
    fields = extra.get("cluster") or {}
    if not isinstance(fields, Mapping):
        raise ConfigurationError(
            "'cluster' must be an object of the cluster's fields", where=f"connection {ray_conn_id}"
        )
    spec = build_spec(str(backend), dict(fields))
    spec.validate()
    return spec


def cluster_name(spec: ClusterSpec, key: TaskKey) -> str:
    """
    Name a cluster: by its spec, else by dag, run, task or group and map index, never by the generation.

    So a retry and a clear find the same cluster again.
    """
    if spec.name:
        return slug(spec.name, CLUSTER_NAME_LENGTH)
    readable = f"{slug(key.dag_id, 16)}-{slug(key.task_id, 16)}"
    return f"{readable}-{digest(key.deployment, key, length=8)}"


async def aopen_transport(ref: ClusterRef) -> Transport:
    """
    Open a cluster for the triggerer, without blocking its event loop.

    :raises ConfigurationError: the connection is absent or malformed, or the cluster is another host's
    :raises ClusterNotReadyError: it has no address now
    """
    if ref.ray_conn_id:
        # In a thread: masking its secrets talks to the supervisor, which must not happen on the event loop.
        return await asyncio.to_thread(transport_of, await aget_ray_connection(ref.ray_conn_id))
    return await asyncio.to_thread(backend_of(ref.backend).open_transport, ref)


def open_feed(ref: ClusterRef) -> AbstractAsyncContextManager[ClusterFeed]:
    """Share the poll of this cluster with all that wait for its jobs in this event loop."""
    return borrow_feed((ref.backend, ref.name, ref.ray_conn_id), lambda: _patient_transport(ref))


async def _patient_transport(ref: ClusterRef) -> Transport:
    """Open a cluster that may be restarting: its head comes back on the same address."""
    end = time.monotonic() + OPEN_SECONDS
    for pause in backoff_seconds(0.5, 5.0):
        try:
            return await aopen_transport(ref)
        except AirError:
            if time.monotonic() + pause > end:
                raise
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")
