"""
One poll for all jobs of a cluster that anybody in this process waits for.

While few are watched they are asked for by id; when many, by list, since a list returns every job ever.
The pause adapts so that polling costs at most a small share of the time, however many wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.models import JobDetails
from airflow_provider_air.ray_api.requests import get_job, list_jobs, list_nodes
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import backoff_seconds

OpenTransport = Callable[[], Awaitable[Transport]]

BY_ID_AT_MOST = 6
POLL_SECONDS = 0.5
# Who waits for a trivial job should not wait for a poll: jobs that came lately are asked for more often.
YOUNG_SECONDS = 10.0
YOUNG_POLL_SECONDS = 0.15
# A list that took t seconds is followed by a pause of at least t times this: about 9 % of the time. Asking by
# id costs a cluster next to nothing however many jobs it had, and a slow answer must not make an end known late.
PAUSE_PER_LIST_SECOND = 10.0
PAUSE_PER_ASK_SECOND = 1.0
PAUSE_AT_MOST_SECONDS = 15.0
NODE_CHECK_SECONDS = 20.0
# Log reads of all jobs together stay below this rate; each job's share shrinks as more wait.
LOG_READS_PER_SECOND = 40.0


@dataclass(frozen=True)
class Look:
    """
    What the last poll said about one job.

    :param job: its details; None where the cluster does not know it
    :param error: the cluster did not answer this poll; ``job`` then is None and means nothing
    :param node_is_dead: the driver's node is gone, so its state will never change again
    """

    job: JobDetails | None = None
    error: AirError | None = None
    node_is_dead: bool = False


class ClusterFeed:
    """Watches jobs of one cluster for one event loop. Made by :func:`borrow_feed`."""

    def __init__(self, transport: Transport, open_transport: OpenTransport) -> None:
        self._open_transport = open_transport
        self.client = AsyncRayClient(transport, patience_seconds=0.0)
        self.logs = LogReader(self.client)
        self._watched: Counter[str] = Counter()
        self._newest = float("-inf")
        self._list_seconds = 0.0
        self._looks: dict[str, Look] = {}
        self._tick: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake = asyncio.Event()
        self._dead_nodes: set[str] = set()
        self._nodes_checked = time.monotonic()
        self._listing = asyncio.Lock()
        self._listed = float("-inf")
        self._jobs: list[JobDetails] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def log_interval_seconds(self) -> float:
        """How often each watched job may have its log read."""
        return max(POLL_SECONDS, sum(self._watched.values()) / LOG_READS_PER_SECOND)

    @asynccontextmanager
    async def watching(self, submission_id: str) -> AsyncIterator[None]:
        """Include a job in the polls for the time of the block."""
        self._watched[submission_id] += 1
        self._newest = time.monotonic()
        self._wake.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll_for_ever(), name="air-ray-feed")
        try:
            yield
        finally:
            self._watched[submission_id] -= 1
            if not self._watched[submission_id]:
                del self._watched[submission_id]
                self._looks.pop(submission_id, None)

    async def look(self, submission_id: str) -> Look:
        """Wait for the next poll and tell what it said about the job."""
        while True:
            await asyncio.shield(self._tick)
            if submission_id in self._looks:
                return self._looks[submission_id]

    async def all_jobs(self, *, max_age_seconds: float) -> list[JobDetails]:
        """
        Give all jobs of the cluster, from a list that all askers of this process share.

        :raises AirError: the cluster did not give one
        """
        async with self._listing:
            if time.monotonic() - self._listed > max_age_seconds:
                self._jobs = await self.client.send(list_jobs())
                self._listed = time.monotonic()
        return self._jobs

    async def aclose(self) -> None:
        """End the polling and close the connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.client.aclose()

    async def _poll_for_ever(self) -> None:
        failures = backoff_seconds(POLL_SECONDS, 10.0)
        while True:
            self._wake.clear()
            watched = list(self._watched)
            try:
                await self._check_nodes()
                started = time.monotonic()
                looks = await self._poll(watched)
                failures = backoff_seconds(POLL_SECONDS, 10.0)
                pause = self._pause_after(time.monotonic() - started, len(watched))
            except AirError as error:
                looks = dict.fromkeys(watched, Look(error=error))
                pause = next(failures)
                await self._reopen(error)
            except Exception as error:  # noqa: BLE001  # a bug here must reach the waiting triggers, not kill the feed silently
                problem = ProtocolError(f"Polling the cluster failed: {error!r}")
                looks = dict.fromkeys(watched, Look(error=problem))
                pause = next(failures)
            self._looks = {key: look for key, look in looks.items() if key in self._watched}
            self._tick.set_result(None)
            self._tick = asyncio.get_running_loop().create_future()
            await self._pause(pause, bool(watched))

    async def _reopen(self, error: AirError) -> None:
        # A head that came back may have another address or token; a refused token is the sign.
        if not isinstance(error, ConfigurationError):
            return
        # Whatever goes wrong here, the poll goes on: those who wait for it have nobody else.
        with contextlib.suppress(Exception):
            transport = await self._open_transport()
            if transport != self.client.transport:
                old, self.client = self.client, AsyncRayClient(transport, patience_seconds=0.0)
                self.logs = LogReader(self.client)
                await old.aclose()

    def _pause_after(self, poll_seconds: float, count: int) -> float:
        if count > BY_ID_AT_MOST:
            # One slow list may be this event loop's own lag; two in a row are the cluster's.
            usual, self._list_seconds = min(poll_seconds, self._list_seconds), poll_seconds
            return min(max(POLL_SECONDS, PAUSE_PER_LIST_SECOND * usual), PAUSE_AT_MOST_SECONDS)
        young = time.monotonic() - self._newest < YOUNG_SECONDS
        least = YOUNG_POLL_SECONDS if young else POLL_SECONDS
        return min(max(least, PAUSE_PER_ASK_SECOND * poll_seconds), PAUSE_AT_MOST_SECONDS)

    async def _pause(self, seconds: float, busy: bool) -> None:
        await asyncio.sleep(min(seconds, POLL_SECONDS) if busy else 0.0)
        # A new job is looked at soon, even where many others made the pause long.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), max(0.0, seconds - POLL_SECONDS))

    async def _poll(self, watched: list[str]) -> dict[str, Look]:
        if len(watched) <= BY_ID_AT_MOST:
            answers = await asyncio.gather(*map(self._ask, watched))
            errors = [answer for answer in answers if isinstance(answer, AirError)]
            if watched and len(errors) == len(watched):
                raise errors[0]
        else:
            everything = {job.submission_id: job for job in await self.client.send(list_jobs())}
            answers = [everything.get(name) for name in watched]
        return {name: self._look_of(answer) for name, answer in zip(watched, answers, strict=True)}

    async def _ask(self, submission_id: str) -> JobDetails | AirError | None:
        # One job that Ray cannot describe is no reason to go blind for the others.
        try:
            return await self.client.send(get_job(submission_id))
        except AirError as error:
            return error

    def _look_of(self, answer: JobDetails | AirError | None) -> Look:
        if isinstance(answer, AirError):
            return Look(error=answer)
        return Look(answer, node_is_dead=bool(answer and answer.node_id in self._dead_nodes))

    async def _check_nodes(self) -> None:
        # With a dead node agent, Ray's job record stays RUNNING for ever (2.60): only the node list tells.
        if time.monotonic() - self._nodes_checked < NODE_CHECK_SECONDS:
            return
        self._nodes_checked = time.monotonic()
        with contextlib.suppress(AirError):
            nodes = await self.client.send(list_nodes())
            self._dead_nodes = {node.node_id for node in nodes if node.state == "DEAD"}


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, tuple[ClusterFeed, int]]] = WeakKeyDictionary()


@asynccontextmanager
async def borrow_feed(key: Hashable, open_transport: OpenTransport) -> AsyncIterator[ClusterFeed]:
    """
    Share one feed per cluster and event loop; whoever gives it back last closes it.

    :param key: names the cluster
    :param open_transport: gives the address and token, at first and again after they were refused
    """
    transport = await open_transport()
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed, borrowers = feeds.get(key) or (ClusterFeed(transport, open_transport), 0)
    feeds[key] = (feed, borrowers + 1)
    try:
        yield feed
    finally:
        borrowers = feeds[key][1] - 1
        if borrowers:
            feeds[key] = (feed, borrowers)
        else:
            del feeds[key]
            await feed.aclose()
