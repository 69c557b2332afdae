"""Waits for clusters: in the triggerer together with all that wait for the same one, in a worker until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_air.contracts.clusters import ClusterBackend, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.waiting import backoff_seconds, wait_until

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Clock

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 5.0


@dataclass
class _SharedLook:
    """The last look at one cluster, and how many wait for the next one."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    watchers: int = 0
    begun: float = float("-inf")
    status: ClusterStatus | None = None

    async def look(self, describe: Callable[[], ClusterStatus], clock: Clock, max_age_seconds: float) -> ClusterStatus:
        # By the time of the question: who has just made a cluster must not see what was there before.
        oldest = clock.now() - max_age_seconds
        async with self.lock:
            if self.status is None or self.begun < oldest:
                self.begun = clock.now()
                try:
                    self.status = await clock.in_thread(describe)
                except UnavailableError as error:
                    self.status = ClusterStatus(ClusterState.UNKNOWN, str(error))
            return self.status


_looks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _SharedLook]] = WeakKeyDictionary()


async def watch_by_looking(
    key: Hashable, describe: Callable[[], ClusterStatus], clock: Clock
) -> AsyncGenerator[ClusterStatus]:
    """
    Yield a cluster's status again and again: soon after it has changed, ever more rarely while it stays.

    All that watch the same cluster in this event loop share the looks.

    :param key: names the cluster
    :param describe: looks once; blocks
    :raises ConfigurationError: as ``describe``
    """
    looks = _looks.setdefault(asyncio.get_running_loop(), {})
    shared = looks.setdefault(key, _SharedLook())
    shared.watchers += 1
    try:
        last, pause, pauses = None, 0.0, backoff_seconds(FIRST_SECONDS, LONGEST_SECONDS, 1.3)
        while True:
            status = await shared.look(describe, clock, pause / 2)
            if status != last:
                last, pauses = status, backoff_seconds(FIRST_SECONDS, LONGEST_SECONDS, 1.3)
            yield status
            pause = next(pauses)
            await clock.asleep(pause)
    finally:
        shared.watchers -= 1
        if not shared.watchers and looks.get(key) is shared:
            del looks[key]


def wait_until_gone(backend: ClusterBackend, ref: ClusterRef, *, timeout_seconds: float) -> None:
    """
    Delete a cluster, and block until it is gone; asks again where the deletion itself failed.

    :raises DeadlineExceededError: it is still there
    :raises ConfigurationError: it cannot be seen from this host
    """
    backend.delete(ref)
    last = ClusterStatus(ClusterState.UNKNOWN)

    def is_gone() -> bool | None:
        nonlocal last
        try:
            last = backend.describe(ref)
            if last.state in (ClusterState.FAILED, ClusterState.READY):
                backend.delete(ref)
        except UnavailableError as error:
            last = ClusterStatus(ClusterState.UNKNOWN, str(error))
        return last.state is ClusterState.ABSENT or None

    wait_until(
        is_gone,
        what=f"The end of the cluster {ref.name}",
        timeout_seconds=timeout_seconds,
        last_state=lambda: f"{last.state.value} {last.message}".strip(),
    )
