"""What the next triggerer and people read while a task waits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.watching import Observation
from airflow_provider_air.triggers.progress import ProgressXCom
from tests.fakes.task_context import Supervisor

TASK = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
JOB = JobDetails("air-1", JobStatus.RUNNING)


def progress() -> ProgressXCom:
    return ProgressXCom(TASK, "air-1")


def seen(offset: int, *records: dict[str, Any]) -> Observation:
    return Observation(JOB, [], offset, [{"seq": number, **record} for number, record in enumerate(records)])


async def test_a_first_watch_begins_at_the_start(supervisor: Supervisor) -> None:
    assert await progress().take_over() == (0, True)
    assert supervisor.xcoms["progress"]["clean"] is False


async def test_a_clean_end_is_taken_over_exactly(supervisor: Supervisor) -> None:
    first = progress()
    await first.take_over()
    first.note(seen(42, {"kind": "progress", "message": "half"}))
    await first.write(clean=True)

    second = progress()

    assert await second.take_over() == (42, True)
    assert second.next_record == 1


async def test_an_interruption_is_taken_over_from_what_was_surely_shown(supervisor: Supervisor) -> None:
    first = progress()
    await first.take_over()
    for offset in (10, 20):
        first.note(seen(offset))
        await first.write()

    offset, exact = await progress().take_over()

    assert offset <= 20
    assert exact is False


async def test_what_people_see_is_the_last_of_each(supervisor: Supervisor) -> None:
    board = progress()
    await board.take_over()
    board.note(
        seen(
            5,
            {"kind": "progress", "message": "epoch", "done": 1, "total": 2},
            {"kind": "metric", "values": {"a": 1.0, "b": 2.0}, "step": 1},
            {"kind": "metric", "values": {"a": 3.0}, "step": 2},
            {"kind": "checkpoint", "uri": "s3://b/c"},
        )
    )
    board.note_tasks({"work": {"RUNNING": 1}})
    board.note_tasks({})
    await board.write()

    value = supervisor.xcoms["progress"]
    assert (value["status"], value["message"], value["done"], value["total"]) == ("RUNNING", "epoch", 1, 2)
    assert (value["values"], value["step"]) == ({"a": 3.0, "b": 2.0}, 2)
    assert (value["checkpoint"], value["tasks"]) == ("s3://b/c", {"work": {"RUNNING": 1}})
    json.dumps(value)


async def test_writes_are_rare_and_only_where_something_changed(supervisor: Supervisor) -> None:
    board = progress()
    await board.take_over()
    before = len(supervisor.history)
    for offset in range(100):
        board.note(seen(offset))
        await board.write_if_due()
    board._next_write = 0.0
    await board.write_if_due()
    board._next_write = 0.0
    await board.write_if_due()

    assert len(supervisor.history) == before + 1


async def test_writes_do_not_overtake_each_other(supervisor: Supervisor) -> None:
    board = progress()
    await board.take_over()
    for offset in range(20):
        board.note(seen(offset))
        await asyncio.gather(board.write(), board.write())
    await board.write(clean=True)

    offsets = [value["log_offset"] for _, value in supervisor.history]
    assert offsets == sorted(offsets)
    assert offsets[-1] == 19
