"""A job's records reach its attachments while it runs, and no server holds up the watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from airflow_provider_air.attachment import Voyage
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.hooks.attachments import Riders
from airflow_provider_air.identity import TaskKey
from airflow_provider_air.triggers import live
from airflow_provider_air.triggers.live import LiveRecords
from tests.fakes.attachment import SERVERS, FakeTracker, FakeTrackerSpec

VOYAGE = Voyage(TaskKey("here", "d", "r", "t"), "air-1", "run", 1, 1, "train", "c")


class Taking(FakeTracker):
    """Counts its calls, and may be away."""

    calls = 0
    is_away = False

    def on_record(self, voyage: Voyage, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        self.calls += 1
        if self.is_away:
            raise UnavailableError("away")
        super().on_record(voyage, state, records)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Taking]:
    monkeypatch.setattr(live, "HAND_OVER_SECONDS", 0.0)
    made = SERVERS["live"] = Taking()
    yield made
    del SERVERS["live"]


def riders(tracker: Taking) -> dict[str, Any]:
    state = dict(tracker.before_submit(VOYAGE).state)
    return Riders([FakeTrackerSpec("live")], VOYAGE, {"fake": state}).to_json()


def records(*numbers: int) -> list[dict[str, Any]]:
    return [{"kind": "metric", "seq": number, "values": {"loss": 1.0}} for number in numbers]


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_they_arrive_while_the_job_runs(tracker: Taking) -> None:
    board = LiveRecords(riders(tracker))
    board.note(records(0, 1))
    await until(lambda: tracker.runs["run"].records)
    assert [number for _, number in tracker.runs["run"].records] == [0, 1]
    assert tracker.runs["run"].status == "RUNNING"


async def test_what_is_not_due_waits_and_goes_together(tracker: Taking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HAND_OVER_SECONDS", 3600.0)
    board = LiveRecords(riders(tracker))
    for number in range(5):
        board.note(records(number))
    assert tracker.calls == 0
    board._next = 0.0
    board.note([])
    await board.finish()
    assert (tracker.calls, len(tracker.runs["run"].records)) == (1, 5)


async def test_a_server_that_is_away_is_asked_ever_more_seldom(
    tracker: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HAND_OVER_SECONDS", 0.02)
    tracker.is_away = True
    board = LiveRecords(riders(tracker))
    pauses = []
    for number in range(4):
        board._next = 0.0
        board.note(records(number))
        await board.finish()
        pauses.append(board._pause)
    assert pauses == pytest.approx([0.04, 0.08, 0.16, 0.32])
    tracker.is_away = False
    board._next = 0.0
    board.note(records(4))
    await board.finish()
    assert board._pause == pytest.approx(0.02)


async def test_without_attachments_nothing_is_kept(tracker: Taking) -> None:
    board = LiveRecords(None)
    board.note(records(0))
    await board.finish()
    assert (board._records, tracker.calls) == ([], 0)
