"""A task that defers, in tests without a scheduler: its worker, its trigger and its worker again, in this process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.triggers.base import TriggerEvent

from airflow_provider_air.drivers.wire.names import records_name
from tests.fakes.ray_dashboard import FakeRayDashboard

# Options of an operator that defers as soon as it waits.
DEFERS: dict[str, Any] = {"deferrable": True, "deferral_grace_seconds": 0}


def deferred(operator: Any, context: Any) -> TaskDeferred:
    """Execute the operator until it defers."""
    with pytest.raises(TaskDeferred) as raised:
        operator.execute(context)
    return raised.value


def event_of(trigger: Any) -> Any:
    """
    Run a trigger to its event, and give its payload as it comes out of Airflow's database.

    :raises ValueError: the triggerer's line to its supervisor, or the database, does not take it
    """

    async def first() -> TriggerEvent:
        return await anext(trigger.run())

    return as_stored(asyncio.run(first()).payload)


def as_stored(payload: Any) -> Any:
    """Give an event's payload as a worker gets it (3.3.2): msgpack to the supervisor, then JSON."""
    crossed = msgspec.msgpack.decode(msgspec.msgpack.encode(payload))
    return json.loads(json.dumps(crossed, allow_nan=False))


def resume(operator: Any, context: Any, pause: TaskDeferred, event: Any) -> Any:
    """Go on after a deferral, as a worker does."""
    kwargs = json.loads(json.dumps(pause.kwargs or {}))
    return operator.resume_execution(pause.method_name, {**kwargs, "event": event}, context)


def write_records(head: FakeRayDashboard, name: str, *records: dict[str, Any]) -> None:
    """Let a job's driver write records."""
    lines = [json.dumps({"v": 1, "seq": i, "t": 0.0, **record}) for i, record in enumerate(records)]
    head.append_file(records_name(name), "".join(line + "\n" for line in lines))
