"""What the next triggerer and people read while a task waits."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from typing import Any

import pytest

from airflow_provider_air.contracts.jobs import Observation
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.progress import MOST_VALUES, Progress
from tests.unit.runs.conftest import Board

JOB = JobDetails("air-1", JobStatus.RUNNING)


class SteppedClock(RealClock):
    """Stands still until a test moves it."""

    at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def board() -> Board:
    return Board()


def progress(board: Board, clock: RealClock | None = None) -> Progress:
    return Progress(board, clock or RealClock(), "air-1")


def seen(offset: int, *records: dict[str, Any]) -> Observation:
    return Observation(JOB, [], offset, [{"seq": number, **record} for number, record in enumerate(records)])


async def test_a_first_watch_begins_at_the_start(board: Board) -> None:
    assert await progress(board).take_over() == (0, True)
    assert board.values["progress"]["clean"] is False


async def test_a_clean_end_is_taken_over_exactly(board: Board) -> None:
    first = progress(board)
    await first.take_over()
    first.note(seen(42, {"kind": "progress", "message": "half"}))
    await first.write(clean=True)

    second = progress(board)

    assert await second.take_over() == (42, True)
    assert second.next_record == 1


async def test_an_interruption_is_taken_over_from_what_was_surely_shown(board: Board) -> None:
    first = progress(board)
    await first.take_over()
    for offset in (10, 20):
        first.note(seen(offset))
        await first.write()

    offset, exact = await progress(board).take_over()

    assert offset <= 20
    assert exact is False


async def test_what_people_see_is_the_last_of_each(board: Board) -> None:
    shown = progress(board)
    await shown.take_over()
    shown.note(
        seen(
            5,
            {"kind": "progress", "message": "epoch", "done": 1, "total": 2},
            {"kind": "metric", "values": {"a": 1.0, "b": 2.0}, "step": 1},
            {"kind": "metric", "values": {"a": 3.0}, "step": 2},
            {"kind": "checkpoint", "uri": "s3://b/c"},
        )
    )
    shown.note(Observation(JOB, tasks={"work": {"RUNNING": 1}}))
    shown.note(Observation(JOB, tasks={}))
    await shown.write()

    value = board.values["progress"]
    assert (value["status"], value["message"], value["done"], value["total"]) == ("RUNNING", "epoch", 1, 2)
    assert (value["values"], value["step"]) == ({"a": 3.0, "b": 2.0}, 2)
    assert (value["checkpoint"], value["tasks"]) == ("s3://b/c", {"work": {"RUNNING": 1}})
    json.dumps(value)


async def test_what_is_no_number_does_not_break_the_line_to_airflow(board: Board) -> None:
    shown = progress(board)
    await shown.take_over()
    shown.note(seen(5, {"kind": "metric", "values": {"a": math.nan, "b": -math.inf, "c": 1.0}, "step": 1}))
    shown.note(seen(5, {"kind": "progress", "message": "m", "done": math.nan}))
    await shown.write()

    assert board.values["progress"]["values"] == {"a": None, "b": None, "c": 1.0}
    assert board.values["progress"]["done"] is None


async def test_what_is_sent_each_time_stays_small(board: Board) -> None:
    shown = progress(board)
    await shown.take_over()
    for first in range(0, 5000, 500):
        values = {f"m{number}": float(number) for number in range(first, first + 500)}
        shown.note(seen(5, {"kind": "metric", "values": values}))
    shown.note(seen(5, {"kind": "metric", "values": {"loss": 1.0}}))
    shown.note(seen(5, {"kind": "progress", "message": "x" * 1_000_000}))
    await shown.write()

    value = board.values["progress"]
    assert len(json.dumps(value)) < 10_000
    assert len(value["values"]) == MOST_VALUES
    assert (value["values"]["loss"], value["values"]["m4999"]) == (1.0, 4999.0)


async def test_writes_are_rare_and_only_where_something_changed(board: Board) -> None:
    clock = SteppedClock()
    shown = progress(board, clock)
    await shown.take_over()
    before = len(board.history)
    for offset in range(100):
        shown.note(seen(offset))
        await shown.write_if_due()
    for _ in range(2):
        clock.at += 2.0
        await shown.write_if_due()

    assert len(board.history) == before + 1


async def test_writes_do_not_overtake_each_other(board: Board) -> None:
    shown = progress(board)
    await shown.take_over()
    for offset in range(20):
        shown.note(seen(offset))
        await asyncio.gather(shown.write(), shown.write())
    await shown.write(clean=True)

    offsets = [value["log_offset"] for _, value in board.history]
    assert offsets == sorted(offsets)
    assert offsets[-1] == 19


class SlowBoard(Board):
    """Takes a value only when it is let; the thread that brings it knows of no cancellation."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.let = threading.Event()
        self.began = threading.Event()

    def write(self, key: str, value: Any) -> None:
        if self.is_slow and not value["clean"]:
            self.began.set()
            assert self.let.wait(30)
        super().write(key, value)


async def test_the_last_word_of_a_watch_that_is_cancelled_is_not_overtaken_by_the_word_before() -> None:
    board = SlowBoard()
    shown = progress(board)
    await shown.take_over()
    board.is_slow = True
    writing = asyncio.create_task(shown.write())
    assert await asyncio.to_thread(board.began.wait, 30)
    writing.cancel()

    last = asyncio.create_task(shown.write(clean=True))
    await asyncio.sleep(0.05)
    board.let.set()
    await last
    while len(board.history) < 3:
        await asyncio.sleep(0.01)

    assert board.values["progress"]["clean"] is True
