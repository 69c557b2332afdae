"""One list and one watch for all that wait, through everything that happens to a watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import api, watching
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER
from airflow_provider_air.clusters.kuberay.watching import Sight, watch_resource
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.runs.clock import RealClock
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

SOON = 60.0


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as kube:
        yield kube


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.1)


def follow(access: GivenAccess, name: str = "c1", **more: Any) -> AsyncGenerator[Sight]:
    return watch_resource(access, RAY_CLUSTER, "ns", name, RealClock(), **more)


async def until(sights: AsyncGenerator[Sight], state: str | None) -> Sight:
    """Read on until the resource has a state; None for its absence."""
    async with asyncio.timeout(SOON):
        async for sight in sights:
            if sight.error is None and _state(sight) == state:
                return sight
    raise AssertionError("a watch does not end")


def _state(sight: Sight) -> str | None:
    return None if sight.resource is None else sight.resource["status"]["state"]


async def see_it_change_and_go(kube: KubeApi) -> None:
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")
        kube.remove("rayclusters", "c1")
        await until(sights, None)


def watches(kube: KubeApi) -> int:
    return kube.count("GET", "watch=true")


def lists(kube: KubeApi) -> int:
    return sum(1 for _, path in list(kube.requests) if path.endswith("rayclusters?limit=100"))


async def test_a_change_comes_by_the_watch_without_another_question(kube: KubeApi) -> None:
    kube.put("rayclusters", "c1", status={"state": ""})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        first = await until(sights, "")
        kube.put("rayclusters", "c1", status={"state": "ready"})
        await until(sights, "ready")
        kube.remove("rayclusters", "c1")
        await until(sights, None)

    assert first.resource is not None
    assert "managedFields" not in first.resource["metadata"]
    assert (lists(kube), watches(kube)) == (1, 1)


async def test_all_that_wait_share_one_list_and_one_watch_and_the_last_ends_it(kube: KubeApi) -> None:
    access = GivenAccess([kube.server()])
    for number in range(50):
        kube.put("rayclusters", f"c{number}", status={"state": ""})
    async with AsyncExitStack() as stack:
        every = [await stack.enter_async_context(aclosing(follow(access, f"c{n}"))) for n in range(50)]
        await asyncio.gather(*(until(sights, "") for sights in every))
        waits = [asyncio.create_task(until(sights, "ready")) for sights in every]
        for number in range(50):
            kube.put("rayclusters", f"c{number}", status={"state": "ready"})
        await asyncio.gather(*waits)

    assert len(kube.requests) == 2
    assert not watching._watches[asyncio.get_running_loop()]
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("air-kube")]


async def test_who_has_just_made_it_never_hears_that_there_is_none(kube: KubeApi) -> None:
    access = GivenAccess([kube.server()])
    kube.put("rayclusters", "other", status={"state": ""})
    async with aclosing(follow(access, "other")) as others:
        await until(others, "")
        kube.is_mute = True
        kube.put("rayclusters", "c1", status={"state": "new"})

        async with aclosing(follow(access)) as sights:
            assert _state(await anext(sights)) == "new"
        async with aclosing(follow(access, "never")) as sights:
            assert await anext(sights) == Sight()


async def test_a_successor_of_the_same_name_is_not_the_one_that_is_meant(kube: KubeApi) -> None:
    access = GivenAccess([kube.server()])
    kube.put("rayclusters", "c1", uid="first", status={"state": "a"})
    async with aclosing(follow(access, uid="first")) as first:
        await until(first, "a")
        kube.put("rayclusters", "c1", uid="second", status={"state": "b"})

        await until(first, None)
        async with aclosing(follow(access, uid="second")) as second:
            assert _state(await anext(second)) == "b"


async def test_a_compacted_version_means_a_list_and_no_lost_change(kube: KubeApi) -> None:
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.is_mute = True
        kube.put("rayclusters", "c1", status={"state": "b"})
        kube.compact()

        await until(sights, "b")
        kube.is_mute = False
        kube.fail(Fault("GET", "rayclusters", 410, status(410, "Expired", "too old"), is_watch=True))
        kube.compact()
        kube.put("rayclusters", "c1", status={"state": "c"})
        await until(sights, "c")
        kube.remove("rayclusters", "c1")
        await until(sights, None)


async def test_a_half_open_watch_is_found_out_once_for_all(kube: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(watching, "LATE_SECONDS", 0.2)
    access = GivenAccess([kube.server()])
    for number in range(20):
        kube.put("rayclusters", f"c{number}", status={"state": "a"})
    async with AsyncExitStack() as stack:
        every = [await stack.enter_async_context(aclosing(follow(access, f"c{n}"))) for n in range(20)]
        await asyncio.gather(*(until(sights, "a") for sights in every))
        await _when(lambda: watches(kube) == 1)
        await asyncio.sleep(1.0)
        assert (lists(kube) - 1, watches(kube)) == (kube.count("GET", "limit") - 1, 1)
        quiet = lists(kube)
        kube.is_mute = True
        for number in range(20):
            kube.put("rayclusters", f"c{number}", status={"state": "b"})

        await asyncio.gather(*(until(sights, "b") for sights in every))

    # Fewer than there are that wait: none of them asks for itself.
    assert lists(kube) - quiet < 20
    assert kube.count("GET", "rayclusters/c") == 0


async def test_a_watch_that_does_not_begin_is_found_out(kube: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a kube-apiserver that stands still at that moment, or behind a connection that leads nowhere any more."""
    monkeypatch.setattr(api, "READ_SECONDS", 3.0)
    kube.put("rayclusters", "c1", status={"state": "a"})
    kube.fail(Fault("GET", "rayclusters", is_watch=True, silent=True))
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")

    assert lists(kube) == 2


async def test_a_watch_that_the_server_ends_goes_on_from_where_it_was(
    kube: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 3.0)
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        await _when(lambda: watches(kube) >= 2)
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")

    assert lists(kube) == 1


async def test_a_watch_that_does_not_end_when_it_should_is_left_and_listed_anew(
    kube: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 1.0)
    monkeypatch.setattr(api, "WATCH_MARGIN_SECONDS", 0.5)
    kube.is_endless = True
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        for number in range(8):
            kube.put("rayclusters", "noisy", status={"state": str(number)})
            await asyncio.sleep(0.25)
        await _when(lambda: lists(kube) >= 2)
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")


async def _when(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_an_outage_is_told_to_each_and_waited_out(kube: KubeApi) -> None:
    access = GivenAccess([kube.server()])
    kube.put("rayclusters", "c1", status={"state": "a"})
    kube.fail(Fault("GET", "rayclusters", 503, "<html>no</html>", times=2))
    async with aclosing(follow(access)) as sights:
        first = await anext(sights)
        assert "503" in str(first.error)
        await until(sights, "a")

        kube.fail(Fault("GET", "rayclusters", 429, status(429, "TooManyRequests", "slow"), times=2, is_watch=True))
        kube.compact()
        async with asyncio.timeout(SOON):
            while (await anext(sights)).error is None:
                pass
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")


async def test_after_an_outage_nobody_hears_of_absence_that_is_none(kube: KubeApi) -> None:
    kube.put("rayclusters", "other", status={"state": "a"})
    kube.fail(Fault("GET", "rayclusters", 503, "down", times=3, is_watch=True))
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        async with asyncio.timeout(SOON):
            while (await anext(sights)).error is None:
                pass
            kube.put("rayclusters", "c1", status={"state": "a"})
            seen: list[Sight] = []
            while not seen or seen[-1].resource is None:
                seen.append(await anext(sights))

    assert all(sight.error is not None for sight in seen[:-1])


async def test_a_token_that_ends_under_a_watch_is_renewed(kube: KubeApi) -> None:
    access = GivenAccess([kube.server("t0"), kube.server("t1")])
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(access)) as sights:
        await until(sights, "a")
        kube.tokens = {"t1"}
        kube.compact()
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")

    assert access.asked == 2


async def test_where_watching_is_not_allowed_it_is_listed_with_one_warning(
    kube: KubeApi, caplog: pytest.LogCaptureFixture
) -> None:
    cannot = 'User "u" cannot watch resource "rayclusters" in API group "ray.io" in the namespace "ns"'
    kube.fail(Fault("GET", "rayclusters", 403, status(403, "Forbidden", cannot), times=999, is_watch=True))
    kube.put("rayclusters", "c1", status={"state": "a"})
    await see_it_change_and_go(kube)

    assert [record.levelname for record in caplog.records if "may not watch" in record.message] == ["WARNING"]


async def test_lines_end_at_line_feeds_and_nowhere_else(kube: KubeApi) -> None:
    odd = "a\x85b\u2028c\x0cd"
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.put("rayclusters", "c1", status={"state": odd})
        await until(sights, odd)

    assert watches(kube) == 1


async def test_a_connection_that_leads_nowhere_ends_the_wait() -> None:
    access = GivenAccess([ConfigurationError("no such context")])

    with pytest.raises(ConfigurationError, match="no such context"):
        async with aclosing(follow(access)) as sights:
            await anext(sights)
    assert not watching._watches[asyncio.get_running_loop()]


async def test_nonsense_in_a_watch_is_told_and_does_not_end_it(kube: KubeApi) -> None:
    kube.put("rayclusters", "c1", status={"state": "a"})
    kube.fail(Fault("GET", "rayclusters", 200, "[]\n", times=2, is_watch=True))
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")


@pytest.mark.parametrize("code", [200, 500, 502])
@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", {"type": "ERROR", "object": {}}])
async def test_where_no_watch_works_lists_tell_what_has_changed(kube: KubeApi, code: int, body: Any) -> None:
    kube.put("rayclusters", "c1", status={"state": "a"})
    kube.fail(Fault("GET", "rayclusters", code, body, times=999, is_watch=True))
    await see_it_change_and_go(kube)


async def test_the_last_one_that_goes_is_missed_where_a_watch_is_mute(
    kube: KubeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(watching, "LATE_SECONDS", 0.2)
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server()]))) as sights:
        await until(sights, "a")
        kube.is_mute = True
        kube.remove("rayclusters", "c1")
        await until(sights, None)


async def test_a_server_that_has_moved_is_found_where_the_connection_leads_now(kube: KubeApi) -> None:
    with KubeApi() as other:
        kube.put("rayclusters", "c1", status={"state": "a"})
        other.put("rayclusters", "c1", uid="another", status={"state": "b"})
        async with aclosing(follow(GivenAccess([kube.server(), other.server()]))) as sights:
            await until(sights, "a")
            kube.fail(Fault("GET", "rayclusters", times=999, dropped=True))
            kube.fail(Fault("GET", "rayclusters", times=999, dropped=True, is_watch=True))
            kube.compact()
            kube.put("rayclusters", "c1", status={"state": "of nobody's interest"})
            await until(sights, "b")


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(ConfigurationError("the file is empty"), id="a file that is being written"),
        pytest.param(KubernetesServer("ftp://nowhere"), id="an edit that is corrected"),
    ],
)
async def test_a_connection_that_is_wrong_for_a_while_ends_no_wait_that_has_begun(
    kube: KubeApi, monkeypatch: pytest.MonkeyPatch, between: Any
) -> None:
    monkeypatch.setattr(watching, "RENEWAL_SECONDS", 0.1)
    kube.put("rayclusters", "c1", status={"state": "a"})
    async with aclosing(follow(GivenAccess([kube.server(), between, kube.server("t1")]))) as sights:
        await until(sights, "a")
        kube.tokens = {"t1"}
        kube.compact()
        kube.put("rayclusters", "c1", status={"state": "b"})
        await until(sights, "b")
