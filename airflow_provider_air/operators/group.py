"""A task group with a Ray cluster of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.operators.cluster import RayCreateClusterOperator, RayDeleteClusterOperator
from airflow_provider_air.operators.fields import check_limit

if TYPE_CHECKING:
    from types import TracebackType


# Nobody but the teardown deletes the cluster before its time-outs do, whatever retries the DAG's tasks have.
DELETE_RETRIES = 3
DELETE_RETRY_DELAY = timedelta(seconds=30)


class RayClusterTaskGroup(TaskGroup):
    """
    Tasks that share one Ray cluster: a setup task makes it, a teardown task deletes it, whatever happens.

    Operators, sensors and ``@task.ray`` functions inside use the cluster by themselves, unless they have a ``cluster=``
    or ``ray_conn_id=`` of their own; so do those in nested groups and mapped ones. Clearing a task inside clears setup
    and teardown with it (Airflow's rule), and the setup adopts a cluster that still lives::

        with RayClusterTaskGroup("gpu", cluster=LocalCluster()) as gpu:
            train()

    ``cluster_ref`` is the cluster for whoever needs it as an argument.

    The teardown deletes what the setup has started. A cluster that the setup has found, since it has a name and
    another task made it, or since it is an existing one, stays: the setup waits until it answers. A ``LocalCluster``
    that nobody deletes goes by its own time-outs: 12 hours, or 30 minutes without work, unless its spec says otherwise.

    :param group_id: the group's id
    :param cluster: the cluster's spec
    :param ray_conn_id: instead of a spec, a ``ray`` connection: what to have is what it says, an existing cluster too
    :param cluster_timeout_seconds: how long it may take to become ready
    :param max_concurrent_jobs: how many jobs of this group the cluster takes at once; the others wait in the
        triggerer. Each Ray job costs the head about 85 MB (Ray 2.60)
    """

    def __init__(
        self,
        group_id: str,
        *,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        cluster_timeout_seconds: float = 600.0,
        max_concurrent_jobs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        if (cluster is None) == (ray_conn_id is None):
            raise ConfigurationError(
                f"The group {group_id!r} needs a cluster or a connection, and not both",
                hint="Give it cluster=LocalCluster(), or ray_conn_id='ray_default'",
            )
        check_limit(max_concurrent_jobs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.max_concurrent_jobs = max_concurrent_jobs
        self.create_task_id = ""
        self.cluster_ref: Any = None

    def __enter__(self) -> RayClusterTaskGroup:
        super().__enter__()
        create = RayCreateClusterOperator(
            task_id="create_cluster",
            cluster=self.cluster,
            # Explicitly, since default_args may name a connection for the tasks.
            ray_conn_id=self.ray_conn_id,
            cluster_timeout_seconds=self.cluster_timeout_seconds,
        )
        delete = RayDeleteClusterOperator(
            task_id="delete_cluster",
            cluster=create.output,
            retries=DELETE_RETRIES,
            retry_delay=DELETE_RETRY_DELAY,
        )
        delete.as_teardown(setups=create)
        self.create_task_id, self._delete_task_id = create.task_id, delete.task_id
        self.cluster_ref = create.output
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_all_between_setup_and_teardown()
        super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]

    def _put_all_between_setup_and_teardown(self) -> None:
        # `with teardown:` would do it, but overlooks mapped tasks (Airflow 3.3.2): their cluster would be deleted
        # while they run.
        ends = (self.create_task_id, self._delete_task_id)
        inside = {task.task_id: task for task in self.iter_tasks() if task.task_id not in ends}
        create, delete = (self.dag.get_task(task_id) for task_id in ends)
        for task in inside.values():
            if task.upstream_task_ids.isdisjoint(inside):
                task.set_upstream(create)
            if task.downstream_task_ids.isdisjoint(inside):
                task.set_downstream(delete)
