"""What all sensors share: where they wait, for how long over all tries, and what an error means to them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_air.connections.ports import read_fields, waits_since
from airflow_provider_air.connections.raising import sensor_errors
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.triggers.deferring import DEFAULT_DEFERRABLE, backstop

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.triggers.base import OneEventTrigger


class DeferrableSensor(BaseSensorOperator):
    """
    Base of the sensors: one look on a worker, then a wait in the triggerer. A sensor starts nothing.

    Deferred, ``timeout`` counts over all tries, from the first look since the task was cleared last, as Airflow's own
    does with ``mode="reschedule"``; it ends the task as ``AirflowSensorTimeout``, which is not retried. ``soft_fail``
    skips then, and where what is waited for has failed; an outage is retried. ``never_fail`` skips whatever the error.

    :param deferrable: wait in the triggerer; False pokes on the worker, as Airflow's ``mode`` says. By default
        Airflow's ``[operators] default_deferrable``
    """

    def __init__(self, *, deferrable: bool = DEFAULT_DEFERRABLE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable

    # What a sensor writes

    def look(self, context: Context) -> PokeReturnValue:
        """
        Look once; runs in a worker.

        :raises ConfigurationError: a field or a connection is wrong
        :raises RemoteFailureError: what is waited for has failed
        :raises UnavailableError: nobody answers
        """
        raise NotImplementedError

    def trigger(self, context: Context, until: float) -> OneEventTrigger:
        """
        Give what goes on looking in the triggerer.

        :param until: epoch seconds at which it gives up
        """
        raise NotImplementedError

    def judge(self, event: Any) -> Any:
        """
        Turn what the trigger has seen into the task's XCom; runs in a worker. Raises as :meth:`look` does.

        :raises AirflowSensorTimeout: it did not come in time
        :raises ProtocolError: the event is not about what was waited for
        """
        raise NotImplementedError

    def waits_on_worker(self) -> bool:
        """Tell whether it pokes on a worker."""
        return not self.deferrable

    # The edge to Airflow

    def execute(self, context: Context) -> Any:
        """
        Look once; wait if it is not there.

        :raises AirflowSensorTimeout: an earlier try, or this one, has used up the time
        :raises AirflowSkipException: instead of an error, by ``soft_fail`` or ``never_fail``
        """
        with sensor_errors(soft_fail=self.soft_fail, never_fail=self.never_fail):
            read_fields(self)
        if self.waits_on_worker():
            return super().execute(context)
        with sensor_errors(soft_fail=self.soft_fail, never_fail=self.never_fail):
            began = time.time()
            until = waits_since(context) + self.timeout
            is_over = began > until
            try:
                seen = self.look(context)
            except UnavailableError as error:
                if is_over:
                    raise
                # The trigger has patience of its own.
                self.log.warning("%s", error)
                seen = PokeReturnValue(is_done=False)
            if seen:
                return seen.xcom_value
            if is_over:
                raise AirflowSensorTimeout(f"It was not there within {self.timeout:g} s over all tries")
            trigger = self.trigger(context, until)
        return self.defer(trigger=trigger, method_name=self.on_event.__name__, timeout=backstop(until))

    def on_event(self, context: Context, event: Any) -> Any:
        """Judge what the trigger saw; called by Airflow on a worker."""
        with sensor_errors(soft_fail=self.soft_fail, never_fail=self.never_fail):
            read_fields(self)
            return self.judge(event)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; whatever else ``soft_fail`` and ``never_fail`` mean here is Airflow's."""
        with sensor_errors(soft_fail=self.soft_fail, never_fail=False):
            return self.look(context)
