"""One poll serves all that wait for jobs of a cluster, and each of them on its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import pytest

from airflow_provider_air.errors import (
    AirError,
    ClusterNotReadyError,
    ClusterUnreachableError,
    ConfigurationError,
    UnavailableError,
)
from airflow_provider_air.ray_api import feed as feeds
from airflow_provider_air.ray_api.feed import BY_ID_AT_MOST, ClusterFeed, Look, borrow_feed, shared_jobs
from airflow_provider_air.ray_api.requests import get_job
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

SECONDS = 60.0


def opener(transport: Transport) -> Callable[[], Awaitable[Transport]]:
    async def open_transport() -> Transport:
        return transport

    return open_transport


async def look(feed: ClusterFeed, name: str) -> Look:
    async with feed.watching(name):
        return await asyncio.wait_for(feed.look(name), SECONDS)


async def looks(feed: ClusterFeed, names: list[str]) -> list[Look]:
    return list(await asyncio.gather(*(look(feed, name) for name in names)))


def status_of(seen: Look) -> str | None:
    return None if seen.job is None else seen.job.status.value


@pytest.mark.parametrize("count", [1, BY_ID_AT_MOST, BY_ID_AT_MOST + 1, 50])
async def test_each_gets_its_own_job_whether_asked_by_id_or_by_list(
    head: FakeRayDashboard, transport: Transport, count: int
) -> None:
    names = [f"job-{number}" for number in range(count)]
    for number, name in enumerate(names):
        head.add_job(name, "FAILED" if number % 2 else "RUNNING")

    async with borrow_feed("head", opener(transport)) as feed:
        seen = await looks(feed, names)

    assert [item.job.submission_id for item in seen if item.job] == names
    assert [status_of(item) for item in seen] == ["FAILED" if number % 2 else "RUNNING" for number in range(count)]
    assert bool(head.requests_to("GET", "^/api/jobs/$")) == (count > BY_ID_AT_MOST)


@pytest.mark.parametrize("count", [2, BY_ID_AT_MOST + 1])
async def test_an_unknown_job_is_no_error(head: FakeRayDashboard, transport: Transport, count: int) -> None:
    names = [f"job-{number}" for number in range(count)]
    for name in names[1:]:
        head.add_job(name)

    async with borrow_feed("head", opener(transport)) as feed:
        seen = await looks(feed, names)

    assert seen[0] == Look(session_name=head.session_name)
    assert [status_of(item) for item in seen[1:]] == ["RUNNING"] * (count - 1)


async def test_a_job_that_ray_cannot_describe_does_not_blind_the_others(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("good")
    head.add_job("bad")
    head.plan("GET", "^/api/jobs/bad$", status=500, times=None)

    async with borrow_feed("head", opener(transport)) as feed:
        good, bad = await looks(feed, ["good", "bad"])

    assert status_of(good) == "RUNNING"
    assert isinstance(bad.error, ClusterUnreachableError)


async def test_a_silent_cluster_is_an_error_for_all(head: FakeRayDashboard, transport: Transport) -> None:
    names = [f"job-{number}" for number in range(BY_ID_AT_MOST + 2)]
    head.plan("GET", ".*", drop=True, times=None)

    async with borrow_feed("head", opener(transport)) as feed:
        seen = await looks(feed, names)

    assert {type(item.error) for item in seen} == {ClusterUnreachableError}


async def test_a_node_list_that_fails_does_not_hide_the_jobs(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "NODE_CHECK_SECONDS", 0.0)
    head.add_job("job", "SUCCEEDED")
    head.plan("GET", "^/api/v0/nodes$", status=500, times=None)

    async with borrow_feed("head", opener(transport)) as feed:
        assert status_of(await look(feed, "job")) == "SUCCEEDED"


async def test_a_dead_node_is_told(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "NODE_CHECK_SECONDS", 0.0)
    head.add_job("job")

    async with borrow_feed("head", opener(transport)) as feed:
        assert (await look(feed, "job")).node_is_dead is False
        head.kill_node()
        assert (await look(feed, "job")).node_is_dead is True


async def test_borrowers_of_one_cluster_share_and_the_last_one_closes(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job")
    async with borrow_feed("head", opener(transport)) as first:
        async with borrow_feed("head", opener(transport)) as second:
            assert second is first
        assert status_of(await look(first, "job")) == "RUNNING"
        async with borrow_feed("other", opener(transport)) as other:
            assert other is not first

    with pytest.raises(AirError):
        await first.client.send(get_job("job"))
    async with borrow_feed("head", opener(transport)) as next_one:
        assert next_one is not first


async def test_a_borrower_that_fails_leaves_the_feed_to_the_others(
    head: FakeRayDashboard, transport: Transport
) -> None:
    head.add_job("job")
    async with borrow_feed("head", opener(transport)) as feed:
        with pytest.raises(RuntimeError):
            async with borrow_feed("head", opener(transport)) as same, same.watching("job"):
                raise RuntimeError("a bug of somebody's")
        assert status_of(await look(feed, "job")) == "RUNNING"


async def test_nobody_watching_means_nothing_is_asked_for(head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("one")
    head.add_job("two")
    async with borrow_feed("head", opener(transport)) as feed:
        await look(feed, "one")
        await look(feed, "two")
        before = len(head.requests_to("GET", "^/api/jobs/one$"))
        await look(feed, "two")

    assert len(head.requests_to("GET", "^/api/jobs/one$")) == before


async def test_a_rotated_token_is_fetched_again(head: FakeRayDashboard) -> None:
    head.add_job("job")
    tokens = [head.token]

    async def open_transport() -> Transport:
        return Transport(head.url, token=tokens[-1])

    async with borrow_feed("head", open_transport) as feed:
        assert status_of(await look(feed, "job")) == "RUNNING"
        head.token = "next-token"
        tokens.append(head.token)
        async with feed.watching("job"):
            while (seen := await asyncio.wait_for(feed.look("job"), SECONDS)).job is None:
                assert isinstance(seen.error, ConfigurationError)


async def test_a_failing_source_of_tokens_does_not_end_the_poll(head: FakeRayDashboard) -> None:
    head.add_job("job")
    opened = 0

    async def open_transport() -> Transport:
        nonlocal opened
        opened += 1
        if opened > 1:
            raise RuntimeError("the secrets backend has a bug")
        return Transport(head.url, token=head.token)

    async with borrow_feed("head", open_transport) as feed:
        assert status_of(await look(feed, "job")) == "RUNNING"
        head.token = "other"
        assert isinstance((await look(feed, "job")).error, ConfigurationError)
        head.token = feed.client.transport.token
        async with feed.watching("job"):
            while (await asyncio.wait_for(feed.look("job"), SECONDS)).job is None:
                pass
    assert opened > 1


async def test_a_new_address_is_asked_for_when_nobody_answers(head: FakeRayDashboard) -> None:
    head.add_job("job")
    addresses = ["http://127.0.0.1:1"]

    async def open_transport() -> Transport:
        return Transport(addresses[-1], token=head.token)

    async with borrow_feed("head", open_transport) as feed:
        assert isinstance((await look(feed, "job")).error, ClusterUnreachableError)
        addresses.append(head.url)
        async with feed.watching("job"):
            while (await asyncio.wait_for(feed.look("job"), SECONDS)).job is None:
                pass


async def test_a_cluster_that_cannot_be_opened_is_told_until_it_can(head: FakeRayDashboard) -> None:
    head.add_job("job")
    problems: list[AirError] = [ClusterNotReadyError("no address yet"), ConfigurationError("no such connection")]

    async def open_transport() -> Transport:
        if problems:
            raise problems.pop(0)
        return Transport(head.url, token=head.token)

    async with borrow_feed("head", open_transport) as feed, feed.watching("job"):
        async with asyncio.timeout(SECONDS):
            seen = [await feed.look("job") for _ in range(3)]

    assert [type(item.error) for item in seen] == [ClusterNotReadyError, ConfigurationError, type(None)]


async def test_an_opening_that_hangs_is_told(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "OPEN_SECONDS", 0.05)

    async def open_transport() -> Transport:
        await asyncio.sleep(60)
        return transport

    async with borrow_feed("head", open_transport) as feed:
        assert isinstance((await look(feed, "job")).error, ClusterUnreachableError)


async def test_a_transport_is_renewed_before_it_expires(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "RENEWAL_SECONDS", 0.01)
    head.add_job("job")
    opened: list[float] = []

    async def open_transport() -> Transport:
        opened.append(time.time())
        return Transport(head.url, token=head.token, expires_at=None if len(opened) > 2 else time.time() + 0.1)

    async with borrow_feed("head", open_transport) as feed, feed.watching("job"):
        while len(opened) < 3:
            assert status_of(await asyncio.wait_for(feed.look("job"), SECONDS)) == "RUNNING"
        for _ in range(3):
            assert status_of(await asyncio.wait_for(feed.look("job"), SECONDS)) == "RUNNING"

    assert len(opened) == 3


@pytest.mark.parametrize("count", [1, BY_ID_AT_MOST + 1])
async def test_a_gateway_in_front_is_no_loss(head: FakeRayDashboard, transport: Transport, count: int) -> None:
    names = [head.add_job(f"job-{number}") for number in range(count)]
    gateway = head.put_gateway_in_front()

    async with borrow_feed("head", opener(transport)) as feed:
        hidden = await looks(feed, names)
        gateway.cancel()
        seen = await looks(feed, names)

    assert all(isinstance(item.error, UnavailableError) for item in hidden)
    assert [status_of(item) for item in seen] == ["RUNNING"] * count


@pytest.mark.parametrize("count", [1, BY_ID_AT_MOST + 1])
async def test_the_session_that_does_not_know_a_job_is_asked_anew(
    head: FakeRayDashboard, transport: Transport, count: int
) -> None:
    names = [head.add_job(f"job-{number}") for number in range(count)]
    first = head.session_name

    async with borrow_feed("head", opener(transport)) as feed:
        await looks(feed, names)
        head.restart_head()
        seen = await looks(feed, names)

    assert seen == [Look(session_name=head.session_name)] * count
    assert head.session_name != first


async def test_a_job_that_a_list_leaves_out_is_asked_for_by_its_id(
    head: FakeRayDashboard, transport: Transport
) -> None:
    names = [head.add_job(f"job-{number}") for number in range(BY_ID_AT_MOST + 1)]
    odd = [{"submission_id": names[0], "status": None}, *({"submission_id": n, "status": "RUNNING"} for n in names[1:])]
    head.plan("GET", "^/api/jobs/$", status=200, body=json.dumps(odd), times=None)

    async with borrow_feed("head", opener(transport)) as feed:
        seen = await looks(feed, names)

    assert [status_of(item) for item in seen] == ["RUNNING"] * len(names)


async def test_all_who_ask_for_all_jobs_share_one_list(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LIST_SECONDS", 60.0)
    head.add_job("job")
    opened = 0

    async def open_transport() -> Transport:
        nonlocal opened
        opened += 1
        return transport

    lists = await asyncio.gather(*(shared_jobs("head", open_transport) for _ in range(20)))
    other = await shared_jobs("other", open_transport)

    assert [[job.submission_id for job in jobs] for jobs in (*lists, other)] == [["job"]] * 21
    assert len(head.requests_to("GET", "^/api/jobs/$")) == opened == 2


async def test_a_list_that_failed_is_shared_too_and_asked_for_again(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "LIST_SECONDS", 60.0)
    fault = head.plan("GET", "^/api/jobs/$", drop=True, times=None)
    failed = await asyncio.gather(*(shared_jobs("head", opener(transport)) for _ in range(20)), return_exceptions=True)
    fault.cancel()
    assert {type(item) for item in failed} == {ClusterUnreachableError}
    assert fault.hits == 1
    monkeypatch.setattr(feeds, "LIST_SECONDS", 0.0)

    assert list(await shared_jobs("head", opener(transport))) == []


@pytest.mark.parametrize("turns", range(6))
async def test_who_is_cancelled_ends_though_what_it_waited_for_comes_just_then(
    head: FakeRayDashboard, transport: Transport, turns: int
) -> None:
    coming: asyncio.Future[Transport] = asyncio.get_running_loop().create_future()

    async def open_transport() -> Transport:
        return await coming

    asking = asyncio.create_task(shared_jobs("cancelled", open_transport))
    while not coming._callbacks:
        await asyncio.sleep(0)
    coming.set_result(transport)
    for _ in range(turns):
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, SECONDS)


@pytest.mark.parametrize("turns", range(4))
async def test_a_feed_that_is_woken_as_it_closes_does_close(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr(feeds, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(feeds, "YOUNG_POLL_SECONDS", SECONDS)
    feed = ClusterFeed(opener(transport))
    async with feed.watching("job"):
        await asyncio.wait_for(feed.look("job"), SECONDS)
        while not feed._wake._waiters:
            await asyncio.sleep(0)
        feed._wake.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        closing = asyncio.create_task(feed.aclose())
        done, _ = await asyncio.wait({closing}, timeout=SECONDS / 2)
        assert done


async def test_log_reads_get_rarer_as_more_wait(head: FakeRayDashboard, transport: Transport) -> None:
    async with borrow_feed("head", opener(transport)) as feed:
        alone = feed.log_interval_seconds
        feed._watched.update({f"job-{number}": 1 for number in range(1000)})
        assert feed.log_interval_seconds > 10 * alone


async def test_all_that_watch_a_cluster_share_one_look_over_it(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "FIRST_OVERVIEW_SECONDS", 0.0)
    names = [f"job-{number}" for number in range(20)]
    for name in names:
        head.add_job(name)

    async with borrow_feed("head", opener(transport)) as feed:
        for _ in range(3):
            await looks(feed, names)
        end = time.monotonic() + SECONDS
        while feed.overview is None and time.monotonic() < end:
            await asyncio.sleep(0.02)
        seen = feed.overview

    assert seen is not None
    assert abs(seen.at - time.time()) < SECONDS
    assert seen.usage["CPU"][1] > 0
    assert [node.is_head for node in seen.nodes] == [True]
    assert len(head.requests_to("GET", "^/api/cluster_status$")) == 1
    assert len(head.requests_to("GET", "^/api/v0/nodes$")) == 1


async def test_a_cluster_that_cannot_be_looked_over_is_polled_all_the_same(
    head: FakeRayDashboard, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "FIRST_OVERVIEW_SECONDS", 0.0)
    head.add_job("job")
    fault = head.plan("GET", "^/api/cluster_status$", status=500, times=None)

    async with borrow_feed("head", opener(transport)) as feed:
        end = time.monotonic() + SECONDS
        while not fault.hits and time.monotonic() < end:
            assert status_of(await look(feed, "job")) == "RUNNING"

    assert (fault.hits, feed.overview) == (1, None)
