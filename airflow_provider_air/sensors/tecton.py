"""Waits until Tecton has features up to a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.attachments.tecton.server import STORES
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.tecton import TectonHook
from airflow_provider_air.sensors.base import DeferrableSensor
from airflow_provider_air.triggers.deferring import not_before
from airflow_provider_air.workloads.fields import moment

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.triggers.tecton import TectonReadyTrigger


class TectonReadySensor(DeferrableSensor):
    """
    Wait until a feature view or feature service is materialized up to a moment; the XCom is until when it is.

    :param workspace: where it lives
    :param feature_view, feature_service: one of them
    :param ready_at: ISO 8601 with a zone; by default the run's ``run_after``
    :param store: ``offline`` or ``online``
    """

    template_fields: Sequence[str] = (
        "tecton_conn_id",
        "workspace",
        "feature_view",
        "feature_service",
        "ready_at",
        "store",
    )

    def __init__(
        self,
        *,
        workspace: str,
        feature_view: str | None = None,
        feature_service: str | None = None,
        ready_at: str | datetime | None = None,
        store: str = "offline",
        tecton_conn_id: str = "tecton_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.feature_view = feature_view
        self.feature_service = feature_service
        self.ready_at = ready_at
        self.store = store
        self.tecton_conn_id = tecton_conn_id

    def look(self, context: Context) -> PokeReturnValue:
        """Look once."""
        ready = self.trigger(context, 0.0).look(TectonHook(self.tecton_conn_id).get_conn())
        return PokeReturnValue(is_done=ready is not None, xcom_value=ready)

    def judge(self, event: Any) -> str:
        """Give until when the features are there."""
        from airflow_provider_air.triggers.polling import failure_of_wait

        told = event if isinstance(event, dict) else {}
        if told.get("outcome") == "ended" and isinstance(told.get("value"), str):
            return str(told["value"])
        if told.get("outcome") == "deadline":
            raise AirflowSensorTimeout(f"The features were not ready within {self.timeout:g} s: {told.get('message')}")
        raise failure_of_wait(event)

    def trigger(self, context: Context, until: float) -> TectonReadyTrigger:
        """Ask Tecton again and again."""
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
            deadline=until,
            poll_interval_seconds=min(float(self.poke_interval), 30.0),
            not_before=not_before(),
        )
