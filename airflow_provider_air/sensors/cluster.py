"""Waits until a Ray cluster takes work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.connections.ports import backend_of, found_target_of, task_key_of, task_of
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState
from airflow_provider_air.errors import ProtocolError, UnavailableError
from airflow_provider_air.sensors.base import DeferrableSensor
from airflow_provider_air.triggers.deferring import not_before

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.triggers.base import OneEventTrigger


class RayClusterSensor(DeferrableSensor):
    """
    Wait until a cluster answers and takes work; starts none.

    One that does not answer yet, or is not there yet, is waited for; one that failed fails the task.

    :param cluster: the cluster's XCom, or a spec with a name
    :param ray_conn_id: the connection, where ``cluster`` is not given
    :param min_nodes: how many nodes must be alive, the head included; above 1 it is asked on the worker
    """

    template_fields: Sequence[str] = ("cluster", "ray_conn_id", "min_nodes")

    def __init__(
        self,
        *,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        min_nodes: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.min_nodes = min_nodes

    def waits_on_worker(self) -> bool:
        """Tell whether it pokes on a worker: the triggerer counts no nodes."""
        return super().waits_on_worker() or self.min_nodes > 1

    def look(self, context: Context) -> PokeReturnValue:
        """Look once; silence is no answer yet."""
        from airflow_provider_air.runs.failures import failure_of_cluster

        ref = found_target_of(self, context)
        try:
            status = backend_of(ref.backend).describe(ref)
            if status.state is ClusterState.READY:
                return PokeReturnValue(self.min_nodes <= 1 or self._nodes(ref) >= self.min_nodes)
        except UnavailableError as error:
            self.log.info("%s", error)
            return PokeReturnValue(is_done=False)
        if status.state is ClusterState.FAILED:
            raise failure_of_cluster(ref, status)
        return PokeReturnValue(is_done=False)

    def trigger(self, context: Context, until: float) -> OneEventTrigger:
        """Watch the cluster, with all that wait for it."""
        from airflow_provider_air.runs.cluster import wait_for
        from airflow_provider_air.triggers.run import RayRunTrigger

        step = wait_for(found_target_of(self, context), task_key_of(context), "ready", until)
        return RayRunTrigger(step=step.to_json(), task=task_of(context), not_before=not_before())

    def judge(self, event: Any) -> None:
        """Raise what the trigger saw but a cluster that is ready."""
        from airflow_provider_air.runs.failures import failure_of_cluster
        from airflow_provider_air.runs.watch import AWAITED_STATES, status_of

        if not isinstance(event, dict) or event.get("what") != "ready":
            raise ProtocolError(f"The trigger's event is not about a cluster: {event!r}"[:500])
        status = status_of(event)
        if status.state in AWAITED_STATES["ready"]:
            said = status.message or status.state.value
            raise AirflowSensorTimeout(f"The cluster was not ready within {self.timeout:g} s: {said}")
        if status.state is not ClusterState.READY:
            raise failure_of_cluster(ClusterRef.from_json(event.get("cluster")), status)

    @staticmethod
    def _nodes(ref: ClusterRef) -> int:
        from airflow_provider_air.ray_api.client import RayClient
        from airflow_provider_air.ray_api.requests import list_nodes

        with RayClient(backend_of(ref.backend).open_transport(ref)) as client:
            return sum(node.state == "ALIVE" for node in client.send(list_nodes()))
