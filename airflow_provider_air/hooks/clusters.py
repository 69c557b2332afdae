"""What operators do with clusters: name the owner, make or adopt, look, wait."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.contract import (
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
)
from airflow_provider_air.clusters.existing import ExistingCluster
from airflow_provider_air.errors import (
    AirError,
    ClusterFailedError,
    ConfigurationError,
    DeadlineExceededError,
    UnavailableError,
)
from airflow_provider_air.hooks.resolver import (
    CLUSTER_NAME_LENGTH,
    backend_of,
    cluster_name,
    deployment_id,
    resolve,
)
from airflow_provider_air.identity import TaskKey, slug
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger(__name__)

# How long a cluster that is there may not answer before a worker gives up and leaves it to Airflow's retry.
PATIENCE_SECONDS = 45.0


def task_key_of(context: Context) -> TaskKey:
    """Name the task instance of a worker's context."""
    ti = context["ti"]
    map_index = ti.map_index if isinstance(ti.map_index, int) else -1
    return TaskKey(deployment_id(), ti.dag_id, ti.run_id, ti.task_id, map_index)


def task_of(context: Context) -> dict[str, Any]:
    """Name the task instance of a worker's context as Airflow does, for the trigger that waits for it."""
    key = task_key_of(context)
    return {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}


def enclosing_group(task: Any) -> Any:
    """
    Find the innermost ``RayClusterTaskGroup`` around a task, or None.

    Runs in the worker, where the DAG file was parsed; told by its attribute, since groups are of a layer above.
    """
    group = getattr(task, "task_group", None)
    while group is not None and not getattr(group, "create_task_id", None):
        group = group.parent_group
    return group


def target_of(task: Any, context: Context) -> ClusterSpec | ClusterRef:
    """
    Decide the cluster of an operator or sensor: ``cluster=``, else the enclosing group's, else the connection's.

    :raises ConfigurationError: the argument or the connection is wrong, or the group has no cluster
    """
    group = enclosing_group(task) if task.cluster is None else None
    return resolve(task.cluster if group is None else _cluster_of(group, context), task.ray_conn_id)


def _cluster_of(group: Any, context: Context) -> Any:
    ti = context["ti"]
    create = context["dag"].get_task(group.create_task_id)
    mapped = create.get_closest_mapped_task_group() is not None
    found = ti.xcom_pull(task_ids=group.create_task_id, map_indexes=ti.map_index if mapped else None)
    if not found:
        raise ConfigurationError(
            f"The task {group.create_task_id!r} has made no cluster for this group",
            hint="Clear it together with this task",
        )
    return found


def ensure_cluster(target: ClusterSpec | ClusterRef, key: TaskKey) -> ClusterRef:
    """
    Adopt or start the cluster; returns before it is ready.

    A cluster without a name of its own belongs to the task and goes with it.

    :raises ConfigurationError: the spec is wrong, or a live cluster of this name has another one
    """
    if isinstance(target, ClusterRef):
        return target
    owner = ClusterOwner(key.deployment, key.dag_id, key.run_id)
    ref = backend_of(target.backend).ensure(target, name=cluster_name(target, key), owner=owner)
    return replace(ref, owned=target.name is None and target.backend != ExistingCluster.backend)


def find_cluster(spec: ClusterSpec) -> ClusterRef:
    """
    Name the cluster that a spec stands for, whether it lives or not; starts nothing.

    :raises ConfigurationError: the spec has no name, so that each task has a cluster of its own
    """
    if isinstance(spec, ExistingCluster):
        return backend_of(spec.backend).find(spec.ray_conn_id)
    if not spec.name:
        raise ConfigurationError(
            "A cluster without a name cannot be found",
            hint="Pass the XCom of the task that creates it, or a spec with a name",
        )
    return backend_of(spec.backend).find(slug(spec.name, CLUSTER_NAME_LENGTH))


def look_at_cluster(ref: ClusterRef) -> ClusterStatus:
    """
    Ask for the cluster's state; asks again for a while where nobody answers.

    :raises UnavailableError: no answer within :data:`PATIENCE_SECONDS`
    """
    end = time.monotonic() + PATIENCE_SECONDS
    for pause in backoff_seconds(0.5, 5.0):
        try:
            return backend_of(ref.backend).describe(ref)
        except UnavailableError:
            if time.monotonic() + pause > end:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def wait_for_cluster(ref: ClusterRef, timeout_seconds: float) -> None:
    """
    Block until the cluster takes work; for workers.

    :raises ClusterFailedError: it cannot start, or is gone
    :raises DeadlineExceededError: it is still starting
    """
    end = time.monotonic() + timeout_seconds
    for pause in backoff_seconds(0.3, 3.0):
        status = look_at_cluster(ref)
        if status.state is ClusterState.READY:
            return
        if status.state is not ClusterState.STARTING:
            raise cluster_failure(ref, status)
        if time.monotonic() + pause > end:
            raise DeadlineExceededError(
                f"The cluster was not ready within {timeout_seconds:g} s; last state: {status.message or 'starting'}",
                where=ref.name,
                hint="Raise cluster_timeout_seconds, or look into the cluster's log",
            )
        time.sleep(pause)


def leave_cluster(ref: ClusterRef) -> None:
    """Delete the cluster where it is the task's own; a failure to do so is left to its expiry."""
    if not ref.owned:
        return
    try:
        backend_of(ref.backend).delete(ref)
    except AirError as error:
        log.warning("Cluster %s could not be deleted now, its expiry will: %s", ref.name, error)


def cluster_failure(ref: ClusterRef, status: ClusterStatus) -> ClusterFailedError:
    """Give the error for a cluster that will not become ready; the caller raises it."""
    if status.state is ClusterState.ABSENT:
        return ClusterFailedError(
            "The cluster is gone",
            where=ref.name,
            hint="Clear the task that creates it together with this one",
        )
    return ClusterFailedError(f"The cluster failed: {status.message}", where=ref.name)
