"""
Does what people ask of a cluster in Airflow's pages, which themselves need not reach any cluster.

Whoever waits on that cluster looks now and then, in the triggerer or in place on a worker; a clean-up looks, too.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_air.contracts.clusters import ClusterRequest
from airflow_provider_air.runs.due import Due

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef
    from airflow_provider_air.contracts.runs import Board, Clock, Log

REQUEST_KEY = "air_cluster_request"
"""Of the XCom that holds it: a :class:`~airflow_provider_air.contracts.clusters.ClusterRequest`."""
ANSWER_KEY = "air_cluster_answer"
"""Of the XCom in which who waits says what was done: ``{"asked_at": epoch, "said": text}``."""
LOOK_SECONDS = 30.0
LONGEST_SECONDS = 7 * 86400.0
"""For so long at most a cluster is kept by one request."""


class AskedOfClusters:
    """The looks of one process: all its runs that use a cluster share one, since each of them is told."""

    def __init__(self) -> None:
        self._due = Due()
        self._done: dict[str, float] = {}

    def look(
        self,
        ref: ClusterRef,
        made_at: float,
        board: Board,
        backend: Callable[[str], ClusterBackend],
        clock: Clock,
        log: Log,
    ) -> None:
        """
        Look where that is due, beside whoever calls this on the event loop, and do what is asked; never raises.

        :param made_at: when the run asked for the cluster, or found it, in epoch seconds
        :param board: the run's
        """
        key = ref.key
        if ref.owned or not self._due.take(key, clock.now(), LOOK_SECONDS):
            return

        def treat() -> None:
            request = ClusterRequest.from_json(board.read(REQUEST_KEY))
            if request is None or self._done.get(key) == request.asked_at or not request.is_about(ref, made_at):
                return
            said = fulfil(request, ref, backend(ref.backend), clock.now())
            self._done[key] = request.asked_at
            log.warning("%s asked for it: %s", request.by or "A person", said)
            board.write(ANSWER_KEY, {"asked_at": request.asked_at, "said": said})

        async def quietly() -> None:
            try:
                await clock.in_spare_thread(treat)
            except Exception as error:  # noqa: BLE001  # a convenience: it is tried again, and the watch goes on
                log.warning("What is asked of the cluster %s could not be done: %s", ref.name, error)

        clock.spawn(quietly())


def fulfil(request: ClusterRequest, ref: ClusterRef, backend: ClusterBackend, now: float) -> str:
    """
    Do what is asked of a cluster, and say what was done; blocks.

    :param ref: that very cluster
    :param now: epoch seconds
    :raises AirError: it cannot be done now
    """
    if request.action == "end":
        backend.delete(ref)
        return f"the cluster {ref.name} was asked to go"
    until = min(request.until, now + LONGEST_SECONDS)
    if until <= now:
        return f"the cluster {ref.name} goes as it would: the time for which it was to be kept is over"
    backend.extend(ref, until - now)
    return f"the cluster {ref.name} is kept until {datetime.fromtimestamp(until, UTC).isoformat(timespec='seconds')}"
