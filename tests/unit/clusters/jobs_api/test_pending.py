"""What a job waits for that Ray has not started: in Ray's own words, and what the cluster lacks, seldom asked."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api import pending
from airflow_provider_air.clusters.jobs_api.watching import JobWatch
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings
from airflow_provider_air.ray_api import feed as feeds
from airflow_provider_air.ray_api.feed import borrow_feed
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.ray_dashboard_state import NO_RESOURCES, SETTING_UP

SETUP = "the runtime environment to be set up"
RESOURCES = "resources (CPUs, GPUs, memory, custom resources) to become available"
BOTH = NO_RESOURCES + " It may be waiting for the runtime environment to be set up."


@pytest.fixture(autouse=True)
def no_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks over the whole cluster, which are for people, are not counted here."""
    monkeypatch.setattr(feeds, "FIRST_OVERVIEW_SECONDS", 600.0)


async def words(transport: Transport, looks: int = 1, name: str = "job") -> list[str]:
    """Give what so many looks say."""

    async def open_transport() -> Transport:
        return transport

    said: list[str] = []
    async with (
        borrow_feed("head", open_transport) as feed,
        aclosing(JobWatch(feed, FollowSettings(name)).follow()) as watch,
    ):
        async for seen in watch:
            assert not isinstance(seen, FollowEnd)
            said.append(seen.waiting_for)
            if len(said) == looks:
                break
    return said


@pytest.mark.parametrize(
    ("message", "reads"),
    [
        (SETTING_UP, SETUP),
        (NO_RESOURCES, RESOURCES),
        (BOTH, f"{RESOURCES}, or {SETUP}"),
        ("Another Ray has other words", "Another Ray has other words"),
        ("", "Ray to start it"),
    ],
)
async def test_rays_own_words_are_told_at_no_cost(
    message: str, reads: str, head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job", "PENDING", message=message)

    assert await words(transport, 3) == [reads] * 3
    assert {request.path for request in head.requests_to("*", "")} == {"/api/jobs/job"}


async def test_a_job_that_has_begun_waits_for_nothing(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job")

    assert await words(transport) == [""]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is asked at once, and then as seldom as ever."""
    monkeypatch.setattr(pending, "backoff_seconds", lambda *_: iter([0.0, *[60.0] * 9]))


async def test_what_the_cluster_lacks_is_asked_seldom_and_by_all_together(
    head: FakeRayDashboard, transport: Transport, soon: None
) -> None:
    for name in ("a", "b", "c"):
        wanted: dict[str, Any] = {"GPU": 1.0, "memory": 2.0**33}
        head.add_job(name, "PENDING", message=NO_RESOURCES, unschedulable=True, entrypoint_resources=wanted)

    said = await asyncio.gather(*(words(transport, 5, name) for name in ("a", "b", "c")))

    lacks = "; on the cluster wait: 1 GPU + 8.0 GiB memory, 1 GPU + 8.0 GiB memory, 1 GPU + 8.0 GiB memory; "
    assert said == [[f"{RESOURCES}{lacks}in use: 0 of 2 CPU, 0.0 GiB of 8.0 GiB memory"] * 5] * 3
    assert len(head.requests_to("GET", "cluster_status")) == 1


async def test_a_cluster_that_does_not_say_what_it_lacks_hides_nothing(
    head: FakeRayDashboard, transport: Transport, soon: None
) -> None:
    head.add_job("job", "PENDING", message=NO_RESOURCES)
    head.plan("GET", "cluster_status", status=500, times=None)

    assert await words(transport, 2) == [RESOURCES] * 2


async def test_an_end_by_the_deadline_says_what_was_waited_for(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("job", "PENDING", message=NO_RESOURCES)

    async def open_transport() -> Transport:
        return transport

    async with borrow_feed("head", open_transport) as feed:
        watch = JobWatch(feed, FollowSettings("job", until=time.time() + 0.3)).follow()
        *_, end = [seen async for seen in watch]

    assert isinstance(end, FollowEnd)
    assert (end.outcome, end.message) == ("deadline", RESOURCES)
