"""Sends one call once, for threads and for asyncio; what cannot be sent becomes an error that says what to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from airflow_provider_air.addresses import is_bare
from airflow_provider_air.errors import AirError, ClusterUnreachableError, ConfigurationError
from airflow_provider_air.ray_api.requests import Answer, Call
from airflow_provider_air.tls import context_for

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
        "timeout": httpx.Timeout(call.timeout_seconds, connect=_connect_seconds(call)),
        "extensions": {"sni_hostname": transport.tls_server_name} if transport.tls_server_name else None,
    }


@contextmanager
def _proxied(transport: Transport) -> Iterator[None]:
    """Explain a proxy that httpx cannot use: SOCKS needs a package of its own, and a text may be no address."""
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        if transport.proxy is None:
            raise
        # A proxy, other than an address, may have a password in it.
        told = f" {transport.proxy!r} cannot be used: {error}" if is_bare(transport.proxy) else " cannot be used"
        raise ConfigurationError(f"The proxy{told}", where=transport.base_url, hint="Use http://host:port") from None


def _connect_seconds(call: Call[Any]) -> float:
    return min(CONNECT_TIMEOUT_SECONDS, call.timeout_seconds)


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
            hint=transport.hints.untrusted,
        )
    if "CERTIFICATE_REQUIRED" in text:
        return ConfigurationError(
            "The server wants a client certificate",
            where=where,
            hint=transport.hints.certificate,
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return ConfigurationError("The address speaks plain HTTP, not TLS", where=where, hint=transport.hints.plain)
    if isinstance(error, httpx.ConnectTimeout):
        # As behind a firewall that answers nothing: not a server that is slow.
        text = f"none within {_connect_seconds(call):g} s"
    elif isinstance(error, httpx.TimeoutException):
        return ClusterUnreachableError(
            f"No answer within {call.timeout_seconds:g} s ({type(error).__name__})", where=where
        )
    if isinstance(error, httpx.LocalProtocolError):
        # The text would quote the header, token and all.
        return ConfigurationError("A request header cannot be sent", where=where, hint=transport.hints.headers)
    return ClusterUnreachableError(
        f"No connection: {text}",
        where=where,
        hint=transport.hints.unreachable,
    )


def _read(answer: Answer, transport: Transport, call: Call[T]) -> T:
    if transport.failure_between is not None and answer.status >= 300:
        failure = transport.failure_between(answer)
        if failure is not None:
            raise failure
    return call.read(answer)


class Sender:
    """Sends from threads: blocks. Closed by its owner."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        tls = _tls(transport)
        with _proxied(transport):
            self._http = httpx.Client(verify=tls, trust_env=False, proxy=transport.proxy)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """
        Send one call once and read its answer.

        :raises ConfigurationError: the address or the TLS settings are wrong
        :raises ClusterUnreachableError: nobody answers
        """
        try:
            response = self._http.request(**_options(self.transport, call))
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error
        return _read(Answer(response.status_code, response.content, response.headers), self.transport, call)


class AsyncSender:
    """Sends from an event loop, and never blocks it. Closed by its owner."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        tls = _tls(transport)
        with _proxied(transport):
            self._http = httpx.AsyncClient(
                verify=tls,
                trust_env=False,
                proxy=transport.proxy,
                # Each request looks at all connections that are kept, whether they still live.
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
            )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """
        Send one call once and read its answer.

        :raises ConfigurationError: the address or the TLS settings are wrong
        :raises ClusterUnreachableError: nobody answers
        """
        self._check_open()
        try:
            response = await self._http.request(**_options(self.transport, call))
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error
        answer = Answer(response.status_code, response.content, response.headers)
        if len(answer.body) <= READ_ON_LOOP_BYTES:
            return _read(answer, self.transport, call)
        return await asyncio.to_thread(_read, answer, self.transport, call)

    @asynccontextmanager
    async def stream(self, call: Call[Any]) -> AsyncIterator[httpx.Response]:
        """
        Open an answer whose body is read in pieces; the status is the caller's to judge.

        :raises UnavailableError: no connection, or it broke in the middle; or as somebody in front of the server says
        """
        self._check_open()
        try:
            async with self._http.stream(**_options(self.transport, call)) as response:
                if response.status_code >= 300 and self.transport.failure_between is not None:
                    answer = Answer(response.status_code, await response.aread(), response.headers)
                    if (failure := self.transport.failure_between(answer)) is not None:
                        raise failure
                yield response
        except SENDING_ERRORS as error:
            raise _translate(error, self.transport, call) from error

    def _check_open(self) -> None:
        # A feed replaces its client when the token has changed, also under requests that are on their way.
        if self._http.is_closed:
            raise ClusterUnreachableError("The connection was replaced meanwhile", where=self.transport.base_url)
