"""
Says of clusters that several tasks share that somebody counts on them, so that neither expiry nor clean-up ends them.

A run renews the lease of its cluster while it waits, in the triggerer or in place on a worker. What is a task's own
goes with the task, and needs none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef
    from airflow_provider_air.contracts.runs import Clock, Log

LEASE_SECONDS = 1800.0
"""How long a cluster may be counted on after the last word of who uses it."""
RENEW_SECONDS = 1200.0
# Where it failed: well before the lease is over.
AGAIN_SECONDS = 60.0


class Leases:
    """The leases that one process keeps: all its runs that use a cluster share one."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def renew(self, ref: ClusterRef, backend: Callable[[str], ClusterBackend], clock: Clock, log: Log) -> None:
        """
        Renew a cluster's lease where that is due, beside whoever calls this on the event loop; never raises.

        :param backend: gives a cluster back end by its name
        """
        now = clock.now()
        key = json.dumps([ref.backend, ref.name, dict(ref.details)], sort_keys=True)
        if ref.owned or now < self._due.get(key, now):
            return
        # What is due again is not needed here.
        self._due = {key: now + RENEW_SECONDS, **{name: at for name, at in self._due.items() if at > now}}

        async def extend() -> None:
            try:
                await clock.in_spare_thread(lambda: backend(ref.backend).extend(ref, LEASE_SECONDS))
            except Exception as error:  # noqa: BLE001  # a convenience: the watch goes on, whatever a back end raises
                self._due[key] = clock.now() + AGAIN_SECONDS
                log.warning("Nobody could note that the cluster %s is in use: %s", ref.name, error)

        clock.spawn(extend())
