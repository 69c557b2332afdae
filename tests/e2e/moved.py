"""An operator whose first trigger is of a class that no triggerer can import, as after a deployment without it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.triggers.run import RayRunTrigger


class MovedTrigger(RayRunTrigger):
    """Says that it lives where nothing is."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give a class path that leads nowhere."""
        return f"{__name__}_away.{type(self).__qualname__}", super().serialize()[1]


class OperatorWithMovedTrigger(RaySubmitJobOperator):
    """Only its first try's trigger cannot be found."""

    def execute(self, context: Context) -> Any:
        self.is_first = context["ti"].try_number == 1
        return super().execute(context)

    def defer(self, *, trigger: Any, **options: Any) -> Any:
        moved = MovedTrigger(**trigger.serialize()[1]) if self.is_first else trigger
        super().defer(trigger=moved, **options)
