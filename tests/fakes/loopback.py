"""The thread that serves a double's HTTP applications, so that a synchronous test can script it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from aiohttp import web

T = TypeVar("T")
START_SECONDS = 20.0


@dataclass
class RecordedRequest:
    """
    One request that reached a double: written down on arrival, so that no client is ahead of the record.

    :param path: path without the query, percent-decoded.
    :param body_bytes: declared length of the request's body.
    :param authorization: the header of this name, or nothing.
    :param status: the reply's status, there before its first byte; 0 until then and when the connection was dropped.
    :param reply_bytes: length of the reply's body; a streamed one's is there shortly after its end.
    """

    method: str
    path: str
    query: dict[str, str]
    body_bytes: int
    status: int = 0
    reply_bytes: int = 0
    authorization: str = field(default="", repr=False)


RECORD = web.RequestKey("recorded", RecordedRequest)


class LoopbackServer:
    """
    Runs aiohttp applications in an event loop of its own thread; a context manager.

    Subclasses say what to serve in :meth:`_open` and may keep tasks in ``_tasks``; state that handlers share
    with tests is touched in the loop's thread only, through :meth:`call`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._runners: list[web.AppRunner] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Serve from now on; returns once every port listens."""
        self._thread.start()
        self.await_(self._open())
        return self

    def stop(self) -> None:
        """Close every connection and port and end the thread; calling it twice does no harm."""
        if self._loop.is_closed():
            return
        self.await_(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` in the server's thread and return its result, so that no lock is needed."""

        async def run() -> T:
            return function()

        return self.await_(run())

    def await_(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` on the server's loop and wait for it from any other thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(START_SECONDS)

    async def _open(self) -> None:
        raise NotImplementedError

    async def _listen(self, app: web.Application, port: int = 0) -> tuple[web.AppRunner, int]:
        """Serve ``app`` on 127.0.0.1 and return its runner and port."""
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self._runners.append(runner)
        return runner, int(runner.addresses[0][1])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Keep ``work`` running until it ends or the server stops."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        # A handler that follows a file or holds a request would outlive the loop and complain about it.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


def record_arrival(request: web.Request) -> RecordedRequest:
    """Make the record of a request that has just arrived; :func:`record_status` completes it."""
    authorization = request.headers.get("Authorization", "")
    length = request.content_length or 0
    arrived = RecordedRequest(request.method, request.path, dict(request.query), length, authorization=authorization)
    request[RECORD] = arrived
    return arrived


async def record_status(request: web.Request, response: web.StreamResponse) -> None:
    """Write the status down before the reply's first byte goes out (an ``on_response_prepare`` signal)."""
    if RECORD in request:
        request[RECORD].status = response.status


def drop_connection(request: web.Request) -> web.Response:
    """Close the client's connection without a byte of reply, as a dying server or proxy does."""
    if RECORD in request:
        del request[RECORD]
    if request.transport is not None:
        request.transport.close()
    return web.Response()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
