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
"""
Of the XCom in which who waits says what was done: ``{"asked_at": epoch, "said": text, "is_done": bool}``.

``is_done``: whether it is what was asked; earlier versions say nothing of that.
"""
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
            said, is_done = fulfil(request, ref, backend(ref.backend), clock.now())
            self._done[key] = request.asked_at
            log.warning("%s asked for it: %s", request.by or "A person", said)
            board.write(ANSWER_KEY, {"asked_at": request.asked_at, "said": said, "is_done": is_done})

        async def quietly() -> None:
            try:
                await clock.in_spare_thread(treat)
            except Exception as error:  # noqa: BLE001  # a convenience: it is tried again, and the watch goes on
                log.warning("What is asked of the cluster %s could not be done: %s", ref.name, error)

        clock.spawn(quietly())


def fulfil(request: ClusterRequest, ref: ClusterRef, backend: ClusterBackend, now: float) -> tuple[str, bool]:
    """
    Do what is asked of a cluster, and say what was done; blocks.

    :param ref: that very cluster
    :param now: epoch seconds
    :return: what was done, and whether it is what was asked
    :raises AirError: it cannot be done now
    """
    # What it has not made a back end leaves alone, without a word.
    if not any(_is_same(item.ref, ref) for item in backend.list(where=ref)):
        return f"nothing was done: the cluster {ref.name} is gone, or it is not ours", False
    if request.action == "end":
        backend.delete(ref)
        return f"the cluster {ref.name} was asked to go", True
    return extend(request, ref, backend, now)


def extend(request: ClusterRequest, ref: ClusterRef, backend: ClusterBackend, now: float) -> tuple[str, bool]:
    """Keep a cluster of ours for as long as is asked, as :func:`fulfil` does."""
    until = min(request.until, now + LONGEST_SECONDS)
    if until <= now:
        return f"the cluster {ref.name} goes as it would: the time for which it was to be kept is over", False
    backend.extend(ref, until - now)
    until_when = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    return f"the cluster {ref.name} is kept until {until_when}", True


def _is_same(one: ClusterRef, other: ClusterRef) -> bool:
    return one.name == other.name and (not one.uid or not other.uid or one.uid == other.uid)
