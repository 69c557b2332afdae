"""Asking a kube-apiserver: the token that renews itself, and what is asked again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import api, client
from airflow_provider_air.clusters.kuberay.answers import (
    KubeUnavailableError,
    PermissionMissingError,
    QuotaExceededError,
    TokenRefusedError,
)
from airflow_provider_air.clusters.kuberay.client import AsyncKubeClient, KubeClient
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.requests import Call
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

GET = api.get(RAY_CLUSTER, "ns", "c1")
DELETE = api.delete(RAY_CLUSTER, "ns", "c1", None)
CREATE = api.create(RAY_CLUSTER, "ns", {"metadata": {"name": "c1"}})

Send = Callable[..., Awaitable[Any]]


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as kube:
        kube.put("rayclusters", "c1")
        yield kube


@pytest.fixture(params=["threads", "asyncio"])
def send(request: pytest.FixtureRequest) -> Send:
    """Send calls one after the other, by a client of each kind."""

    async def sent(access: GivenAccess, *calls: Call[Any], patience_seconds: float = 30.0) -> Any:
        if request.param == "threads":
            with KubeClient(access, patience_seconds=patience_seconds) as kube:
                return [kube.send(call) for call in calls][-1]
        async with AsyncKubeClient(access, patience_seconds=patience_seconds) as akube:
            return [await akube.send(call) for call in calls][-1]

    return sent


async def test_a_token_that_ended_is_renewed_above_all_for_the_deletion(kube: KubeApi, send: Send) -> None:
    access = GivenAccess([kube.server("old"), kube.server("new")])
    kube.tokens = {"new"}

    assert await send(access, DELETE, patience_seconds=0.0) is True

    assert access.asked == 2
    assert not kube.resources


async def test_a_token_is_renewed_once_and_not_for_ever(kube: KubeApi, send: Send) -> None:
    access = GivenAccess([kube.server("old")])
    kube.tokens = {"new"}

    with pytest.raises(TokenRefusedError) as caught:
        await send(access, GET)

    assert isinstance(caught.value, UnavailableError)
    assert (access.asked, kube.count("GET", "c1")) == (2, 2)


async def test_a_token_is_renewed_before_it_ends(kube: KubeApi, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RENEWAL_SECONDS", 0.0)
    access = GivenAccess([kube.server("t0", expires_at=time.time() - 1), kube.server("new")])
    kube.tokens = {"t0", "new"}

    await send(access, GET, GET, GET)

    assert access.asked == 2


async def test_what_can_no_longer_be_renewed_is_an_outage_and_at_first_a_mistake(kube: KubeApi, send: Send) -> None:
    broken = ConfigurationError("half a file")
    kube.tokens = {"new"}

    with pytest.raises(UnavailableError, match="half a file"):
        await send(GivenAccess([kube.server("old"), broken]), GET, patience_seconds=0.0)
    with pytest.raises(ConfigurationError, match="half a file"):
        await send(GivenAccess([broken]), GET)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", "rayclusters", 429, status(429, "TooManyRequests", "slow down"), {"Retry-After": "1"}),
        Fault("POST", "rayclusters", 504, status(504, "Timeout", "request did not complete")),
        Fault("POST", "rayclusters", 500, status(500, "InternalError", 'failed calling webhook "v"')),
        Fault("POST", "rayclusters", 409, status(409, "Conflict", 'cannot be fulfilled on resourcequotas "q"')),
        Fault("POST", "rayclusters", 502, "<html>"),
        Fault("POST", "rayclusters", dropped=True),
    ],
    ids=lambda fault: str(fault.code if not fault.dropped else "dropped"),
)
async def test_a_creation_that_did_not_come_through_is_sent_again(kube: KubeApi, send: Send, fault: Fault) -> None:
    kube.remove("rayclusters", "c1")
    fault.times = 1
    kube.fail(fault)
    begun = time.monotonic()

    written = await send(GivenAccess([kube.server()]), CREATE)

    assert written.resource["metadata"]["name"] == "c1"
    assert kube.count("POST", "rayclusters") == 2
    assert time.monotonic() - begun >= float(fault.headers.get("Retry-After", 0))


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (status(403, "Forbidden", "exceeded quota: q"), QuotaExceededError),
        (status(422, "Invalid", "spec.x: Required value"), ConfigurationError),
    ],
)
async def test_what_the_same_again_cannot_mend_is_told_at_once(
    kube: KubeApi, send: Send, told: dict[str, Any], kind: type[Exception]
) -> None:
    kube.fail(Fault("POST", "rayclusters", told["code"], told, times=9))

    with pytest.raises(kind):
        await send(GivenAccess([kube.server()]), CREATE)

    assert kube.count("POST", "rayclusters") == 1


async def test_a_missing_permission_is_believed_after_a_moment(
    kube: KubeApi, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PermissionMissingError, "worth_seconds", 30.0)
    kube.fail(Fault("GET", "c1", 403, status(403, "Forbidden", "RBAC: role not found"), times=1))
    assert await send(GivenAccess([kube.server()]), GET)

    monkeypatch.setattr(PermissionMissingError, "worth_seconds", 0.5)
    kube.fail(Fault("GET", "c1", 403, status(403, "Forbidden", "no"), times=99))
    begun = time.monotonic()
    with pytest.raises(PermissionMissingError):
        await send(GivenAccess([kube.server()]), GET, patience_seconds=120.0)
    assert time.monotonic() - begun < 60.0


async def test_nobody_is_asked_beyond_the_patience(kube: KubeApi, send: Send) -> None:
    wait = Fault("GET", "c1", 429, status(429, "TooManyRequests", "slow"), {"Retry-After": "30"}, times=9)
    kube.fail(wait)
    begun = time.monotonic()

    with pytest.raises(KubeUnavailableError):
        await send(GivenAccess([kube.server()]), GET, patience_seconds=20.0)

    assert time.monotonic() - begun < 20.0
    assert wait.times == 8


async def test_a_list_whose_pages_got_too_old_is_begun_anew(kube: KubeApi) -> None:
    for number in range(25):
        kube.put("rayclusters", f"n{number:02}")
    kube.page_items = 10
    kube.fail(Fault("GET", "rayclusters", 200, {"metadata": {"resourceVersion": "1", "continue": "10"}, "items": []}))
    kube.fail(Fault("GET", "rayclusters", 410, status(410, "Expired", "The provided continue parameter is too old")))

    with KubeClient(GivenAccess([kube.server()])) as threads:
        items, version = threads.list_all(lambda rest: api.list_page(RAY_CLUSTER, "ns", rest=rest))
    async with AsyncKubeClient(GivenAccess([kube.server()])) as loop:
        same, _ = await loop.list_all(lambda rest: api.list_page(RAY_CLUSTER, "ns", rest=rest))

    assert len(items) == 26
    assert [item["metadata"]["name"] for item in same] == [item["metadata"]["name"] for item in items]
    assert version == str(kube.version)


def test_an_address_where_nobody_is_gets_the_hint_of_the_kubernetes_connection(kube: KubeApi) -> None:
    server = replace(kube.server(), url="http://127.0.0.1:1")

    with (
        KubeClient(GivenAccess([server]), patience_seconds=0.0) as nobody,
        pytest.raises(UnavailableError, match="kubernetes connection"),
    ):
        nobody.send(GET)
