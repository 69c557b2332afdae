"""A log that is longer than its reader takes at once is neither lost nor repeated; the rest is named."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings
from airflow_provider_air.ray_api.feed import borrow_feed
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.lines import FLOOD_LINES, log_entries
from tests.fakes.ray_dashboard import FakeRayDashboard

LINES = [f"line {number} {'ä' * (number % 7)}" for number in range(1, 1001)]
LOG = "".join(f"{line}\n" for line in LINES)


async def watch(transport: Transport, settings: FollowSettings) -> tuple[list[list[str]], FollowEnd]:
    async def open_transport() -> Transport:
        return transport

    shown: list[list[str]] = []
    async with borrow_feed("head", open_transport) as feed:
        async for seen in JobWatch(feed, settings).follow():
            if isinstance(seen, FollowEnd):
                return shown, seen
            shown.append(seen.lines)
    raise AssertionError("no end")


@pytest.mark.parametrize("tail", ["", "and no newline"])
async def test_what_a_limited_reader_leaves_is_shown_from_exactly_there(
    head: FakeRayDashboard, transport: Transport, tail: str
) -> None:
    head.add_job("job", "SUCCEEDED", log=LOG + tail)

    first, end = await watch(transport, FollowSettings("job", lines_at_once=200))
    assert end.log_rest is not None
    second, last = await watch(transport, FollowSettings("job", log_offset=end.log_rest))

    assert max(map(len, first)) == 200
    assert [line for lines in first + second for line in lines] == LINES + [tail] * bool(tail)
    assert last.log_rest is None


async def test_limited_reader_leaves_nothing_of_a_log_that_it_can_take(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job", "SUCCEEDED", log="".join(f"{line}\n" for line in LINES[:200]))

    shown, end = await watch(transport, FollowSettings("job", lines_at_once=200))

    assert [line for lines in shown for line in lines] == LINES[:200]
    assert end.log_rest is None


async def test_a_drain_that_goes_on_is_not_cut_short(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_air.clusters.jobs_api.watching.READ_BYTES", 64)
    monkeypatch.setattr("airflow_provider_air.clusters.jobs_api.watching.DRAIN_SECONDS", 0.05)
    head.add_job("job", "SUCCEEDED", log=LOG)

    shown, _ = await watch(transport, FollowSettings("job"))

    assert [line for lines in shown for line in lines] == LINES


def test_a_few_lines_are_an_entry_each_and_a_flood_comes_in_blocks() -> None:
    few, many = LINES[:FLOOD_LINES], LINES[: FLOOD_LINES + 1]

    assert list(log_entries(few)) == few
    assert list(log_entries(many)) == ["\n".join(few), many[-1]]
    assert list(log_entries([])) == []
