"""
Asks Ray, once for threads and once for asyncio; decides nothing but when to send again.

Both retry transient failures of repeatable calls with back-off until their patience ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.ray_api.sending import AsyncSender, Sender
from airflow_provider_air.waiting import backoff_seconds, patiently

if TYPE_CHECKING:
    import httpx

    from airflow_provider_air.ray_api.requests import Call
    from airflow_provider_air.ray_api.transport import Transport

T = TypeVar("T")


class RayClient:
    """
    The client for workers and signal handlers: blocks.

    :param patience_seconds: how long transient failures of repeatable calls are sent again
    """

    def __init__(self, transport: Transport, *, patience_seconds: float = 15.0) -> None:
        self.transport = transport
        self.patience_seconds = patience_seconds
        self._sender = Sender(transport)

    def __enter__(self) -> RayClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    def send(self, call: Call[T]) -> T:
        """
        Send one call and read its answer.

        :raises ConfigurationError: the request, the token or the address is wrong
        :raises UnavailableError: no usable answer within the patience
        """
        patience = self.patience_seconds if call.repeatable else 0.0
        return patiently(
            lambda: self._sender.send(call),
            patience_seconds=patience,
            first_pause_seconds=0.2,
            longest_pause_seconds=3.0,
        )


class AsyncRayClient:
    """
    The client for triggers: never blocks the event loop.

    :param patience_seconds: as for :class:`RayClient`; 0 where the caller has its own loop
    """

    def __init__(self, transport: Transport, *, patience_seconds: float = 15.0) -> None:
        self.transport = transport
        self.patience_seconds = patience_seconds
        self._sender = AsyncSender(transport)

    async def __aenter__(self) -> AsyncRayClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._sender.aclose()

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
                return await self._sender.send(call)
            except UnavailableError:
                pause = next(pauses)
                if not call.repeatable or time.monotonic() + pause > end:
                    raise
            await asyncio.sleep(pause)

    def stream(self, call: Call[Any]) -> AbstractAsyncContextManager[httpx.Response]:
        """
        Open an answer whose body is read in pieces; the status is the caller's to judge.

        :raises UnavailableError: no connection, or it broke in the middle
        """
        return self._sender.stream(call)
