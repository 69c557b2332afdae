"""Creates and deletes Ray clusters as steps of a DAG."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from airflow_provider_air.clusters.contract import ClusterRef, ClusterState
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.clusters import (
    ensure_cluster,
    find_cluster,
    look_at_cluster,
    task_key_of,
    wait_for_cluster,
)
from airflow_provider_air.hooks.outcome import BACKSTOP_SECONDS, airflow_errors
from airflow_provider_air.hooks.resolver import backend_of, resolve
from airflow_provider_air.links.ray import DASHBOARD_KEY, RayDashboardLink
from airflow_provider_air.triggers.cluster import RayClusterTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RayCreateClusterOperator(BaseOperator):
    """
    Have a cluster: adopt the one of this name if it lives, else start it; done when it takes work.

    The XCom names the cluster: pass it as ``cluster=`` to other operators, and to
    :class:`RayDeleteClusterOperator` as a teardown.

    :param cluster: the spec, such as ``LocalCluster()``
    :param cluster_timeout_seconds: how long it may take to become ready
    """

    template_fields: Sequence[str] = ("cluster",)
    operator_extra_links: Sequence[BaseOperatorLink] = (RayDashboardLink(),)

    def __init__(
        self, *, cluster: Any, cluster_timeout_seconds: float = 600.0, deferrable: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.cluster_timeout_seconds = cluster_timeout_seconds
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Start or adopt it; waits in the triggerer, or here for ``deferrable=False``."""
        with airflow_errors():
            target = resolve(self.cluster, None)
            if isinstance(target, ClusterRef):
                raise ConfigurationError("'cluster' must be a cluster spec, not a cluster that exists")
            ref = ensure_cluster(target, task_key_of(context))
            cluster = ref.to_json()
            if self.deferrable and look_at_cluster(ref).state is ClusterState.STARTING:
                self.defer(
                    trigger=RayClusterTrigger(cluster=cluster, timeout_seconds=self.cluster_timeout_seconds),
                    method_name=self.on_cluster_ready.__name__,
                    timeout=timedelta(seconds=self.cluster_timeout_seconds + BACKSTOP_SECONDS),
                )
            return self.on_cluster_ready(context, {"cluster": cluster})

    def on_cluster_ready(self, context: Context, event: Any) -> dict[str, Any]:
        """Make sure that it is ready and give its name; called on a worker after the wait."""
        with airflow_errors():
            ref = ClusterRef.from_json(event.get("cluster") if isinstance(event, dict) else None)
            wait_for_cluster(ref, self.cluster_timeout_seconds)
            url = backend_of(ref.backend).open_transport(ref).base_url
            context["ti"].xcom_push(key=DASHBOARD_KEY, value=url)
            self.log.info("Ray cluster %s is ready, its dashboard is at %s", ref.name, url)
            # It outlives this task: whoever deletes it is another step of the DAG.
            return {**ref.to_json(), "owned": False}


class RayDeleteClusterOperator(BaseOperator):
    """
    Delete a cluster with all that it left; one that is gone already is fine.

    :param cluster: the XCom of a :class:`RayCreateClusterOperator`, or a spec with a name
    """

    template_fields: Sequence[str] = ("cluster",)

    def __init__(self, *, cluster: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster

    def execute(self, context: Context) -> None:
        """Delete it and wait until it is gone."""
        with airflow_errors():
            if self.cluster is None:
                self.log.info("No cluster was created, so there is none to delete")
                return
            target = resolve(self.cluster, None)
            if not isinstance(target, ClusterRef):
                target = find_cluster(target)
            backend_of(target.backend).delete(target)
            self.log.info("Ray cluster %s is deleted", target.name)
