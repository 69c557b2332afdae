"""
Opens kube-apiservers by the ids of connections, and remembers for a while where they lead.

Reading a connection costs a question to Airflow, and what may be asked within a signal handler is known before: so a
server that was found is used again, until nobody answers there or it does not let us in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_air.clusters.kuberay.client import KubeClient
from airflow_provider_air.errors import ClusterUnreachableError, ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Page, Resource
    from airflow_provider_air.contracts.connections import Connections, KubernetesAccess, KubernetesServer
    from airflow_provider_air.ray_api.requests import Answer, Call

T = TypeVar("T")
# A waiting worker resolves anew every ten minutes what it would need in a signal handler.
REMEMBERED_SECONDS = 660.0


class Opening:
    """
    The kube-apiservers of one process. Used by many threads.

    :param connections: gives the :class:`~airflow_provider_air.contracts.connections.KubernetesAccess` of an id
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: dict[str, tuple[float, KubernetesServer]] = {}
        self._were_right: set[str] = set()

    @contextmanager
    def client(self, conn_id: str, *, patience_seconds: float = 0.0) -> Iterator[KubeClient]:
        """
        Give a client for the time of the block; blocks.

        :param patience_seconds: how long what is unavailable is asked again; the caller's callers have their own
        """
        with KubeClient(_Remembered(self, conn_id), patience_seconds=patience_seconds) as kube:
            try:
                yield kube
            except ClusterUnreachableError:
                # Perhaps it has moved, and the connection was corrected.
                self._known.pop(conn_id, None)
                raise

    def access(self, conn_id: str) -> KubernetesAccess:
        """Give what leads to the server, remembered at its first use; reads nothing yet."""
        return _Remembered(self, conn_id)

    def server(self, conn_id: str) -> KubernetesServer:
        """
        Give where a connection leads; blocks.

        :raises ConfigurationError: it leads to no server
        :raises UnavailableError: what keeps it does not answer
        """
        return self.access(conn_id).server()

    def remembered(self, conn_id: str) -> KubernetesServer | None:
        """Give what was found a while ago; None where that is too long ago, or its token has ended."""
        read, server = self._known.get(conn_id) or (float("-inf"), None)
        if server is None or time.monotonic() - read > REMEMBERED_SECONDS:
            return None
        return None if server.expires_at is not None and time.time() > server.expires_at else server

    def read(self, conn_id: str) -> KubernetesServer:
        """Read the connection anew; raises as :meth:`server`, but no ConfigurationError where it was right before."""
        access: KubernetesAccess = self._connections.open("kubernetes", conn_id)
        try:
            server = access.server()
        except ConfigurationError as error:
            if conn_id not in self._were_right:
                raise
            # A file that is being written, an edit that is corrected: what has begun goes on then.
            raise UnavailableError(f"The kubernetes connection cannot be read any more: {error}") from error
        self._were_right.add(conn_id)
        self._known[conn_id] = (time.monotonic(), server)
        return server


class _Remembered:
    """A KubernetesAccess for one use: whoever asks it a second time was not let in by what was remembered."""

    def __init__(self, opening: Opening, conn_id: str) -> None:
        self.conn_id = conn_id
        self._opening = opening
        self._was_asked = False

    def server(self) -> KubernetesServer:
        known = None if self._was_asked else self._opening.remembered(self.conn_id)
        self._was_asked = True
        return known or self._opening.read(self.conn_id)


def dated(call: Call[T]) -> Call[tuple[T, float]]:
    """Have a call tell the server's own time, too, in epoch seconds: what was made is as old as that clock says."""

    def read(answer: Answer) -> tuple[T, float]:
        return call.read(answer), _time_of(answer)

    return replace(call, read=read)  # type: ignore[return-value, arg-type]


def list_dated(kube: KubeClient, page: Callable[[str], Call[Page]]) -> tuple[Sequence[Resource], float]:
    """
    Give all that a list has, and the server's own time when it gave the last of it, in epoch seconds; blocks.

    :param page: makes the call for the page that begins somewhere
    :raises UnavailableError: the kube-apiserver does not answer
    """
    times: list[float] = []

    def dated_page(rest: str) -> Call[Page]:
        call = page(rest)

        def read(answer: Answer) -> Page:
            times.append(_time_of(answer))
            return call.read(answer)

        return replace(call, read=read)

    items, _ = kube.list_all(dated_page)
    return items, times[-1]


def _time_of(answer: Answer) -> float:
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return time.time()
