"""Waits for a version or an alias of a registered model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from airflow_provider_air.attachments.mlflow.models import ModelRegistry
from airflow_provider_air.connections.raising import airflow_errors
from airflow_provider_air.errors import ConfigurationError, DeadlineExceededError, ProtocolError
from airflow_provider_air.hooks.mlflow import MlflowHook
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop, not_before

if TYPE_CHECKING:
    from airflow.sdk import Context


class MlflowModelSensor(BaseSensorOperator):
    """
    Wait until a model has a version, or a version has an alias; the XCom is the version's number.

    :param model_name: the registered model, which need not exist yet
    :param alias: wait until a version has it; without it any version counts
    :param at_least: the lowest version that counts
    :param deferrable: wait in the triggerer; False pokes on the worker
    """

    template_fields: Sequence[str] = ("mlflow_conn_id", "model_name", "alias", "at_least")

    def __init__(
        self,
        *,
        model_name: str,
        alias: str | None = None,
        at_least: int | str = 1,
        mlflow_conn_id: str = "mlflow_default",
        deferrable: bool = DEFAULT_DEFERRABLE,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_name = model_name
        self.alias = alias
        self.at_least = at_least
        self.mlflow_conn_id = mlflow_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; wait if it is not there."""
        if not self.deferrable:
            return super().execute(context)
        with airflow_errors():
            version = self._look()
            if version is not None:
                return version
            self.log.info("Waiting for %s", self)
            from airflow_provider_air.triggers.mlflow import MlflowModelTrigger

            trigger = MlflowModelTrigger(
                mlflow_conn_id=self.mlflow_conn_id,
                model_name=self.model_name,
                alias=self.alias,
                at_least=self._least(),
                deadline=time.time() + self.timeout,
                poll_interval_seconds=min(float(self.poke_interval), 10.0),
                not_before=not_before(),
            )
            return self.defer(
                trigger=trigger,
                method_name=self.on_ready.__name__,
                timeout=backstop(time.time() + self.timeout),
            )

    def on_ready(self, context: Context, event: Any) -> int:
        """Judge what the trigger saw; called on a worker."""
        with airflow_errors():
            told = event if isinstance(event, dict) else {}
            if told.get("outcome") == "ready" and isinstance(told.get("version"), int):
                return int(told["version"])
            what = f"{self.model_name} {f'@{self.alias}' if self.alias else ''}".strip()
            if told.get("outcome") == "deadline":
                raise DeadlineExceededError(
                    f"The model {what} was not there within {self.timeout:g} s: {told.get('message')}"
                )
            if told.get("outcome") == "refused":
                raise ConfigurationError(f"MLflow refuses us: {told.get('message')}")
            raise ProtocolError(f"The trigger's event is not understood: {event!r}"[:500])

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        with airflow_errors():
            version = self._look()
            return PokeReturnValue(is_done=version is not None, xcom_value=version)

    def _look(self) -> int | None:
        if not self.model_name:
            raise ConfigurationError("'model_name' is empty")
        registry = ModelRegistry(MlflowHook(self.mlflow_conn_id).get_conn())
        found = registry.look(self.model_name, self.alias, self._least())
        return None if found is None else found.version

    def _least(self) -> int:
        try:
            return int(self.at_least)
        except (TypeError, ValueError):
            raise ConfigurationError(f"'at_least' must be a version's number, not {self.at_least!r}") from None
