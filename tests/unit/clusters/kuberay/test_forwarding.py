"""A loopback port that leads to a pod's, by the kube-apiserver and the kubelet."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from aiohttp import WSMsgType, web

from airflow_provider_air.clusters.kuberay import forwarding
from airflow_provider_air.clusters.kuberay.forwarding import forwarded
from airflow_provider_air.errors import ClusterNotReadyError
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

PROTOCOL = "v4.channel.k8s.io"


class Forwarding(KubeApi):
    """One whose pods all are the same small HTTP server, which gives back what it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.pods: list[str] = []
        self.trouble = b""

    async def _open(self) -> None:
        await super()._open()
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/echo", self._echo)
        _, self._pod_port = await self._listen(app)

    async def _echo(self, request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/portforward") or self._fault_for_forward(request):
            return await super()._answer(request)
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.tokens:
            return await super()._answer(request)
        self.pods.append(request.path.split("/")[-2])
        socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=0)
        await socket.prepare(request)
        assert socket.ws_protocol == PROTOCOL
        for channel in (b"\x00", b"\x01"):
            await socket.send_bytes(channel + int(request.query["ports"]).to_bytes(2, "little"))
        if self.trouble:
            await socket.send_bytes(b"\x01" + self.trouble)
            await socket.close()
            return socket
        reader, writer = await asyncio.open_connection("127.0.0.1", self._pod_port)
        down = asyncio.create_task(self._send_down(reader, socket))
        async for message in socket:
            assert (message.type, message.data[0]) == (WSMsgType.BINARY, 0)
            writer.write(message.data[1:])
            await writer.drain()
        writer.close()
        down.cancel()
        return socket

    async def _send_down(self, reader: asyncio.StreamReader, socket: web.WebSocketResponse) -> None:
        while piece := await reader.read(50_000):
            await socket.send_bytes(b"\x00" + piece)
        await socket.close()

    def _fault_for_forward(self, request: web.Request) -> bool:
        return any(fault.path in request.path and fault.times > 0 for fault in self.faults)


@pytest.fixture
def kube() -> Iterator[Forwarding]:
    with Forwarding() as kube:
        yield kube


@pytest.fixture(autouse=True)
def own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "_open", {})


def open_to(kube: Forwarding, whom: str = "head", pod: Any = lambda: "pod-1", access: GivenAccess | None = None) -> str:
    return forwarded(access or GivenAccess([kube.server()]), "ns", whom, 8265, pod)


def post(url: str, body: bytes = b"hello") -> httpx.Response:
    return httpx.post(url + "/echo", content=body, timeout=30, trust_env=False)


def test_what_is_sent_arrives_and_comes_back_whole(kube: Forwarding) -> None:
    body = bytes(range(256)) * 8_000
    url = open_to(kube)

    assert url.startswith("http://127.0.0.1:")
    with ThreadPoolExecutor(8) as pool:
        assert all(answer.content == body for answer in pool.map(lambda _: post(url, body), range(8)))
    assert post(url, b"").content == b""


def test_all_who_ask_for_the_same_get_the_same_port(kube: Forwarding) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: open_to(kube), range(16)))) == 1
    assert open_to(kube, "another") != open_to(kube)


def test_each_connection_goes_to_the_pod_that_is_there_then(kube: Forwarding) -> None:
    names = iter(["head-1", "head-2"])
    url = open_to(kube, pod=lambda: next(names))

    assert post(url).content == post(url).content == b"hello"
    assert kube.pods == ["head-1", "head-2"]


def test_a_token_that_ended_is_read_anew(kube: Forwarding) -> None:
    access = GivenAccess([kube.server("old"), kube.server("new")])
    kube.tokens = {"new"}

    assert post(open_to(kube, access=access)).content == b"hello"
    assert access.asked == 2


def test_why_there_is_no_way_is_told_to_who_wants_one(kube: Forwarding) -> None:
    cannot = 'User "u" cannot create resource "pods/portforward" in API group "" in the namespace "ns"'
    kube.fail(Fault("GET", "portforward", 403, status(403, "Forbidden", cannot), times=1))
    url = open_to(kube)

    refused = post(url)
    assert refused.status_code == 503
    assert '"resources": ["pods/portforward"]' in refused.text
    assert post(url).content == b"hello"

    def no_head() -> str:
        raise ClusterNotReadyError("The cluster has no head now")

    assert "no head now" in post(open_to(kube, "none", no_head)).text
    kube.stop()
    assert "No connection" in post(url).text


def test_an_error_of_the_kubelet_ends_the_connection(kube: Forwarding, caplog: pytest.LogCaptureFixture) -> None:
    kube.trouble = b"connection refused: nobody listens on 8265"

    with pytest.raises(httpx.TransportError):
        post(open_to(kube))

    assert "nobody listens on 8265" in caplog.text


def test_a_port_that_nobody_uses_is_given_back_and_opened_again(
    kube: Forwarding, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = set(threading.enumerate())
    monkeypatch.setattr(forwarding, "IDLE_SECONDS", 3.0)
    url = open_to(kube)
    assert post(url).content == b"hello"
    end = time.monotonic() + 60
    while any(thread.name.startswith("air-forward") for thread in set(threading.enumerate()) - others):
        assert time.monotonic() < end
        time.sleep(0.05)

    with pytest.raises(httpx.ConnectError):
        post(url)
    monkeypatch.setattr(forwarding, "IDLE_SECONDS", 60.0)
    assert post(open_to(kube)).content == b"hello"
