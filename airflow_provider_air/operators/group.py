"""A task group with a Ray cluster of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.operators.cluster import RayCreateClusterOperator, RayDeleteClusterOperator
from airflow_provider_air.runs.admission import check_limit

if TYPE_CHECKING:
    from types import TracebackType


class RayClusterTaskGroup(TaskGroup):
    """
    Tasks that share one Ray cluster: a setup task makes it, a teardown task deletes it, whatever happens.

    Operators and ``@task.ray`` functions inside use the cluster by themselves, unless they have a ``cluster=``
    of their own; so do those in nested groups and mapped ones. Clearing a task inside clears setup and
    teardown with it (Airflow's rule), and the setup adopts a cluster that still lives::

        with RayClusterTaskGroup("gpu", cluster=LocalCluster()) as gpu:
            train()

    ``cluster_ref`` is the cluster for whoever needs it as an argument.

    :param group_id: the group's id
    :param cluster: the cluster's spec
    :param cluster_timeout_seconds: how long it may take to become ready
    :param max_concurrent_jobs: how many jobs of this group the cluster takes at once; the others wait in the
        triggerer. Each Ray job costs the head about 85 MB (Ray 2.60)
    """

    def __init__(
        self,
        group_id: str,
        *,
        cluster: Any,
        cluster_timeout_seconds: float = 600.0,
        max_concurrent_jobs: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(group_id=group_id, **kwargs)
        if cluster is None:
            raise ConfigurationError(f"The group {group_id!r} needs a cluster", hint="Give it cluster=LocalCluster()")
        check_limit(max_concurrent_jobs)
        self.cluster = cluster
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.max_concurrent_jobs = max_concurrent_jobs
        self.create_task_id = ""
        self.cluster_ref: Any = None

    def __enter__(self) -> RayClusterTaskGroup:
        super().__enter__()
        create = RayCreateClusterOperator(
            task_id="create_cluster", cluster=self.cluster, cluster_timeout_seconds=self.cluster_timeout_seconds
        )
        delete = RayDeleteClusterOperator(task_id="delete_cluster", cluster=create.output)
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
