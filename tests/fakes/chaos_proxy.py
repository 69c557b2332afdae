"""A reverse proxy before a real dashboard that breaks the request a test points at, when the test says."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from yarl import URL

from tests.fakes.loopback import LoopbackServer, RecordedRequest, drop_connection, record_arrival, record_status

HOP_BY_HOP = frozenset(
    {
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
RECORDED_REQUESTS = 200_000
READER_CHECK_SECONDS = 1.0


class Rule:
    """
    What happens to the next ``times`` requests that match; made by :meth:`ChaosProxy.on`.

    In this order: ``before()`` runs; the request waits while the rule is held, then ``hang_seconds``; it is
    answered ``status`` and ``body``, or dropped, or forwarded; ``after()`` runs once the dashboard has acted, before
    any byte of the reply; the reply is sent, or lost (``drop_reply``). Callbacks run in a thread and may block.
    """

    def __init__(
        self,
        method: str,
        path: str,
        *,
        times: int | None = 1,
        before: Callable[[], object] | None = None,
        hold: bool = False,
        hang_seconds: float = 0.0,
        status: int | None = None,
        body: str = "answered by the chaos proxy",
        drop: bool = False,
        after: Callable[[], object] | None = None,
        drop_reply: bool = False,
    ) -> None:
        self.method, self.path, self.times = method, re.compile(path), times
        self.before, self.after = before, after
        self.hang_seconds, self.drop, self.drop_reply = hang_seconds, drop, drop_reply
        self.status, self.body = status, body
        self.hits = 0
        self.reached = threading.Event()
        self.forwarded = threading.Event()
        self.failure: BaseException | None = None
        self._released = threading.Event()
        if not hold:
            self._released.set()

    def release(self) -> None:
        """Let held requests go on."""
        self._released.set()

    def cancel(self) -> None:
        """Hit no further request and let held ones go on."""
        self.times = 0
        self.release()

    def wait_reached(self, timeout_seconds: float = 60.0) -> None:
        """Wait until a request has hit this rule (before it is forwarded)."""
        assert self.reached.wait(timeout_seconds), f"no {self.method} {self.path.pattern} within {timeout_seconds} s"

    def wait_forwarded(self, timeout_seconds: float = 60.0) -> None:
        """Wait until the dashboard has acted on a request that hit this rule."""
        assert self.forwarded.wait(timeout_seconds), f"no {self.method} {self.path.pattern} was forwarded in time"

    def _takes(self, method: str, path: str) -> bool:
        spent = self.times is not None and self.hits >= self.times
        if spent or self.method not in ("*", method) or not self.path.search(path):
            return False
        self.hits += 1
        return True

    async def _call(self, callback: Callable[[], object] | None) -> None:
        try:
            if callback is not None:
                await asyncio.to_thread(callback)
        except BaseException as failure:
            self.failure = failure
            raise

    async def _enter(self) -> None:
        self.reached.set()
        await self._call(self.before)
        while not self._released.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(self.hang_seconds)


FORWARD = Rule("*", "", times=None)


class ChaosProxy(LoopbackServer):
    """
    Forwards everything to ``upstream`` from its own ``url``, streaming both ways; thread-safe.

    Other processes may use ``url`` as a dashboard's address. An upstream that does not answer looks like that
    from here too: the connection closes without a reply. A client that dies does not undo its request.

    :param upstream: the dashboard's address, ``http://host:port``.
    :param port: a fixed port, for a connection that was written down earlier; 0: a free one.
    """

    def __init__(self, upstream: str, *, port: int = 0) -> None:
        super().__init__()
        self.upstream = upstream.rstrip("/")
        self.url = ""
        self.requests: deque[RecordedRequest] = deque(maxlen=RECORDED_REQUESTS)
        self._port = port
        self._rules: list[Rule] = []
        self._client: aiohttp.ClientSession | None = None

    def on(
        self,
        method: str,
        path: str,
        *,
        times: int | None = 1,
        before: Callable[[], object] | None = None,
        hold: bool = False,
        hang_seconds: float = 0.0,
        status: int | None = None,
        body: str = "answered by the chaos proxy",
        drop: bool = False,
        after: Callable[[], object] | None = None,
        drop_reply: bool = False,
    ) -> Rule:
        """
        Break the next ``times`` requests (None: all) of ``method`` (``*``: any) whose path matches.

        How, says :class:`Rule`. The first rule that matches and is not spent takes a request.
        """
        rule = Rule(
            method,
            path,
            times=times,
            before=before,
            hold=hold,
            hang_seconds=hang_seconds,
            status=status,
            body=body,
            drop=drop,
            after=after,
            drop_reply=drop_reply,
        )
        self.call(lambda: self._rules.append(rule))
        return rule

    def clear(self) -> None:
        """Cancel every rule: from now on everything is forwarded."""
        for rule in self.call(lambda: list(self._rules)):
            rule.cancel()

    def requests_to(self, method: str, path: str) -> list[RecordedRequest]:
        """Every request so far whose method is ``method`` (``*``: any) and whose path matches, in order."""
        seen = self.call(lambda: list(self.requests))
        return [r for r in seen if method in ("*", r.method) and re.search(path, r.path)]

    def count(self, method: str, path: str) -> int:
        """How many requests :meth:`requests_to` knows, dropped ones too."""
        return len(self.requests_to(method, path))

    def stop(self) -> None:
        """Let held requests go, then close everything."""
        if not self._loop.is_closed():
            self.clear()
        super().stop()

    async def _open(self) -> None:
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
        )
        app = web.Application(client_max_size=0)
        app.on_response_prepare.append(record_status)
        app.router.add_route("*", "/{path:.*}", self._handle)
        _, port = await self._listen(app, self._port)
        self.url = f"http://127.0.0.1:{port}"

    async def _close(self) -> None:
        await super()._close()
        if self._client is not None:
            await self._client.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Write one request down and take it through its rule."""
        record = record_arrival(request)
        self.requests.append(record)
        rule = next((r for r in self._rules if r._takes(request.method, request.path)), FORWARD)
        response = await self._break(rule, request)
        gone = request.transport is None or request.transport.is_closing()
        record.reply_bytes = 0 if gone else response.body_length
        return response

    async def _break(self, rule: Rule, request: web.Request) -> web.StreamResponse:
        if rule is not FORWARD:
            # Read now: once its client is dead, aiohttp would not hand out the rest of the body.
            await request.read()
            await rule._enter()
        if rule.drop:
            return drop_connection(request)
        if rule.status is not None:
            return web.Response(status=rule.status, text=rule.body)
        return await self._forward(rule, request)

    async def _forward(self, rule: Rule, request: web.Request) -> web.StreamResponse:
        """Pass the request on and stream the reply back, byte for byte."""
        assert self._client is not None
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        url = URL(self.upstream + request.raw_path, encoded=True)
        body: bytes | AsyncIterator[bytes] | None = None
        if request.body_exists:
            body = self._body(request) if rule is FORWARD else await request.read()
        try:
            upstream = await self._client.request(
                request.method,
                url,
                headers=headers,
                data=body,
                allow_redirects=False,
                skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
            )
        except (aiohttp.ClientError, OSError):
            return drop_connection(request)
        async with upstream:
            rule.forwarded.set()
            await rule._call(rule.after)
            return drop_connection(request) if rule.drop_reply else await self._reply(request, upstream)

    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        async for chunk in request.content.iter_any():
            yield chunk

    async def _reply(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason)
        for name, value in upstream.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        if "Content-Length" not in upstream.headers and request.method != "HEAD":
            response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for chunk in self._chunks(request, upstream):
                await response.write(chunk)
        except (aiohttp.ClientError, OSError):
            return drop_connection(request)
        await response.write_eof()
        return response

    async def _chunks(self, request: web.Request, upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """Yield the reply as it comes, and give up an endless one once its reader has gone."""
        read: asyncio.Task[bytes] | None = None
        try:
            while request.transport is not None and not request.transport.is_closing():
                read = read or asyncio.create_task(upstream.content.readany())
                if not (await asyncio.wait({read}, timeout=READER_CHECK_SECONDS))[0]:
                    continue
                data, read = read.result(), None
                if not data:
                    return
                yield data
        finally:
            if read is not None:
                read.cancel()
