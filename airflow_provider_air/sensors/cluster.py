"""Waits until a Ray cluster takes work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from airflow_provider_air.clusters.contract import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.errors import DeadlineExceededError, UnavailableError
from airflow_provider_air.hooks.clusters import cluster_failure, find_cluster, target_of
from airflow_provider_air.hooks.outcome import airflow_errors
from airflow_provider_air.hooks.resolver import backend_of
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.requests import list_nodes
from airflow_provider_air.triggers.cluster import RayClusterTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RayClusterSensor(BaseSensorOperator):
    """
    Wait until a cluster answers and takes work; starts none.

    An existing cluster that does not answer yet is waited for; one that failed fails the task.

    :param cluster: the cluster's XCom, or a spec with a name
    :param ray_conn_id: the connection, where ``cluster`` is not given
    :param min_nodes: how many nodes must be alive, the head included; above 1 it is asked on the worker
    :param deferrable: wait in the triggerer; False pokes on the worker
    """

    template_fields: Sequence[str] = ("cluster", "ray_conn_id")

    def __init__(
        self,
        *,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        min_nodes: int = 1,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.min_nodes = min_nodes
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; wait if it is not ready."""
        if not self.deferrable or self.min_nodes > 1:
            return super().execute(context)
        if self.poke(context):
            return None
        with airflow_errors():
            return self.defer(
                trigger=RayClusterTrigger(cluster=self._ref(context).to_json(), timeout_seconds=self.timeout),
                method_name=self.on_cluster_ready.__name__,
                timeout=timedelta(seconds=self.timeout + 60),
            )

    def on_cluster_ready(self, context: Context, event: Any) -> None:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            status = ClusterStatus(ClusterState(event["state"]), str(event.get("message") or ""))
            if status.state is ClusterState.STARTING:
                raise DeadlineExceededError(f"The cluster was not ready within {self.timeout:g} s: {status.message}")
            if status.state is not ClusterState.READY:
                raise cluster_failure(self._ref(context), status)

    def poke(self, context: Context) -> bool:
        """Look once."""
        with airflow_errors():
            ref = self._ref(context)
            try:
                status = backend_of(ref.backend).describe(ref)
                if status.state is ClusterState.READY:
                    return self.min_nodes <= 1 or self._nodes(ref) >= self.min_nodes
            except UnavailableError as error:
                self.log.info("%s", error)
                return False
            if status.state is ClusterState.FAILED:
                raise cluster_failure(ref, status)
            return False

    def _ref(self, context: Context) -> ClusterRef:
        target = target_of(self, context)
        return target if isinstance(target, ClusterRef) else find_cluster(target)

    @staticmethod
    def _nodes(ref: ClusterRef) -> int:
        with RayClient(backend_of(ref.backend).open_transport(ref)) as client:
            return sum(node.state == "ALIVE" for node in client.send(list_nodes()))
