"""Waits for a Serve application that somebody deployed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_air.connections.ports import backend_of, found_target_of
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.errors import (
    ClusterUnreachableError,
    ConfigurationError,
    DeadlineExceededError,
    ProtocolError,
)
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, not_before
from airflow_provider_air.waiting import patiently
from airflow_provider_air.workloads.serve import check_name, check_replicas, readiness

if TYPE_CHECKING:
    from airflow.sdk import Context


class RayServeSensor(BaseSensorOperator):
    """
    Wait until a Serve application runs, with at least so many replicas.

    An application that is not there yet, or is failing, is waited for until ``timeout``.

    :param application: its name, whichever its version
    :param replicas: how many must run, for each deployment or by deployment; None asks for health only
    :param cluster: the cluster's XCom or spec, where ``ray_conn_id`` does not name it
    :param deferrable: wait in the triggerer; False pokes on the worker
    """

    template_fields: Sequence[str] = ("application", "replicas", "cluster", "ray_conn_id")

    def __init__(
        self,
        *,
        application: str,
        replicas: int | dict[str, int] | None = None,
        cluster: Any = None,
        ray_conn_id: str | None = None,
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.replicas = replicas
        self.cluster = cluster
        self.ray_conn_id = ray_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; wait if it is not ready."""
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            ref = self._ref(context)
            ready, message = self._look(ref)
            if ready:
                return message
            self.log.info("Waiting: %s", message)
            from airflow_provider_air.triggers.serve import RayServeTrigger

            trigger = RayServeTrigger(
                cluster=ref.to_json(),
                application=self.application,
                replicas=self._replicas(),
                deadline=time.time() + self.timeout,
                poll_interval_seconds=min(float(self.poke_interval), 5.0),
                not_before=not_before(),
            )
            return self.defer(
                trigger=trigger,
                method_name=self.on_ready.__name__,
                timeout=backstop(time.time() + self.timeout),
            )

    def on_ready(self, context: Context, event: Any) -> str:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            if not isinstance(event, dict) or event.get("application") != self.application:
                raise ProtocolError(f"The trigger's event is not about {self.application!r}: {event!r}"[:500])
            message = str(event.get("message"))
            if event.get("ready") is True:
                return message
            if event.get("outcome") == "deadline":
                raise DeadlineExceededError(
                    f"The application was not ready within {self.timeout:g} s; last state: {message}",
                    where=self.application,
                )
            if event.get("outcome") == "unreachable":
                raise ClusterUnreachableError(f"The cluster stopped answering: {message}", where=self.application)
            raise ConfigurationError(f"The cluster refuses us: {message}", where=self.application)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        with airflow_errors():
            ready, message = self._look(self._ref(context))
            self.log.info("%s", message)
            return PokeReturnValue(is_done=ready, xcom_value=message)

    def _replicas(self) -> int | dict[str, int] | None:
        if isinstance(self.replicas, dict):
            return check_replicas(self.replicas)
        if self.replicas is None:
            return None
        return check_replicas({"each": self.replicas})["each"]

    def _ref(self, context: Context) -> ClusterRef:
        check_name(self.application)
        self._replicas()
        return found_target_of(self, context)

    def _look(self, ref: ClusterRef) -> tuple[bool, str]:
        serving = backend_of(ref.backend).serving(ref)
        return readiness(patiently(lambda: serving.application(self.application)), self._replicas())
