"""Asks a server by HTTP again and again, through outages and with the connection's credentials as they are by then."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_air.contracts.runs import event_text
from airflow_provider_air.errors import AirError, ProtocolError, UnavailableError
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.triggers.base import OneEventTrigger


class PollingTrigger(OneEventTrigger):
    """
    Base of triggers that look until something is there.

    Fires ``{"outcome", "value", "message"}``, the first two by the words of the class; else the outcome is

    - ``deadline``: it was not there in time
    - ``unreachable``: nobody answered when the time was over. Until then a server that does not answer is asked again,
      and so is an Airflow that does not give the connection
    - ``refused``: also with the connection as it is now

    :param fields: the constructor's arguments, ``deadline`` (epoch seconds at which it gives up, or None) and
        ``poll_interval_seconds`` (the pause between two looks) among them
    """

    there: ClassVar[str] = "ended"
    value_name: ClassVar[str] = "value"

    def __init__(self, fields: Mapping[str, Any], **more: Any) -> None:
        super().__init__(**more)
        self.fields = dict(fields)

    def arguments(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return self.fields

    @abc.abstractmethod
    async def server(self) -> Any:
        """Open what is asked, by the connection as it is now; on the event loop."""

    @abc.abstractmethod
    def look(self, server: Any) -> Any:
        """Look once; what the event tells, or None to look again. Blocks."""

    async def event(self) -> dict[str, Any]:
        """Look until there is something to say; in the triggerer, or in the worker for ``deferrable=False``."""
        outcome, value, message = await self._wait()
        return {"outcome": outcome, self.value_name: value, "message": event_text(message, self.log)}

    async def _wait(self) -> tuple[str, Any, str]:
        deadline, server = self.fields["deadline"], None
        while True:
            outcome, message, is_new = "deadline", "it is not there yet", server is None
            try:
                server = server or await self.server()
                if (value := await RealClock().in_spare_thread(self.look, server)) is not None:
                    return self.there, value, ""
            except UnavailableError as error:
                outcome, message, server = "unreachable", str(error), None
            except AirError as error:
                if is_new:
                    return "refused", None, str(error)
                # Its credentials may be others by now.
                server = None
                continue
            if deadline is not None and time.time() >= deadline:
                return outcome, None, message
            await asyncio.sleep(self.fields["poll_interval_seconds"])


def failure_of_wait(event: Any) -> AirError:
    """
    Give the error for an event that tells neither of what was waited for nor of a deadline; the caller raises it.

    A mistake was known before the wait began, so what refuses us later is retried: it may be mended by then.
    """
    told = event if isinstance(event, dict) else {}
    if told.get("outcome") == "unreachable":
        return UnavailableError(f"Nobody answered when the time was over: {told.get('message')}")
    if told.get("outcome") == "refused":
        return UnavailableError(f"We are refused now: {told.get('message')}", hint="Correct the connection")
    return ProtocolError(f"The trigger's event is not understood: {event!r}"[:500])
