"""``airflow air clusters list|show|delete``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from airflow_provider_air.cli.targets import cluster_of_connection, command, local_cluster, ray_connection_ids, show
from airflow_provider_air.clusters.contract import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.clusters.local.backend import LocalBackend
from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.resolver import backend_of
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import Node
from airflow_provider_air.ray_api.requests import list_nodes

# So many clusters are asked at once: one that does not answer costs 5 s.
AT_ONCE = 8
GIB = 1024**3


@command
def list_clusters(args: Namespace) -> None:
    """Print the local clusters of this host and the clusters behind ``ray`` connections."""
    looks: list[Callable[[], dict[str, Any]]] = [_look_at(ref) for ref in LocalBackend().list_refs()]
    try:
        looks += [_look_behind(ray_conn_id) for ray_conn_id in ray_connection_ids()]
    except AirError as error:
        # What runs on this host is still worth seeing.
        sys.stderr.write(f"{error}\n")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(lambda look: look(), looks))
    show(rows, args.output)


@command
def show_cluster(args: Namespace) -> None:
    """Print all that is known of one cluster."""
    local = {ref.name: ref for ref in LocalBackend().list_refs()}
    facts = describe_cluster(local[args.name]) if args.name in local else describe_connection(args.name)
    if args.name in local:
        facts |= _facts_on_disk(ClusterHome.of(args.name))
    is_for_people = args.output in ("table", "plain")
    show([{"field": key, "value": value} for key, value in facts.items()] if is_for_people else [facts], args.output)


@command
def delete_cluster(args: Namespace) -> None:
    """Delete a local cluster, after a question unless ``--yes`` is given."""
    ref = local_cluster(args.name)
    if not args.yes and input(f"Delete the local cluster {ref.name!r} with all its jobs? [y/N] ").lower() != "y":
        raise SystemExit("Nothing was deleted")
    backend_of(ref.backend).delete(ref)
    sys.stdout.write(f"Deleted the local cluster {ref.name}\n")


def describe_cluster(ref: ClusterRef, ray_conn_id: str = "") -> dict[str, Any]:
    """Give a cluster's row; what cannot be learnt now is empty, and the message says why."""
    address, nodes = "", list[Node]()
    try:
        status = backend_of(ref.backend).describe(ref)
        state, message = status.state.value, status.message
        address, nodes = _ask(ref, status)
    except ConfigurationError as error:
        state, message = "misconfigured", str(error)
    except AirError as error:
        state, message = "unreachable", str(error)
    home = ClusterHome.of(ref.name) if ref.backend == LocalCluster.backend else None
    return {
        "name": ref.name,
        "connection": ray_conn_id,
        "back_end": ref.backend,
        "state": state,
        "address": address,
        "nodes": len(nodes) or "",
        "resources": _resources(nodes),
        "owner": _owner(home) if home else "",
        "expires_in": _expires_in(home) if home else "",
        "message": message,
    }


def describe_connection(ray_conn_id: str) -> dict[str, Any]:
    """Give the row of the cluster behind a connection."""
    empty = dict.fromkeys(("name", "connection", "back_end", "state", "address", "nodes", "resources", "owner"), "")
    try:
        ref = cluster_of_connection(ray_conn_id)
    except AirError as error:
        facts = {"connection": ray_conn_id, "state": "misconfigured", "expires_in": "", "message": str(error)}
        return {**empty, **facts}
    if ref is None:
        message = "each task that uses this connection starts a cluster of its own"
        return {**empty, "connection": ray_conn_id, "state": "on demand", "expires_in": "", "message": message}
    return describe_cluster(ref, ray_conn_id)


def _look_at(ref: ClusterRef) -> Callable[[], dict[str, Any]]:
    return lambda: describe_cluster(ref)


def _look_behind(ray_conn_id: str) -> Callable[[], dict[str, Any]]:
    return lambda: describe_connection(ray_conn_id)


def _ask(ref: ClusterRef, status: ClusterStatus) -> tuple[str, list[Node]]:
    if status.state is not ClusterState.READY:
        return "", []
    transport = backend_of(ref.backend).open_transport(ref)
    with RayClient(transport, patience_seconds=0) as client:
        return transport.base_url, [node for node in client.send(list_nodes()) if node.state == "ALIVE"]


def _resources(nodes: Iterable[Node]) -> str:
    total: dict[str, float] = {}
    for node in nodes:
        for name, amount in node.resources_total.items():
            total[name] = total.get(name, 0.0) + amount
    shown = {name: amount for name, amount in sorted(total.items()) if not name.startswith("node:")}
    in_bytes = ("memory", "object_store_memory")
    return " ".join(
        f"{name}={amount / GIB:.1f}GiB" if name in in_bytes else f"{name}={amount:g}" for name, amount in shown.items()
    )


def _owner(home: ClusterHome) -> str:
    cluster = home.cluster()
    owner = cluster.owner if cluster else {}
    return "/".join(part for part in (owner.get("dag_id"), owner.get("run_id")) if part) or owner.get("deployment", "")


def _expires_in(home: ClusterHome) -> str:
    seconds = seconds_to_live(home)
    return "never" if seconds is None else str(timedelta(seconds=max(0, round(seconds))))


def seconds_to_live(home: ClusterHome) -> float | None:
    """Give when a local cluster goes at the latest, in seconds from now; None where it never does."""
    cluster, lease = home.cluster(), home.lease()
    if cluster is None or lease is None or lease.ttl_seconds is None:
        return None
    return cluster.created_at + lease.ttl_seconds - time.time()


def _facts_on_disk(home: ClusterHome) -> dict[str, Any]:
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
