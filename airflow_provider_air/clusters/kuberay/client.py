"""
Asks a kube-apiserver, once for threads and once for asyncio; decides when to renew the token and when to send again.

Both read the ``kubernetes`` connection themselves: when they are first used, before its token ends, and once for a call
that the server answered with 401. So a wait outlives its token, and so does the deletion at its end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_air.clusters.kuberay.answers import KubeUnavailableError, TokenRefusedError, VersionGoneError
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.sending import AsyncSender, Sender
from airflow_provider_air.ray_api.transport import Hints, Transport
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    import httpx

    from airflow_provider_air.clusters.kuberay.api import Page, Resource
    from airflow_provider_air.contracts.connections import KubernetesAccess, KubernetesServer
    from airflow_provider_air.ray_api.requests import Call

T = TypeVar("T")

# How long one question is asked again.
PATIENCE_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# A token is renewed so long before it ends, and no more often than that where a new one ends no later.
RENEWAL_SECONDS = 30.0
# Lists are begun anew so often, where their pages got too old meanwhile.
LISTS = 3
HINTS = Hints(
    untrusted="Give the kubernetes connection's kubeconfig the CA (certificate-authority) that signed it",
    certificate="Give the kubernetes connection's kubeconfig a client certificate and its key",
    plain="Use http:// for the server in the kubernetes connection's kubeconfig",
    headers="Check the kubernetes connection's token",
    unreachable="Is the server of the kubernetes connection right, and can this host reach it?",
)


def transport_to(server: KubernetesServer) -> Transport:
    """Give what is needed to send to a kube-apiserver."""
    return Transport(
        server.url,
        headers=server.headers,
        verify=server.verify,
        client_certificate=server.client_certificate,
        expires_at=server.expires_at,
        proxy=server.proxy,
        tls_server_name=server.tls_server_name,
        hints=HINTS,
    )


def _is_stale(server: KubernetesServer, opened: float) -> bool:
    ends = server.expires_at
    return ends is not None and time.time() > ends - RENEWAL_SECONDS and time.monotonic() - opened > RENEWAL_SECONDS


def _opened_anew(access: KubernetesAccess, *, is_first: bool) -> KubernetesServer:
    try:
        return access.server()
    except ConfigurationError as error:
        if is_first:
            raise
        # It was right when the work began: a file that is being written, an identity that is away.
        raise UnavailableError(f"The kubernetes connection cannot be renewed: {error}") from error


class _Again:
    """When a call is sent again, and after which pause."""

    def __init__(self, call: Call[Any], patience_seconds: float) -> None:
        self._patience = patience_seconds if call.repeatable else 0.0
        self._begun = time.monotonic()
        self._pauses = backoff_seconds(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)

    def pause_after(self, error: UnavailableError) -> float:
        """Give the seconds to wait, or raise the error."""
        wanted, worth = 0.0, float("inf")
        if isinstance(error, KubeUnavailableError):
            wanted, worth = error.retry_after_seconds, error.worth_seconds
        pause = max(next(self._pauses), wanted)
        if time.monotonic() + pause > self._begun + min(self._patience, worth):
            raise error
        return pause


class KubeClient:
    """
    The client for workers, signal handlers and threads: blocks. For one thread at a time.

    :param patience_seconds: how long what is unavailable is asked again
    """

    def __init__(self, access: KubernetesAccess, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._access = access
        self._patience = patience_seconds
        self._sender: Sender | None = None
        self._server: KubernetesServer | None = None
        self._opened = float("-inf")

    def __enter__(self) -> KubeClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    @property
    def server(self) -> KubernetesServer:
        """
        Where the kube-apiserver answers, with a token that is not about to end.

        :raises ConfigurationError: the connection leads to no server
        :raises UnavailableError: what keeps the connection does not answer
        """
        if self._server is None or _is_stale(self._server, self._opened):
            self._renew()
        assert self._server is not None
        return self._server

    def send(self, call: Call[T]) -> T:
        """
        Send one call and read its answer.

        :raises ConfigurationError: the request or the connection is wrong
        :raises PermissionMissingError: the user may not; the message names the rule
        :raises UnavailableError: no usable answer within the patience
        """
        again = _Again(call, self._patience)
        while True:
            try:
                return self._send_renewed(call)
            except UnavailableError as error:
                pause = again.pause_after(error)
            time.sleep(pause)

    def list_all(self, page: Callable[[str], Call[Page]]) -> tuple[Sequence[Resource], str]:
        """
        Give all that a list has, and its version.

        :param page: makes the call for the page that begins somewhere
        :raises UnavailableError: as :meth:`send`
        """
        for _ in range(LISTS - 1):
            try:
                return self._pages(page)
            except VersionGoneError:
                continue
        return self._pages(page)

    def _pages(self, page: Callable[[str], Call[Page]]) -> tuple[Sequence[Resource], str]:
        found = self.send(page(""))
        items = list(found.items)
        while found.rest:
            found = self.send(page(found.rest))
            items += found.items
        return items, found.version

    def _send_renewed(self, call: Call[T]) -> T:
        sender = self._current()
        try:
            return sender.send(call)
        except TokenRefusedError:
            self._renew()
            return self._current().send(call)

    def _current(self) -> Sender:
        transport = transport_to(self.server)
        if self._sender is None or self._sender.transport != transport:
            self.close()
            self._sender = Sender(transport)
        return self._sender

    def _renew(self) -> None:
        self._opened = time.monotonic()
        self._server = _opened_anew(self._access, is_first=self._server is None)


class AsyncKubeClient:
    """
    The client for triggers: never blocks the event loop. For all tasks of one event loop.

    :param patience_seconds: as for :class:`KubeClient`; 0 where the caller has its own loop
    :param in_thread: does what blocks
    """

    def __init__(
        self,
        access: KubernetesAccess,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self._access = access
        self._patience = patience_seconds
        self._in_thread = in_thread
        self._lock = asyncio.Lock()
        self._sender: AsyncSender | None = None
        self._server: KubernetesServer | None = None
        self._opened = float("-inf")

    async def __aenter__(self) -> AsyncKubeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._sender is not None:
            await self._sender.aclose()
            self._sender = None

    async def send(self, call: Call[T]) -> T:
        """Send one call and read its answer; raises as :meth:`KubeClient.send` does."""
        again = _Again(call, self._patience)
        while True:
            try:
                return await self._send_renewed(call)
            except UnavailableError as error:
                pause = again.pause_after(error)
            await asyncio.sleep(pause)

    async def list_all(self, page: Callable[[str], Call[Page]]) -> tuple[Sequence[Resource], str]:
        """Give all that a list has, and its version, as :meth:`KubeClient.list_all` does."""
        for _ in range(LISTS - 1):
            try:
                return await self._pages(page)
            except VersionGoneError:
                continue
        return await self._pages(page)

    async def stream(self, call: Call[Any]) -> AbstractAsyncContextManager[httpx.Response]:
        """
        Give what opens an answer that is read in pieces; the status is the caller's to judge, 401 also.

        :raises UnavailableError: as :meth:`send`
        """
        return (await self._current()).stream(call)

    async def renew(self) -> None:
        """Read the connection anew; raises as :meth:`KubeClient.send` does."""
        await self._renew(self._server)

    async def _pages(self, page: Callable[[str], Call[Page]]) -> tuple[Sequence[Resource], str]:
        found = await self.send(page(""))
        items = list(found.items)
        while found.rest:
            found = await self.send(page(found.rest))
            items += found.items
        return items, found.version

    async def _send_renewed(self, call: Call[T]) -> T:
        sender, server = await self._current(), self._server
        try:
            return await sender.send(call)
        except TokenRefusedError:
            await self._renew(server)
            return await (await self._current()).send(call)

    async def _current(self) -> AsyncSender:
        server = self._server
        if server is None or _is_stale(server, self._opened):
            await self._renew(server)
        assert self._server is not None
        transport = transport_to(self._server)
        if self._sender is None or self._sender.transport != transport:
            await self.aclose()
            self._sender = AsyncSender(transport)
        return self._sender

    async def _renew(self, old: KubernetesServer | None) -> None:
        """Renew what was in use, unless another task has done so meanwhile."""
        async with self._lock:
            if self._server is not old:
                return
            self._opened = time.monotonic()
            self._server = await self._in_thread(lambda: _opened_anew(self._access, is_first=old is None))
