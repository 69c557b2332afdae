"""An operator whose first trigger is a bad one; where DAGs can import it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from airflow.sdk import Context

from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.triggers.run import RayRunTrigger


class OperatorWithBadTrigger(RaySubmitJobOperator):
    """The run's first trigger is bad, whichever try it is of: a busy Airflow may lose one before its deferral."""

    bad: ClassVar[type[RayRunTrigger]]

    def open_run(self, context: Context) -> Any:
        """Note where it is marked that there was a trigger."""
        conf = context["dag_run"].conf or {}
        self.mark = Path(conf["folder"], "deferred")
        return super().open_run(context)

    def defer(self, *, trigger: Any, **options: Any) -> Any:
        if not self.mark.exists():
            self.mark.touch()
            trigger = self.bad(**trigger.serialize()[1])
        super().defer(trigger=trigger, **options)
