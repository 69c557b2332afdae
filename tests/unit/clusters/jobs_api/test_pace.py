"""How often a cluster is asked, and how many that begin at once take turns."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import FollowSettings
from airflow_provider_air.ray_api import feed as feeds
from airflow_provider_air.ray_api.feed import ClusterFeed, OpenTransport, borrow_feed
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

MANY = feeds.BY_ID_AT_MOST + 1


async def open_transport() -> Transport:
    return Transport("http://127.0.0.1:9")


def opener(head: FakeRayDashboard) -> OpenTransport:
    async def open_head() -> Transport:
        return Transport(head.url, token=head.token)

    return open_head


def feed() -> ClusterFeed:
    return ClusterFeed(open_transport)


async def test_one_slow_list_does_not_hold_up_the_next_but_two_do() -> None:
    asked = feed()

    pauses = [asked._pause_after(seconds, MANY) for seconds in (0.02, 1.0, 0.8, 60.0, 60.0, 0.02)]

    assert pauses == [0.5, 0.5, 8.0, 8.0, feeds.PAUSE_AT_MOST_SECONDS, 0.5]


async def test_what_those_who_wait_do_with_a_look_counts_as_much_as_the_list(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(name: str) -> None:
        async with shared.watching(name):
            while True:
                await shared.look(name)
                time.sleep(0.02)

    took: list[float] = []

    def soon(feed: ClusterFeed, seconds: float, count: int) -> float:
        took.append(seconds)
        return 0.01

    monkeypatch.setattr(ClusterFeed, "_pause_after", soon)
    async with borrow_feed("busy", opener(head)) as shared:
        watches = [asyncio.create_task(busy(head.add_job(f"job-{number}"))) for number in range(MANY)]
        async with asyncio.timeout(60):
            while len(took) < 4:
                await asyncio.sleep(0.01)
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)

    # The first polls may be those of who came first.
    assert took[-1] > MANY * 0.02


async def test_a_slow_answer_by_id_pauses_no_longer_than_it_took() -> None:
    asked = feed()

    assert [asked._pause_after(seconds, 1) for seconds in (0.02, 1.0, 60.0)] == [0.5, 1.0, 15.0]


async def test_a_job_that_came_lately_is_asked_for_more_often() -> None:
    asked = feed()

    async with asked.watching("young"):
        assert asked._pause_after(0.01, 1) == feeds.YOUNG_POLL_SECONDS
        assert asked._pause_after(0.01, MANY) == feeds.POLL_SECONDS
    await asked.aclose()


async def test_logs_of_many_jobs_that_begin_at_once_are_read_in_turn(head: FakeRayDashboard) -> None:
    async with borrow_feed("pace", opener(head)) as shared:
        names = [head.add_job(f"job-{number}", log="line\n") for number in range(400)]
        shared._watched.update(names)
        watches = [JobWatch(shared, FollowSettings(name)) for name in names]
        due = [watch._is_read_due() for watch in watches]
        begins = [watch._next_read or 0.0 for watch in watches]

    assert sum(due) < 40
    assert max(begins) - min(begins) > 5
