"""An operator whose first trigger is of a class that no triggerer can import, as after a deployment without it."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.triggers.run import RayRunTrigger
from tests.e2e.first_trigger import OperatorWithBadTrigger


class MovedTrigger(RayRunTrigger):
    """Says that it lives where nothing is."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give a class path that leads nowhere."""
        return f"{__name__}_away.{type(self).__qualname__}", super().serialize()[1]


class OperatorWithMovedTrigger(OperatorWithBadTrigger):
    """Its first trigger cannot be found."""

    bad = MovedTrigger
