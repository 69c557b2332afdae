"""
What Airflow gives a task while it runs: state store, task instance, context, and the line to its supervisor.

Values cross that line by Airflow's own encoders, so what the real one refuses is refused here, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import msgspec
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    DagRunStateResult,
    ErrorResponse,
    GetDagRunState,
    GetTaskStates,
    GetVariable,
    GetXCom,
    GetXComCount,
    GetXComSequenceItem,
    PutVariable,
    SetTaskStateStore,
    SetXCom,
    TaskStatesResult,
    VariableResult,
    XComCountResponse,
    XComResult,
    XComSequenceIndexResult,
    _RequestFrame,
)
from airflow.sdk.execution_time.xcom import XCom

T = TypeVar("T")

# Airflow warns beyond (3.3), and a database may refuse.
STORE_LIMIT_BYTES = 64 * 1024


def over_the_line(message: Any) -> Any:
    """
    Give a message's value as the api-server gets it (3.3.2).

    :raises TypeError: the line carries no such type
    :raises ValueError: it is NaN or infinite somewhere
    """
    frame = _RequestFrame(id=0, body=message.model_dump()).as_bytes()
    arrived = msgspec.msgpack.decode(frame[4:])[1]["value"]
    return json.loads(httpx.Request("POST", "http://airflow", json=arrived).content)


def _stored(value: Any) -> Any:
    """Give a task's XCom as the database has it."""
    form = XCom.serialize_value(value)
    return over_the_line(SetXCom(key="return_value", value=form, dag_id="flights", task_id="train", run_id="manual__1"))


class Store:
    """Airflow's task state store in memory; holds JSON text, as the real one does."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any) -> None:
        if value is None:
            raise ValueError("Cannot set value as None")
        text = json.dumps(over_the_line(SetTaskStateStore(ti_id=uuid4(), key=key, value=value, expires_at=None)))
        if len(text) > STORE_LIMIT_BYTES:
            raise ValueError(f"{key} has {len(text)} bytes")
        self.rows[key] = text

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)


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
        message = SetXCom(
            key=key,
            value=XCom.serialize_value(value),
            dag_id=self.dag_id,
            task_id=self.task_id,
            run_id=self.run_id,
            map_index=self.map_index,
        )
        self.xcoms[key] = XCom.deserialize_value(XComResult(key=key, value=over_the_line(message)))
        line = getattr(task_runner, "SUPERVISOR_COMMS", None)
        if isinstance(line, Supervisor):
            line.send(message)


def task_context(store: Store, *, clear_number: int = 0, retries: int = 2, **ti: Any) -> Any:
    """
    Give the context of one try.

    :param clear_number: the run's: it grows with a clear of any of its tasks
    :param retries: of the task
    :param ti: fields of :class:`FakeTaskInstance`
    """
    return {
        "ti": FakeTaskInstance(**ti),
        "task": SimpleNamespace(retries=retries, email=None, owner=None),
        "task_state_store": store,
        "dag_run": SimpleNamespace(clear_number=clear_number),
    }


class Supervisor:
    """
    Stands at the other end of Airflow's line between a task or trigger and its supervisor.

    :param state: what it says of every task's state
    :param mapped: what mapped tasks have returned, by task
    """

    def __init__(self, state: str = "deferred", mapped: dict[str, list[Any]] | None = None) -> None:
        self.state = state
        self.mapped = {task: [_stored(value) for value in values] for task, values in (mapped or {}).items()}
        self.xcoms: dict[str, Any] = {}
        self.history: list[tuple[str, Any]] = []
        self.asked: list[GetTaskStates] = []
        self.variables: dict[str, str] = {}
        self.dag_runs: dict[str, Any] = {}
        """By run id its state, or the status with which the api-server refuses to say; absent: it knows no such run."""

    def send(self, message: Any) -> Any:
        if isinstance(message, SetXCom):
            self.xcoms[message.key] = value = over_the_line(message)
            self.history.append((message.key, value))
        if isinstance(message, (GetXComCount, GetXComSequenceItem)):
            return self._of_mapped(message)
        if isinstance(message, GetXCom):
            return XComResult(key=message.key, value=self.xcoms.get(message.key))
        if isinstance(message, PutVariable):
            self.variables[message.key] = str(message.value)
        if isinstance(message, GetVariable):
            return self._variable(message.key)
        if isinstance(message, GetDagRunState):
            return self._of_run(self.dag_runs.get(message.run_id, 404))
        if isinstance(message, GetTaskStates):
            self.asked.append(message)
            mapped = message.map_index is not None and message.map_index >= 0
            names = [f"{name}_{message.map_index}" if mapped else name for name in message.task_ids or []]
            states = {run: dict.fromkeys(names, self.state) for run in message.run_ids or []}
            return TaskStatesResult(task_states=states)
        return None

    def _variable(self, key: str) -> Any:
        if key not in self.variables:
            return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND)
        return VariableResult(key=key, value=self.variables[key])

    def _of_run(self, state: str | int) -> Any:
        if isinstance(state, int):
            refusal = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": state})
            raise AirflowRuntimeError(refusal)
        return DagRunStateResult.model_validate({"state": state})

    def _of_mapped(self, message: GetXComCount | GetXComSequenceItem) -> Any:
        items = self.mapped[message.task_id]
        if isinstance(message, GetXComCount):
            return XComCountResponse(len=len(items))
        if message.offset >= len(items):
            return ErrorResponse(error=ErrorType.XCOM_NOT_FOUND)
        return XComSequenceIndexResult(root=items[message.offset])

    async def asend(self, message: Any) -> Any:
        return self.send(message)


@contextmanager
def supervised(supervisor: T) -> Iterator[T]:
    """Have this stand at the other end of this process's line; Airflow has no other seam for it."""
    names = vars(task_runner)
    had = {name: names[name] for name in ("SUPERVISOR_COMMS",) if name in names}
    names["SUPERVISOR_COMMS"] = supervisor
    try:
        yield supervisor
    finally:
        names.pop("SUPERVISOR_COMMS", None)
        names.update(had)
