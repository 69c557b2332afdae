"""
Says of clusters that several tasks share that somebody counts on them, so that neither expiry nor clean-up ends them.

A run renews the lease of its cluster while it waits, in the triggerer or in place on a worker. What is a task's own
goes with the task, and needs none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_air.runs.due import Due

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef
    from airflow_provider_air.contracts.runs import Clock, Log

LEASE_SECONDS = 1800.0
"""How long a cluster may be counted on after the last word of who uses it."""
RENEW_SECONDS = 1200.0
EXPIRY_SECONDS = 600.0
"""How old the word may be until when a cluster lives."""
# Where it failed: well before the lease is over.
AGAIN_SECONDS = 60.0


class Leases:
    """The leases that one process keeps: all its runs that use a cluster share one."""

    def __init__(self) -> None:
        self._due = Due()
        self._expiries: dict[str, tuple[float, float | None]] = {}

    def renew(self, ref: ClusterRef, backend: Callable[[str], ClusterBackend], clock: Clock, log: Log) -> None:
        """
        Renew a cluster's lease where that is due, beside whoever calls this on the event loop; never raises.

        :param backend: gives a cluster back end by its name
        """
        if ref.owned or not self._due.take(ref.key, clock.now(), RENEW_SECONDS):
            return

        async def extend() -> None:
            try:
                await clock.in_spare_thread(lambda: backend(ref.backend).extend(ref, LEASE_SECONDS))
            except Exception as error:  # noqa: BLE001  # a convenience: the watch goes on, whatever a back end raises
                self._due.put(ref.key, clock.now() + AGAIN_SECONDS)
                log.warning("Nobody could note that the cluster %s is in use: %s", ref.name, error)

        clock.spawn(extend())

    def expires_at(
        self, ref: ClusterRef, backend: Callable[[str], ClusterBackend], clock: Clock, log: Log
    ) -> float | None:
        """
        Give until when a cluster lives, in epoch seconds, as it was known last; None: it is not known, or for ever.

        Where that is old it is asked for anew, beside whoever calls this on the event loop; never raises. Back ends
        count by their own clock, so the moment is right by a few seconds.

        :param backend: gives a cluster back end by its name
        """
        now, key = clock.now(), ref.key
        asked, known = self._expiries.get(key, (float("-inf"), None))
        if now - asked < EXPIRY_SECONDS:
            return known
        recent = {name: pair for name, pair in self._expiries.items() if now - pair[0] < EXPIRY_SECONDS}
        self._expiries = {**recent, key: (now, known)}

        async def ask() -> None:
            try:
                listed = await clock.in_spare_thread(lambda: backend(ref.backend).list(where=ref))
                # All that were listed along are known by that, too.
                for item in listed:
                    ends = None if item.expires_at is None else now + item.expires_at - item.seen_at
                    self._expiries[key if item.ref.name == ref.name else item.ref.key] = (now, ends)
            except Exception as error:  # noqa: BLE001  # a convenience, as above
                log.info("Nobody knows until when the cluster %s lives: %s", ref.name, error)

        clock.spawn(ask())
        return known
