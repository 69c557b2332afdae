"""A trigger that has its event at once waits until its worker has left."""

from __future__ import annotations

import time
from typing import Any

import pytest

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


async def test_a_young_trigger_waits_and_fires_once() -> None:
    moment = time.time() + 0.3
    trigger = Knowing(not_before=moment)

    await fired(trigger)
    assert time.time() >= moment
    assert trigger.serialize() == (f"{__name__}.Knowing", {"version": 1, "not_before": moment})


@pytest.mark.parametrize("moment", [None, 0.0, time.time() - 60], ids=["none", "epoch", "past"])
async def test_what_has_settled_fires_at_once(moment: float | None) -> None:
    assert await fired(Knowing(not_before=moment)) < 10.0


async def test_one_that_breaks_does_not_do_so_before_its_worker_has_left() -> None:
    class Breaking(Knowing):
        async def event(self) -> dict[str, Any]:
            raise RuntimeError("a bug")

    moment = time.time() + 0.3
    with pytest.raises(RuntimeError, match="a bug"):
        await fired(Breaking(not_before=moment))
    assert time.time() >= moment


async def test_arguments_of_another_version_are_passed_over() -> None:
    assert await fired(Knowing(version=7, colour="red")) < 10.0
