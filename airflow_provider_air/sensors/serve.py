"""Waits for a Serve application that somebody deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.connections.ports import backend_of, found_target_of
from airflow_provider_air.errors import (
    ClusterUnreachableError,
    ConfigurationError,
    ProtocolError,
)
from airflow_provider_air.sensors.base import DeferrableSensor
from airflow_provider_air.triggers.deferring import not_before
from airflow_provider_air.waiting import patiently

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.triggers.base import OneEventTrigger


class RayServeSensor(DeferrableSensor):
    """
    Wait until a Serve application runs, with at least so many replicas.

    An application that is not there yet, or is failing, is waited for until ``timeout``.

    :param application: its name, whichever its version
    :param replicas: how many must run, for each deployment or by deployment; None asks for health only
    :param cluster: the cluster's XCom or spec, where ``ray_conn_id`` does not name it
    """

    template_fields: Sequence[str] = ("application", "replicas", "cluster", "ray_conn_id")

    def __init__(
        self,
        *,
        application: str,
        replicas: int | dict[str, int] | None = None,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.replicas = replicas
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id

    def look(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow_provider_air.workloads.serve import readiness

        ref = self._ref(context)
        serving = backend_of(ref.backend).serving(ref)
        ready, message = readiness(patiently(lambda: serving.application(self.application)), self._replicas())
        self.log.info("%s", message)
        return PokeReturnValue(is_done=ready, xcom_value=message)

    def trigger(self, context: Context, until: float) -> OneEventTrigger:
        """Ask Serve again and again."""
        from airflow_provider_air.triggers.serve import RayServeTrigger

        return RayServeTrigger(
            cluster=self._ref(context).to_json(),
            application=self.application,
            replicas=self._replicas(),
            deadline=until,
            poll_interval_seconds=min(float(self.poke_interval), 5.0),
            not_before=not_before(),
        )

    def judge(self, event: Any) -> str:
        """Give what the trigger saw of the application that runs."""
        if not isinstance(event, dict) or event.get("application") != self.application:
            raise ProtocolError(f"The trigger's event is not about {self.application!r}: {event!r}"[:500])
        message = str(event.get("message"))
        if event.get("ready") is True:
            return message
        if event.get("outcome") == "deadline":
            raise AirflowSensorTimeout(
                f"The application {self.application} was not ready within {self.timeout:g} s; last state: {message}"
            )
        if event.get("outcome") == "unreachable":
            raise ClusterUnreachableError(f"The cluster stopped answering: {message}", where=self.application)
        raise ConfigurationError(f"The cluster refuses us: {message}", where=self.application)

    def _replicas(self) -> int | dict[str, int] | None:
        from airflow_provider_air.workloads.serve import check_replicas

        if isinstance(self.replicas, dict):
            return check_replicas(self.replicas)
        if self.replicas is None:
            return None
        return check_replicas({"each": self.replicas})["each"]

    def _ref(self, context: Context) -> ClusterRef:
        from airflow_provider_air.workloads.serve import check_name

        check_name(self.application)
        self._replicas()
        return found_target_of(self, context)
