"""What Airflow gives a task while it runs: state store, task instance, context, and the line to its supervisor."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.comms import GetTaskStates, GetXCom, SetXCom, TaskStatesResult, XComResult


class Store:
    """Airflow's task state store in memory; holds JSON text, as the real one does."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any) -> None:
        self.rows[key] = json.dumps(value)


@dataclass
class FakeTaskInstance:
    """One try of a task instance, as a worker sees it."""

    dag_id: str = "flights"
    run_id: str = "manual__1"
    task_id: str = "train"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 2
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = json.loads(json.dumps(value))


def task_context(store: Store, *, clear_number: int = 0, **ti: Any) -> Any:
    """Give the context of one try; ``ti`` are fields of :class:`FakeTaskInstance`."""
    return {
        "ti": FakeTaskInstance(**ti),
        "task_state_store": store,
        "dag_run": SimpleNamespace(clear_number=clear_number),
    }


class Supervisor:
    """
    Stands at the other end of Airflow's line between a task or trigger and its supervisor.

    :param state: what it says of every task's state
    """

    def __init__(self, state: str = "deferred") -> None:
        self.state = state
        self.xcoms: dict[str, Any] = {}
        self.history: list[tuple[str, Any]] = []
        self.asked: list[GetTaskStates] = []

    def send(self, message: Any) -> Any:
        if isinstance(message, SetXCom):
            self.xcoms[message.key] = message.value
            self.history.append((message.key, message.value))
        if isinstance(message, GetXCom):
            return XComResult(key=message.key, value=self.xcoms.get(message.key))
        if isinstance(message, GetTaskStates):
            self.asked.append(message)
            mapped = message.map_index is not None and message.map_index >= 0
            names = [f"{name}_{message.map_index}" if mapped else name for name in message.task_ids or []]
            states = {run: dict.fromkeys(names, self.state) for run in message.run_ids or []}
            return TaskStatesResult(task_states=states)
        return None

    async def asend(self, message: Any) -> Any:
        return self.send(message)
