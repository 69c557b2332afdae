"""Waits until Tecton has features up to a moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_air.attachments.tecton.server import STORES
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import ConfigurationError, DeadlineExceededError, ProtocolError
from airflow_provider_air.hooks.tecton import TectonHook
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, not_before
from airflow_provider_air.workloads.fields import moment

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.triggers.tecton import TectonReadyTrigger


class TectonReadySensor(BaseSensorOperator):
    """
    Wait until a feature view or feature service is materialized up to a moment; the XCom is until when it is.

    :param workspace: where it lives
    :param feature_view, feature_service: one of them
    :param ready_at: ISO 8601 with a zone; by default the run's ``run_after``
    :param store: ``offline`` or ``online``
    :param deferrable: wait in the triggerer; False pokes on the worker
    """

    template_fields: Sequence[str] = ("tecton_conn_id", "workspace", "feature_view", "feature_service", "ready_at")

    def __init__(
        self,
        *,
        workspace: str,
        feature_view: str | None = None,
        feature_service: str | None = None,
        ready_at: str | datetime | None = None,
        store: str = "offline",
        tecton_conn_id: str = "tecton_default",
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.feature_view = feature_view
        self.feature_service = feature_service
        self.ready_at = ready_at
        self.store = store
        self.tecton_conn_id = tecton_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; wait if it is not there."""
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            trigger = self._trigger(context)
            ready = trigger.look(TectonHook(self.tecton_conn_id).get_conn())
            if ready is not None:
                return ready
        return self.defer(
            trigger=trigger,
            method_name=self.on_ready.__name__,
            timeout=backstop(time.time() + self.timeout),
        )

    def on_ready(self, context: Context, event: Any) -> str:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            told = event if isinstance(event, dict) else {}
            if told.get("outcome") == "ended" and isinstance(told.get("value"), str):
                return str(told["value"])
            if told.get("outcome") == "deadline":
                raise DeadlineExceededError(
                    f"The features were not ready within {self.timeout:g} s: {told.get('message')}"
                )
            if told.get("outcome") == "refused":
                raise ConfigurationError(f"Tecton refuses us: {told.get('message')}")
            raise ProtocolError(f"The trigger's event is not understood: {event!r}"[:500])

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        with airflow_errors():
            ready = self._trigger(context).look(TectonHook(self.tecton_conn_id).get_conn())
            return PokeReturnValue(is_done=ready is not None, xcom_value=ready)

    def _trigger(self, context: Context) -> TectonReadyTrigger:
        from airflow_provider_air.triggers.tecton import TectonReadyTrigger

        if self.store not in STORES:
            raise ConfigurationError(f"'store' must be online or offline, not {self.store!r}")
        if not self.workspace:
            raise ConfigurationError("'workspace' is empty")
        if bool(self.feature_view) == bool(self.feature_service):
            raise ConfigurationError("Give either 'feature_view' or 'feature_service'")
        run: Any = context["dag_run"]
        return TectonReadyTrigger(
            tecton_conn_id=self.tecton_conn_id,
            workspace=self.workspace,
            kind="feature_view" if self.feature_view else "feature_service",
            name=str(self.feature_view or self.feature_service),
            store=self.store,
            ready_at=(moment(self.ready_at, "ready_at") or run.run_after).isoformat(),
            deadline=time.time() + self.timeout,
            poll_interval_seconds=min(float(self.poke_interval), 30.0),
            not_before=not_before(),
        )
