"""A trigger that has its event at once waits until its worker has left."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_air.triggers import base
from airflow_provider_air.triggers.base import OneEventTrigger


class Knowing(OneEventTrigger):
    """Knows what it tells."""

    def arguments(self) -> dict[str, Any]:
        return {}

    async def event(self) -> dict[str, Any]:
        return {"told": 1}


async def fired(trigger: Knowing) -> float:
    """Give how long one took to fire."""
    began = time.monotonic()
    assert [event.payload async for event in trigger.run()] == [{"told": 1}]
    return time.monotonic() - began


async def test_a_young_trigger_waits_and_fires_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SETTLE_SECONDS", 0.3)
    trigger = Knowing()

    assert await fired(trigger) >= 0.3
    assert trigger._fired
    assert trigger.serialize() == (f"{__name__}.Knowing", {})
