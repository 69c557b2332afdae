"""
Airflow's api-server, as the triggerer waits for it: a task that comes back while it is away fails its try.

A triggerer does not notice such an outage by itself: its own requests are answered in its process, from the database
(Airflow 3.3.2). But the worker that an event wakes asks the api-server first, and gives up after half a minute.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import httpx
from airflow.sdk import conf

from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Log

ANSWER_SECONDS = 3.0
# All that wait in one process share a look, and this is how old it may be.
FRESH_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
# For how long an event is held for an api-server that this process has seen.
HOLD_SECONDS = 3600.0
# For how long after its first silence one that this process never saw counts as away: it may be out of reach from here.
UNSEEN_SECONDS = 120.0

_servers: WeakKeyDictionary[asyncio.AbstractEventLoop, ApiServer] = WeakKeyDictionary()


def api_server() -> ApiServer:
    """Give what this event loop's process knows of the api-server; its address is what workers are given here."""
    loop = asyncio.get_running_loop()
    if loop not in _servers:
        _servers[loop] = ApiServer(execution_api_url())
    return _servers[loop]


def execution_api_url() -> str:
    """Give where Airflow's api-server listens for workers, as its executors find it (3.3)."""
    base: str = conf.get("api", "base_url", fallback="") or "/"
    base = f"http://localhost:8080{base}" if base.startswith("/") else base
    url: str = conf.get("core", "execution_api_server_url", fallback="") or f"{base.rstrip('/')}/execution/"
    return url


class ApiServer:
    """
    The api-server, from one event loop.

    :param address: of its execution API
    """

    def __init__(self, address: str) -> None:
        self._health = f"{address.rstrip('/')}/health"
        self._was_seen = False
        self._silent_since: float | None = None
        self._look: asyncio.Task[bool] | None = None
        self._looked_at = 0.0

    async def meet(self) -> None:
        """See it once, so that a silence later on is known to be an outage."""
        if not self._was_seen and self._silent_since is None:
            await self._answers()

    async def wait(self, log: Log) -> None:
        """Wait until it answers, within reason; one request where it does."""
        began, is_told = time.monotonic(), False
        for pause in backoff_seconds(0.5, LONGEST_PAUSE_SECONDS):
            if await self._answers():
                return
            if time.monotonic() >= self._end(began):
                log.warning(
                    "Airflow's api-server does not answer the triggerer at %s: not waiting for it", self._health
                )
                return
            if not is_told:
                log.warning("Airflow's api-server does not answer: the task comes back as soon as it does")
                is_told = True
            await asyncio.sleep(pause)

    def _end(self, began: float) -> float:
        if self._was_seen or self._silent_since is None:
            return began + HOLD_SECONDS
        return self._silent_since + UNSEEN_SECONDS

    async def _answers(self) -> bool:
        look = self._look
        if look is None or (look.done() and time.monotonic() - self._looked_at >= FRESH_SECONDS):
            look = self._look = asyncio.create_task(self._ask())
        return await asyncio.shield(look)

    async def _ask(self) -> bool:
        try:
            # It is told nothing, so it need not prove who it is.
            async with httpx.AsyncClient(verify=False, timeout=ANSWER_SECONDS) as client:  # noqa: S501
                is_there = (await client.get(self._health)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            is_there = False
        self._looked_at = time.monotonic()
        self._was_seen = self._was_seen or is_there
        if self._silent_since is None and not is_there:
            self._silent_since = self._looked_at
        return is_there
