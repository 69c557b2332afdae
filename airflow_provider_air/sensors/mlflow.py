"""Waits for a version or an alias of a registered model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.mlflow import MlflowHook
from airflow_provider_air.sensors.base import DeferrableSensor
from airflow_provider_air.triggers.deferring import not_before

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.triggers.base import OneEventTrigger


class MlflowModelSensor(DeferrableSensor):
    """
    Wait until a model has a version, or a version has an alias; the XCom is the version's number.

    :param model_name: the registered model, which need not exist yet
    :param alias: wait until a version has it; without it any version counts
    :param at_least: the lowest version that counts
    """

    template_fields: Sequence[str] = ("mlflow_conn_id", "model_name", "alias", "at_least")

    def __init__(
        self,
        *,
        model_name: str,
        alias: str | None = None,
        at_least: int | str = 1,
        mlflow_conn_id: str = "mlflow_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.alias = alias
        self.at_least = at_least
        self.mlflow_conn_id = mlflow_conn_id

    def look(self, context: Context) -> PokeReturnValue:
        """Look once."""
        from airflow_provider_air.attachments.mlflow.models import ModelRegistry

        if not self.model_name:
            raise ConfigurationError("'model_name' is empty")
        registry = ModelRegistry(MlflowHook(self.mlflow_conn_id).get_conn())
        found = registry.look(self.model_name, self.alias, self._least())
        return PokeReturnValue(is_done=found is not None, xcom_value=found and found.version)

    def trigger(self, context: Context, until: float) -> OneEventTrigger:
        """Ask MLflow again and again."""
        from airflow_provider_air.triggers.mlflow import MlflowModelTrigger

        return MlflowModelTrigger(
            mlflow_conn_id=self.mlflow_conn_id,
            model_name=self.model_name,
            alias=self.alias,
            at_least=self._least(),
            deadline=until,
            poll_interval_seconds=min(float(self.poke_interval), 10.0),
            not_before=not_before(),
        )

    def judge(self, event: Any) -> int:
        """Give the version."""
        from airflow_provider_air.triggers.polling import failure_of_wait

        told = event if isinstance(event, dict) else {}
        if told.get("outcome") == "ready" and isinstance(told.get("version"), int):
            return int(told["version"])
        what = f"{self.model_name} {f'@{self.alias}' if self.alias else ''}".strip()
        if told.get("outcome") == "deadline":
            raise AirflowSensorTimeout(
                f"The model {what} was not there within {self.timeout:g} s: {told.get('message')}"
            )
        raise failure_of_wait(event)

    def _least(self) -> int:
        try:
            return int(self.at_least)
        except (TypeError, ValueError):
            raise ConfigurationError(f"'at_least' must be a version's number, not {self.at_least!r}") from None
