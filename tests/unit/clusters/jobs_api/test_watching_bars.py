"""Whatever a job writes into its log comes home as a terminal would leave it, over HTTP."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api import watching
from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, Observation
from airflow_provider_air.ray_api import feed
from airflow_provider_air.ray_api.feed import borrow_feed
from airflow_provider_air.ray_api.lines import BAR_SECONDS
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.kinds.logs import Written, named

LOGS = named(Written)
SECONDS = 120.0


class Watched:
    """All that one watch gave, on a clock of its own."""

    def __init__(self, transport: Transport, **settings: Any) -> None:
        self.lines: list[str] = []
        self.offset = 0
        self.now = 0.0
        self._transport = transport
        self._settings = FollowSettings("job", **settings)

    async def to_the_end(self) -> None:
        async with asyncio.timeout(SECONDS), borrow_feed("head", self._open) as shared:
            async for seen in JobWatch(shared, self._settings, lambda: self.now).follow():
                if isinstance(seen, FollowEnd):
                    return
                self._take(seen)

    async def _open(self) -> Transport:
        return self._transport

    def _take(self, seen: Observation) -> None:
        self.lines += seen.lines
        self.offset = seen.log_offset

    async def shows(self, lines: list[str]) -> None:
        end = time.monotonic() + SECONDS
        while self.lines != lines:
            assert time.monotonic() < end, self.lines
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("written", [value for _, value in LOGS], ids=[name for name, _ in LOGS])
@pytest.mark.parametrize("size", [50, 1 << 18])
async def test_a_log_comes_home_in_reads_of_any_size(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch, written: Written, size: int
) -> None:
    monkeypatch.setattr(watching, "READ_BYTES", max(size, len(written.log) // 50))
    head.add_job("job", "SUCCEEDED", log=written.log)
    watched = Watched(transport)

    await watched.to_the_end()

    assert watched.lines == written.lines


async def test_a_bar_that_goes_on_is_shown_when_its_time_has_come_and_taken_over_behind_that(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job", log="start\n\r10%\r20%")
    first = Watched(transport)
    following = asyncio.create_task(first.to_the_end())
    await first.shows(["start"])
    first.now += BAR_SECONDS
    await first.shows(["start", "20%"])
    following.cancel()
    await asyncio.wait([following])

    head.append_log("job", "\r30%\r100%\n")
    head.set_status("job", "SUCCEEDED")
    second = Watched(transport, log_offset=first.offset)
    await second.to_the_end()

    assert second.lines == ["100%"]


async def test_a_bar_is_not_read_seldom_while_there_is_more_of_it(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty reads, each as late after the one before as the first one, or half as late again."""
    monkeypatch.setattr(watching, "READ_BYTES", 40)
    monkeypatch.setattr(watching, "QUIET_LOG_SECONDS", 600.0)
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(feed, "YOUNG_POLL_SECONDS", 0.01)
    bar = "".join(f"\r{number:3d}% of a bar" for number in range(101))
    head.add_job("job", log=bar + "\n")
    watched = Watched(transport)
    following = asyncio.create_task(watched.to_the_end())
    await watched.shows(["100% of a bar"])
    head.set_status("job", "SUCCEEDED")
    await following
