"""``airflow air clusters list|show|manifest|delete``."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from airflow_provider_air.cli.targets import (
    cluster_of_connection,
    command,
    made_cluster,
    made_clusters,
    place_of,
    ray_connection_ids,
    show,
)
from airflow_provider_air.clusters.registry import DEFAULT_RAY_CONN_ID
from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.connections.ports import backend_of, chosen, with_files
from airflow_provider_air.contracts.clusters import (
    ClusterOwner,
    ClusterRef,
    ClusterState,
    ClusterStatus,
    HasManifest,
    ListedCluster,
)
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import Node
from airflow_provider_air.ray_api.requests import list_nodes

# So many clusters are asked at once: one that does not answer costs 5 s.
AT_ONCE = 8
DELETE_SECONDS = 900.0
GIB = 1024**3


Made = Mapping[tuple[Any, ...], ListedCluster]


@command
def list_clusters(args: Namespace) -> None:
    """Print the clusters that we made, local ones of this host, and the clusters behind ``ray`` connections."""
    made = _made()
    looks: list[Callable[[], dict[str, Any]]] = [
        partial(describe_cluster, listed.ref, listed=listed) for listed in made.values()
    ]
    try:
        looks += [partial(describe_connection, ray_conn_id, made) for ray_conn_id in ray_connection_ids()]
    except AirError as error:
        # What runs on this host is still worth seeing.
        sys.stderr.write(f"{error}\n")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        rows = list(pool.map(lambda look: look(), looks))
    show(rows, args.output)


@command
def show_cluster(args: Namespace) -> None:
    """Print all that is known of one cluster."""
    made = _made()
    listed = next((item for item in made.values() if item.ref.name == args.name), None)
    if listed is None:
        facts = describe_connection(args.name, made)
    else:
        facts = {**describe_cluster(listed.ref, listed=listed), **backend_of(listed.ref.backend).facts(listed.ref)}
    is_for_people = args.output in ("table", "plain")
    show([{"field": key, "value": value} for key, value in facts.items()] if is_for_people else [facts], args.output)


@command
def print_manifest(args: Namespace) -> None:
    """Print what would be sent for a task that uses a ``ray`` connection, as YAML; nothing is started."""
    if args.name and args.ray_conn_id:
        raise ConfigurationError("Give the connection's id once: as NAME, or by --ray-conn-id")
    ray_conn_id = args.name or args.ray_conn_id or DEFAULT_RAY_CONN_ID
    # Relative paths start where the command does, as a DAG's start at its own folder.
    target = with_files(chosen(None, ray_conn_id), (Path.cwd(),))
    if not isinstance(target, HasManifest):
        raise ConfigurationError(
            f"The connection {ray_conn_id!r} stands for a cluster that has no manifest",
            hint="Those of KubeRay have one",
        )
    key = TaskKey(deployment_id(), "dag", "run", "task")
    sys.stdout.write(target.to_yaml(key, is_owned=args.job))


@command
def delete_cluster(args: Namespace) -> None:
    """Delete a cluster that we made, after a question unless ``--yes`` is given, and wait until it is gone."""
    ref = made_cluster(args.name, args.ray_conn_id).ref
    question = f"Delete the cluster {ref.name!r} ({place_of(ref)}) with all its jobs? [y/N] "
    if not args.yes and input(question).lower() != "y":
        raise SystemExit("Nothing was deleted")
    wait_until_gone(backend_of(ref.backend), ref, timeout_seconds=DELETE_SECONDS)
    sys.stdout.write(f"Deleted the {ref.backend} cluster {ref.name}\n")


def describe_cluster(ref: ClusterRef, ray_conn_id: str = "", listed: ListedCluster | None = None) -> dict[str, Any]:
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
    return {
        "name": ref.name,
        "connection": ray_conn_id,
        "back_end": ref.backend,
        "state": state,
        "address": address,
        "nodes": len(nodes) or "",
        "resources": _resources(nodes),
        "owner": _owner(listed.owner) if listed else "",
        "expires_in": _expires_in(listed) if listed else "",
        "message": message,
    }


def describe_connection(ray_conn_id: str, made: Made) -> dict[str, Any]:
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
    return describe_cluster(ref, ray_conn_id, made.get(_found_by(ref)))


def _made() -> Made:
    return {_found_by(listed.ref): listed for listed in made_clusters()}


def _found_by(ref: ClusterRef) -> tuple[Any, ...]:
    """Give what a cluster is found by: two connections may name one, and say different things of how it is reached."""
    return (ref.backend, ref.name, ref.details.get("namespace"))


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


def _owner(owner: ClusterOwner) -> str:
    return str(owner.key) if owner.key else owner.deployment


def _expires_in(listed: ListedCluster) -> str:
    seconds = seconds_to_live(listed)
    return "never" if seconds is None else str(timedelta(seconds=max(0, round(seconds))))


def seconds_to_live(listed: ListedCluster) -> float | None:
    """Give when a cluster goes at the latest, in seconds from now; None where it never does."""
    return None if listed.expires_at is None else listed.expires_at - time.time()
