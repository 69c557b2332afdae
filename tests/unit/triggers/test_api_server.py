"""An event waits for the api-server that its task needs on its way back, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from airflow.triggers.base import TriggerEvent
from airflow_stack import held_port

from airflow_provider_air.connections import api_server
from airflow_provider_air.triggers.base import OneEventTrigger

DEADLINE_SECONDS = 60.0


class Knowing(OneEventTrigger):
    """Knows what it tells."""

    def __init__(self, *, in_triggerer: bool = True, **more: Any) -> None:
        super().__init__(**more)
        # As the triggerer numbers those that it runs.
        self.trigger_id = 7 if in_triggerer else None

    def arguments(self) -> dict[str, Any]:
        return {}

    async def event(self) -> dict[str, Any]:
        return {"told": 1}

    @property
    def has_fired(self) -> bool:
        return self._fired


class Server:
    """
    An api-server that is not there until it is started.

    :param port: where it will listen, kept for it
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 200
        """What its health answers."""
        self.asked: list[tuple[str, str | None]] = []
        self.heard = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def hears(self, times: int) -> None:
        """Wait until it was asked so often from now on."""
        for _ in range(times):
            self.heard.clear()
            await asyncio.wait_for(self.heard.wait(), DEADLINE_SECONDS)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers.get("Authorization")))
        self.heard.set()
        return web.Response(status=self.status)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """The api-server of this test's Airflow; it does not run yet."""
    monkeypatch.setattr(api_server, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(api_server, "LONGEST_PAUSE_SECONDS", 0.05)
    with held_port() as port:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", f"http://127.0.0.1:{port}/execution/")
        made = Server(port)
        yield made
        await made.stop()


async def fire(trigger: Knowing) -> Any:
    fired: TriggerEvent = await asyncio.wait_for(anext(trigger.run()), DEADLINE_SECONDS)
    return fired.payload


async def test_an_event_costs_one_request_of_the_health_that_anybody_may_ask(server: Server) -> None:
    await server.start()
    await fire(Knowing())
    # The first of a process sees it at its start, too.
    assert server.asked == [("/execution/health", None)] * 2

    assert await fire(Knowing()) == {"told": 1}

    assert len(server.asked) == 3


async def test_an_event_is_held_while_the_api_server_is_away(server: Server) -> None:
    await server.start()
    await fire(Knowing())
    await server.stop()
    held = Knowing()
    fires = asyncio.create_task(fire(held))
    await asyncio.sleep(0)
    # It comes up behind its gateway first.
    server.status = 503
    await server.start()
    await server.hears(3)
    assert not fires.done()
    assert not held.has_fired

    server.status = 200

    assert await fires == {"told": 1}


async def test_a_triggerer_that_starts_first_waits_for_it(server: Server) -> None:
    fires = asyncio.create_task(fire(Knowing()))
    known = api_server.api_server()
    while known._silent_since is None:
        await asyncio.sleep(0.01)
    assert not fires.done()

    await server.start()

    assert await fires == {"told": 1}


async def test_what_was_never_seen_may_be_out_of_reach_and_is_waited_for_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_server, "UNSEEN_SECONDS", 3.0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await fire(Knowing())
    assert loop.time() - began >= 3.0

    began = loop.time()
    await asyncio.gather(*(fire(Knowing()) for _ in range(20)))

    # One after the other they would take a minute.
    assert loop.time() - began < 30.0


async def test_nothing_is_held_for_ever(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_server, "HOLD_SECONDS", 0.3)
    await server.start()
    await fire(Knowing())
    server.status = 502

    assert await fire(Knowing()) == {"told": 1}


async def test_all_that_are_held_share_their_looks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.start()
    server.status = 503
    first = asyncio.create_task(fire(Knowing()))
    await server.hears(2)
    monkeypatch.setattr(api_server, "FRESH_SECONDS", 0.5)
    fires = [first, *(asyncio.create_task(fire(Knowing())) for _ in range(49))]
    before = len(server.asked)
    await server.hears(3)
    server.status = 200

    assert await asyncio.gather(*fires) == [{"told": 1}] * 50
    assert len(server.asked) - before < 50


async def test_where_no_triggerer_is_nobody_is_asked(server: Server) -> None:
    """As in ``airflow dags test``."""
    await server.start()

    assert await fire(Knowing(in_triggerer=False)) == {"told": 1}
    assert server.asked == []
