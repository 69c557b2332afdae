"""Waits in the triggerer for any step of a run; stops what runs when a person says so."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.connections.ports import watch_ports
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.errors import AirError
from airflow_provider_air.runs.watch import Watch
from airflow_provider_air.triggers.base import OneEventTrigger
from airflow_provider_air.triggers.killing import finish, why_killed

# The triggerer hands 4 KiB of log to its supervisor per turn (3.3.2: some 300 KB/s), and its event loop stands still
# while more than 200 KB wait. So it shows what it can, and the worker shows the rest at the job's end.
LINES_AT_ONCE = 1000


class RayRunTrigger(OneEventTrigger):
    """
    Fires the event of a run's step, see :meth:`~airflow_provider_air.runs.watch.Watch.event`.

    :param step: the JSON form of the :class:`~airflow_provider_air.contracts.runs.Wait`
    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the waiting task instance
    """

    def __init__(self, *, step: dict[str, Any], task: dict[str, Any], **more: Any) -> None:
        super().__init__(**more)
        self.step = step
        self.task_names = task
        self._watch: Watch | None = None

    def arguments(self) -> dict[str, Any]:
        """Give the constructor's arguments."""
        return {"step": self.step, "task": self.task_names}

    def _open(self) -> Watch:
        ports = watch_ports(self.task_names, self.log)
        return Watch(Wait.from_json(self.step), ports, lines_at_once=LINES_AT_ONCE)

    async def event(self) -> dict[str, Any]:
        """Watch until there is something to say; runs in the triggerer."""
        self._watch = self._open()
        told = await self._watch.event()
        assert told is not None
        return told

    async def cleanup(self) -> None:
        """Note exactly how much of the log was shown, for the triggerer that goes on; stops nothing."""
        if not self._fired and self._watch is not None:
            await self._watch.cleanup()

    async def on_kill(self) -> None:
        """Stop what runs when a person cleared the task or marked it; in the triggerer, within 30 s."""
        if not self._fired:
            await finish(self._kill())

    async def _kill(self) -> None:
        why = await why_killed(self.task_names, self.log)
        if why == "moved":
            return
        try:
            await (self._watch or self._open()).kill(is_taken=why == "taken")
        except AirError as error:
            self.log.warning("What runs could not be stopped: %s", error)
