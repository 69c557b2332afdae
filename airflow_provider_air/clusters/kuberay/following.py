"""
Waits for clusters in the triggerer: by the watch that all share, and by a look around where a start-up takes its time.

What a watch says of a cluster that is ready, or has failed, is asked for once more: whether Ray answers, and what the
last lines of what has failed were.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from airflow_provider_air.clusters.kuberay.surroundings import look_around
from airflow_provider_air.clusters.kuberay.trouble import judge
from airflow_provider_air.clusters.kuberay.watching import Sight, watch_resource
from airflow_provider_air.contracts.clusters import ClusterState, ClusterStatus
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.looking import Looking
    from airflow_provider_air.clusters.kuberay.opening import Opening
    from airflow_provider_air.clusters.kuberay.places import Place
    from airflow_provider_air.contracts.runs import Clock

# Who waits looks at the time whenever there is a status, so there is one now and then.
HEARTBEAT_SECONDS = 3.0
# A head is ready before its dashboard takes work, by a second or two; if it is longer, something is wrong.
AGAIN_SECONDS = 0.5
LONGEST_AGAIN_SECONDS = 15.0
# What goes well is seldom longer without a word from KubeRay.
FIRST_AROUND_SECONDS = 6.0
# Who knows more may see no failure in what a look around takes for one: it is not asked again at each look.
LONGEST_DOUBT_SECONDS = 60.0
# Reading the connection may take longer than that: an exec plug-in, Airflow itself.
NOT_HEARD = ClusterStatus(ClusterState.UNKNOWN, "The kube-apiserver has not answered yet")
ASKED_AGAIN = (ClusterState.READY, ClusterState.FAILED)


class Following:
    """One cluster that is waited for. For one event loop."""

    def __init__(self, opening: Opening, looking: Looking, place: Place, clock: Clock) -> None:
        self._opening = opening
        self._looking = looking
        self._place = place
        self._clock = clock
        self._began = clock.now()
        self._pauses = backoff_seconds(AGAIN_SECONDS, LONGEST_AGAIN_SECONDS, 1.5)
        self._doubts = backoff_seconds(2 * HEARTBEAT_SECONDS, LONGEST_DOUBT_SECONDS)
        self._doubted: ClusterStatus | None = None
        self._doubted_until = float("-inf")

    async def statuses(self) -> AsyncGenerator[ClusterStatus]:
        """
        Yield a status at once, when there may be another one, and every few seconds, for ever.

        :raises ConfigurationError: the connection leads to no kube-apiserver
        """
        place = self._place
        access = self._opening.access(place.conn_id)
        watch = watch_resource(access, place.kind, place.namespace, place.name, self._clock, uid=place.uid or None)
        async with aclosing(watch):
            coming, sight = asyncio.ensure_future(anext(watch)), None
            await asyncio.wait({coming}, timeout=HEARTBEAT_SECONDS)
            try:
                while True:
                    if coming.done():
                        sight, coming = coming.result(), asyncio.ensure_future(anext(watch))
                    status = NOT_HEARD if sight is None else await self._judge(sight)
                    yield status
                    await asyncio.wait({coming}, timeout=self._pause_after(sight, status))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    def _pause_after(self, sight: Sight | None, status: ClusterStatus) -> float:
        if status.state is ClusterState.STARTING and sight is not None:
            by_kubernetes = judge(sight.resource, now=self._clock.now()).state
            if by_kubernetes is ClusterState.READY:
                return next(self._pauses)
        self._pauses = backoff_seconds(AGAIN_SECONDS, LONGEST_AGAIN_SECONDS, 1.5)
        return HEARTBEAT_SECONDS

    async def _judge(self, sight: Sight) -> ClusterStatus:
        if sight.error is not None:
            return ClusterStatus(ClusterState.UNKNOWN, str(sight.error))
        status = judge(sight.resource, now=self._clock.now())
        is_slow = self._clock.now() - self._began > FIRST_AROUND_SECONDS
        if status.state is ClusterState.STARTING and not status.queued and is_slow and sight.resource is not None:
            around = await look_around(self._opening, self._place.conn_id, self._place.namespace, self._clock)
            if around is not None:
                pods = around.pods_of(sight.resource)
                events = around.events_of(sight.resource, pods)
                status = judge(sight.resource, pods, events, now=self._clock.now() + around.skew_seconds)
        if status.state not in ASKED_AGAIN:
            return status
        now, is_failure = self._clock.now(), status.state is ClusterState.FAILED
        if is_failure and self._doubted is not None and now < self._doubted_until:
            return self._doubted
        try:
            status = await self._clock.in_thread(self._looking.describe, self._place)
        except UnavailableError as error:
            return ClusterStatus(ClusterState.UNKNOWN, str(error))
        if is_failure:
            self._doubted, self._doubted_until = status, now + next(self._doubts)
        return status
