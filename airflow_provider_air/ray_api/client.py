"""
Sends calls, once for threads and once for asyncio; decides nothing but when to send again.

Both retry transient failures of repeatable calls with back-off until their patience ends.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    UnavailableError,
)
from airflow_provider_air.ray_api.requests import Answer, Call
from airflow_provider_air.tls import context_for
from airflow_provider_air.waiting import backoff_seconds, patiently

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.transport import Transport

T = TypeVar("T")
CONNECT_TIMEOUT_SECONDS = 5.0
# A larger answer is read beside the event loop: a list of 5,000 jobs is 6 MB and some 150 ms of parsing.
READ_ON_LOOP_BYTES = 128 * 1024
# With TLS 1.3 the server's alert comes after the handshake, and httpx 0.28 lets the SSL error through.
SENDING_ERRORS = (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError)


def _tls(transport: Transport) -> ssl.SSLContext:
    return context_for(transport.base_url, transport.verify, transport.client_certificate)


def _options(transport: Transport, call: Call[Any]) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": (call.base_url or transport.base_url) + call.path,
        "params": dict(call.params) or None,
        "headers": {**transport.request_headers(call.base_url), **call.headers},
        "content": call.body,
        "timeout": httpx.Timeout(call.timeout_seconds, connect=min(CONNECT_TIMEOUT_SECONDS, call.timeout_seconds)),
    }


def _translate(error: Exception, transport: Transport, call: Call[Any]) -> AirError:
    """Turn what httpx raises into an error that says what to do."""
    where = call.base_url or transport.base_url
    text = str(error) or type(error).__name__
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return ConfigurationError(f"Not an HTTP address: {text}", where=where, hint="Use http://host:port")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return ConfigurationError(
            f"The server's certificate is not trusted: {text}",
            where=where,
            hint="Set 'ca_path' in the ray connection to the CA that signed it, or add it to the system's",
        )
    if "CERTIFICATE_REQUIRED" in text:
        return ConfigurationError(
            "The server wants a client certificate",
            where=where,
            hint="Give its certificate and key in the ray connection",
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return ConfigurationError(
            "The address speaks plain HTTP, not TLS", where=where, hint="Use http:// in the connection"
        )
    if isinstance(error, httpx.TimeoutException):
        return ClusterUnreachableError(
            f"No answer within {call.timeout_seconds:g} s ({type(error).__name__})", where=where
        )
    if isinstance(error, httpx.LocalProtocolError):
        # The text would quote the header, token and all.
        return ConfigurationError(
            "A request header cannot be sent", where=where, hint="Check the connection's password and 'headers'"
        )
    return ClusterUnreachableError(
        f"No connection: {text}",
        where=where,
        hint="Is the cluster running, is its dashboard port reachable from this host, and does it want https://?",
    )


class RayClient:
    """
    The client for workers and signal handlers: blocks.

    :param patience_seconds: how long transient failures of repeatable calls are sent again
    """

    def __init__(self, transport: Transport, *, patience_seconds: float = 15.0) -> None:
        self.transport = transport
        self.patience_seconds = patience_seconds
        self._http = httpx.Client(verify=_tls(transport), trust_env=False)

    def __enter__(self) -> RayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """
        Send one call and read its answer.

        :raises ConfigurationError: the request, the token or the address is wrong
        :raises UnavailableError: no usable answer within the patience
        """
        patience = self.patience_seconds if call.repeatable else 0.0
        return patiently(
            lambda: self._send_once(call),
            patience_seconds=patience,
            first_pause_seconds=0.2,
            longest_pause_seconds=3.0,
        )

    def _send_once(self, call: Call[T]) -> T:
        try:
            response = self._http.request(**_options(self.transport, call))
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error
        return call.read(Answer(response.status_code, response.content, response.headers))


class AsyncRayClient:
    """
    The client for triggers: never blocks the event loop.

    :param patience_seconds: as for :class:`RayClient`; 0 where the caller has its own loop
    """

    def __init__(self, transport: Transport, *, patience_seconds: float = 15.0) -> None:
        self.transport = transport
        self.patience_seconds = patience_seconds
        self._http = httpx.AsyncClient(
            verify=_tls(transport),
            trust_env=False,
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16),
        )

    async def __aenter__(self) -> AsyncRayClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """
        Send one call and read its answer; raises as :meth:`RayClient.send` does.

        :raises ConfigurationError: the request, the token or the address is wrong
        :raises UnavailableError: no usable answer within the patience
        """
        end = time.monotonic() + self.patience_seconds
        pauses: Iterator[float] = backoff_seconds(0.2, 3.0)
        while True:
            try:
                return await self._send_once(call)
            except UnavailableError:
                pause = next(pauses)
                if not call.repeatable or time.monotonic() + pause > end:
                    raise
            await asyncio.sleep(pause)

    def _check_open(self) -> None:
        # A feed replaces its client when the token has changed, also under requests that are on their way.
        if self._http.is_closed:
            raise ClusterUnreachableError("The connection was replaced meanwhile", where=self.transport.base_url)

    async def _send_once(self, call: Call[T]) -> T:
        self._check_open()
        try:
            response = await self._http.request(**_options(self.transport, call))
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error
        answer = Answer(response.status_code, response.content, response.headers)
        if len(answer.body) <= READ_ON_LOOP_BYTES:
            return call.read(answer)
        return await asyncio.to_thread(call.read, answer)

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[httpx.Response]:
        """
        Open an answer whose body is read in pieces; the status is the caller's to judge.

        :raises UnavailableError: no connection, or it broke in the middle
        """
        self._check_open()
        try:
            async with self._http.stream(**_options(self.transport, call)) as response:
                yield response
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error
