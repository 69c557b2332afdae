"""Creates and deletes Ray clusters as steps of a DAG."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_provider_air.connections.ports import (
    chosen,
    found,
    local_roots,
    manifest_of,
    run_ports,
    try_of,
    with_files,
)
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterSpec
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.links.ray import DASHBOARD_KEY, RayDashboardLink, push_deleted, push_made
from airflow_provider_air.operators.base import RunOperator
from airflow_provider_air.operators.outlets import quietly

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.runs.cluster import ClusterRun


class ClusterOperator(RunOperator):
    """
    Base of the operators that make or delete a cluster, and wait for that.

    :param cluster_timeout_seconds: how long it may take; ``execution_timeout`` where that is shorter
    :param deferrable: and ``deferral_grace_seconds``: see :class:`~airflow_provider_air.operators.base.RunOperator`
    """

    template_fields: Sequence[str] = (*RunOperator.template_fields, "cluster", "cluster_timeout_seconds")

    def __init__(self, *, cluster: Any, cluster_timeout_seconds: float = 600.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.cluster_timeout_seconds = cluster_timeout_seconds

    def open_run(self, context: Context) -> ClusterRun:
        """Give the run of one cluster."""
        from airflow_provider_air.runs.cluster import ClusterRun

        ports = run_ports(context, self.log)
        return ClusterRun(try_of(context), ports, timeout_seconds=self._seconds, spec=self.wish(context))

    def wish(self, context: Context) -> Callable[[], ClusterSpec] | None:
        """Give what gives the cluster to make; None where this task makes none. In the worker."""
        return None

    @property
    def _seconds(self) -> float:
        """How long it may take: Airflow does not count while the task is deferred."""
        own = self.execution_timeout
        return self.cluster_timeout_seconds if own is None else min(self.cluster_timeout_seconds, own.total_seconds())


class RayCreateClusterOperator(ClusterOperator):
    """
    Have a cluster: adopt the one of this name if it lives, else start it; done when it takes work.

    The XCom names the cluster: pass it as ``cluster=`` to other operators, and to
    :class:`RayDeleteClusterOperator` as a teardown. It says by ``created`` whether this task has started the cluster,
    in any of its tries, or found it there. What it has started goes with it when it fails and no try is left, or none
    can help: a trigger that is lost, a back end that does not answer and a kill included.

    :param cluster: the spec, such as ``LocalCluster()``
    :param ray_conn_id: instead of a spec, a ``ray`` connection that says what to have
    """

    template_fields: Sequence[str] = (*ClusterOperator.template_fields, "ray_conn_id")
    operator_extra_links: Sequence[BaseOperatorLink] = (RayDashboardLink(),)

    def __init__(self, *, cluster: Any = None, ray_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(cluster=cluster, **kwargs)
        self.ray_conn_id = ray_conn_id

    def wish(self, context: Context) -> Callable[[], ClusterSpec]:
        """Give what gives the cluster to make."""
        return lambda: self._spec(context)

    def _spec(self, context: Context) -> ClusterSpec:
        """
        Give the cluster to make: the spec, or what the connection says.

        :raises ConfigurationError: it is none, or a cluster that exists
        """
        target = with_files(chosen(self.cluster, self.ray_conn_id), local_roots(self, context))
        if isinstance(target, ClusterRef):
            raise ConfigurationError("'cluster' must be a cluster spec, not a cluster that exists")
        return target

    def begin(self, context: Context, run: ClusterRun) -> Wait | Done:
        """Start or adopt it."""
        return run.create()

    def dry_run(self) -> None:
        """Print, beside the rendered fields, the manifest that would be sent, where the cluster has one."""
        super().dry_run()
        if (text := manifest_of(self, is_owned=False)) is not None:
            sys.stdout.write(text)

    def done(self, context: Context, ref: ClusterRef) -> dict[str, Any]:
        """Give its name, which outlives this task: whoever deletes it is another step of the DAG."""
        page = None
        with quietly(self.log, f"Ray cluster {ref.name} is ready, but gives no page now"):
            page = run_ports(context, self.log).clusters(ref.backend).jobs(ref).pages()[DASHBOARD_KEY]
            context["ti"].xcom_push(key=DASHBOARD_KEY, value=page)
            self.log.info("Ray cluster %s is ready, its dashboard is at %s", ref.name, page)
        created = bool(self._facts["created"])
        with quietly(self.log, f"Airflow's pages do not show cluster {ref.name} before a task uses it"):
            push_made(context["ti"], ref, created=created, dashboard_url=page)
        self._run.hand_over()
        return {**ref.to_json(), "created": created}


class RayDeleteClusterOperator(ClusterOperator):
    """
    Delete a cluster with all that it left, and see that it is gone; one that is gone already is fine.

    :param cluster: the XCom of a :class:`RayCreateClusterOperator`, whose cluster goes only where that task has started
        it, and not found it there; or a spec with a name, whose cluster goes whoever started it
    """

    def begin(self, context: Context, run: ClusterRun) -> Wait | Done:
        """Ask for its deletion."""
        if self.cluster is None:
            self.log.info("No cluster was created, so there is none to delete")
            return Done(None)
        ref = found(chosen(self.cluster, None))
        if isinstance(self.cluster, Mapping) and self.cluster.get("created") is False:
            self.log.info("Ray cluster %s was there before its create task, so it stays", ref.name)
            return Done(None)
        return run.delete(ref)

    def done(self, context: Context, ref: ClusterRef | None) -> None:
        """Say that it is gone."""
        if ref is not None:
            self.log.info("Ray cluster %s is deleted", ref.name)
            with quietly(self.log, f"Airflow's pages do not know that cluster {ref.name} is gone"):
                push_deleted(context["ti"], ref)
