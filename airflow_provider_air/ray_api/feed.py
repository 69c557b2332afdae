"""
One poll for all jobs of a cluster that anybody in this process waits for, and one list for all who want all jobs.

While few are watched they are asked for by id; when many, by list, since a list returns every job ever.
The pause adapts so that polling, and telling those who wait, costs at most a small share of the time, however many do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from airflow_provider_air.errors import AirError, ClusterUnreachableError, ProtocolError
from airflow_provider_air.ray_api.client import AsyncRayClient
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.models import ClusterLoad, ClusterOverview, JobDetails
from airflow_provider_air.ray_api.nodes import Nodes
from airflow_provider_air.ray_api.requests import get_cluster_load, get_job, get_version, list_jobs
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.waiting import backoff_seconds

OpenTransport = Callable[[], Awaitable[Transport]]

BY_ID_AT_MOST = 6
POLL_SECONDS = 0.5
# Who waits for a trivial job should not wait for a poll: jobs that came lately are asked for more often.
YOUNG_SECONDS = 10.0
YOUNG_POLL_SECONDS = 0.08
# A list that took t seconds, with telling all who wait for it, is followed by a pause of at least t times this: about
# 9 % of the time. Asking by id costs a cluster next to nothing however many jobs it had, and a slow answer must not
# make an end known late.
PAUSE_PER_LIST_SECOND = 10.0
PAUSE_PER_ASK_SECOND = 1.0
PAUSE_AT_MOST_SECONDS = 15.0
NODE_CHECK_SECONDS = 20.0
LOAD_SECONDS = 10.0
OVERVIEW_SECONDS = 30.0
# A cluster that has just come has not reported yet, and a job of seconds is to be seen, too.
FIRST_OVERVIEW_SECONDS = 1.0
# Opening may ask a secrets backend or a cloud; those who wait hear of a deadline only from the next look.
OPEN_SECONDS = 15.0
# A transport is made anew so long before it expires, and no more often than that.
RENEWAL_SECONDS = 30.0
# Who wants all jobs gets a list of this age at most; a slow one is kept longer, as the pauses of the poll are.
LIST_SECONDS = 1.0
FORGET_LIST_SECONDS = 60.0
# Log reads of all jobs together stay below this rate; each job's share shrinks as more wait.
LOG_READS_PER_SECOND = 40.0


@dataclass(frozen=True)
class Look:
    """
    What the last poll said about one job.

    :param job: its details; None where the cluster says in its own words that it does not know it
    :param error: the cluster did not answer this poll; ``job`` then is None and means nothing
    :param node_is_dead: the driver's node is gone, so its state will never change again
    :param session_name: Ray's session that does not know the job, asked after it said so
    """

    job: JobDetails | None = None
    error: AirError | None = None
    node_is_dead: bool = False
    session_name: str | None = None


class ClusterFeed:
    """
    Watches jobs of one cluster for one event loop. Made by :func:`borrow_feed`.

    It opens the cluster itself: at first, when its transport expires, and again and again while nobody answers or we
    are refused, since address and token may be others by then.
    """

    def __init__(self, open_transport: OpenTransport) -> None:
        self._open_transport = open_transport
        self._client: AsyncRayClient | None = None
        self._nodes: Nodes | None = None
        self._logs: LogReader | None = None
        self._opened = float("-inf")
        self._failed = False
        self._watched: Counter[str] = Counter()
        self._newest = float("-inf")
        self._list_seconds = 0.0
        self._looks: dict[str, Look] = {}
        self._tick: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake = asyncio.Event()
        self._dead_nodes: set[str] = set()
        self._nodes_checked = time.monotonic()
        self._load: ClusterLoad | AirError = ClusterLoad()
        self._load_asked = float("-inf")
        self._load_lock = asyncio.Lock()
        self.overview: ClusterOverview | None = None
        """The cluster as it was seen last, for people: asked every half minute for all that watch jobs of it."""
        self._overview_due = time.monotonic() + FIRST_OVERVIEW_SECONDS
        self._overlooking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def client(self) -> AsyncRayClient:
        """
        What speaks to the cluster, until the next one replaces it.

        :raises ClusterUnreachableError: the cluster has not been opened yet
        """
        if self._client is None:
            raise ClusterUnreachableError("The cluster has not been opened yet")
        return self._client

    @property
    def logs(self) -> LogReader:
        """Reads the cluster's log files; raises as :attr:`client`."""
        if self._logs is None:
            raise ClusterUnreachableError("The cluster has not been opened yet")
        return self._logs

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

    async def load(self, oldest_seconds: float = LOAD_SECONDS) -> ClusterLoad:
        """
        Give what the cluster lends, at most some seconds old: all that ask share it.

        :raises AirError: the cluster did not say
        """
        async with self._load_lock:
            if time.monotonic() - self._load_asked > oldest_seconds:
                self._load_asked = time.monotonic()
                try:
                    self._load = await self.client.send(get_cluster_load())
                except AirError as error:
                    self._load = error
            if isinstance(self._load, AirError):
                raise self._load
            return self._load

    async def aclose(self) -> None:
        """End the polling and close the connections."""
        for task in (self._task, self._overlooking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._client is not None:
            await self._client.aclose()

    async def _poll_for_ever(self) -> None:
        failures = backoff_seconds(POLL_SECONDS, 10.0)
        while True:
            self._wake.clear()
            watched = list(self._watched)
            try:
                await self._refresh()
                await self._check_nodes()
                self._look_over()
                started = time.monotonic()
                looks = await self._poll(watched)
                self._failed = failed = False
            except AirError as error:
                looks = dict.fromkeys(watched, Look(error=error))
                self._failed = failed = True
            except Exception as error:  # noqa: BLE001  # a bug here must reach the waiting triggers, not kill the feed silently
                problem = ProtocolError(f"Polling the cluster failed: {error!r}")
                looks, failed = dict.fromkeys(watched, Look(error=problem)), True
            await self._tell({key: look for key, look in looks.items() if key in self._watched})
            if failed:
                pause = next(failures)
            else:
                pause = self._pause_after(time.monotonic() - started, len(watched))
                failures = backoff_seconds(POLL_SECONDS, 10.0)
            await self._pause(pause, bool(watched))

    async def _tell(self, looks: dict[str, Look]) -> None:
        """Wake those who wait, and let them take in what they can without asking for more."""
        self._looks = looks
        self._tick.set_result(None)
        self._tick = asyncio.get_running_loop().create_future()
        # One turn of the loop for the shields, one for those behind them.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _refresh(self) -> None:
        """Open the cluster where that is due."""
        if self._client is not None and not self._failed and not self._is_stale(self._client.transport):
            return
        self._opened = time.monotonic()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                transport = await self._open_transport()
        except TimeoutError:
            if self._client is None:
                raise ClusterUnreachableError(f"The cluster could not be opened within {OPEN_SECONDS:g} s") from None
        except Exception:
            # Whatever goes wrong later, the poll goes on: those who wait for it have nobody else.
            if self._client is None:
                raise
        else:
            await self._use(transport)

    def _is_stale(self, transport: Transport) -> bool:
        ends, now = transport.expires_at, time.monotonic()
        return ends is not None and time.time() > ends - RENEWAL_SECONDS and now - self._opened > RENEWAL_SECONDS

    async def _use(self, transport: Transport) -> None:
        old = self._client
        if old is not None and old.transport == transport:
            return
        self._client = AsyncRayClient(transport, patience_seconds=0.0)
        self._nodes = Nodes(self._client)
        self._logs = LogReader(self._client, self._nodes)
        if old is not None:
            await old.aclose()

    def _pause_after(self, poll_seconds: float, count: int) -> float:
        if count > BY_ID_AT_MOST:
            # One slow list may be this event loop's own lag; two in a row are the cluster's.
            usual, self._list_seconds = min(poll_seconds, self._list_seconds), poll_seconds
            return min(max(POLL_SECONDS, PAUSE_PER_LIST_SECOND * usual), PAUSE_AT_MOST_SECONDS)
        young = time.monotonic() - self._newest < YOUNG_SECONDS
        least = min(YOUNG_POLL_SECONDS * max(1, count), POLL_SECONDS) if young else POLL_SECONDS
        return min(max(least, PAUSE_PER_ASK_SECOND * poll_seconds), PAUSE_AT_MOST_SECONDS)

    async def _pause(self, seconds: float, busy: bool) -> None:
        slept = min(seconds, POLL_SECONDS) if busy else 0.0
        await asyncio.sleep(slept)
        # A new job is looked at soon, even where many others made the pause long.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - slept):
                await self._wake.wait()

    async def _poll(self, watched: list[str]) -> dict[str, Look]:
        asked = watched
        answers: dict[str, JobDetails | AirError | None] = {}
        if len(watched) > BY_ID_AT_MOST:
            answers |= {job.submission_id: job for job in await self.client.send(list_jobs())}
            # A list leaves out what nobody can read: that a job is unknown is only told by Ray's words about it.
            asked = [name for name in watched if name not in answers]
        answers |= zip(asked, await asyncio.gather(*map(self._ask, asked)), strict=True)
        errors = [answer for answer in map(answers.get, watched) if isinstance(answer, AirError)]
        if watched and len(errors) == len(watched):
            raise errors[0]
        unknown = any(answers[name] is None for name in watched)
        session_name = await self._ask_session() if unknown else None
        return {name: self._look_of(answers[name], session_name) for name in watched}

    async def _ask(self, submission_id: str) -> JobDetails | AirError | None:
        # One job that Ray cannot describe is no reason to go blind for the others.
        try:
            return await self.client.send(get_job(submission_id))
        except AirError as error:
            return error

    async def _ask_session(self) -> str | AirError:
        try:
            return (await self.client.send(get_version())).session_name
        except AirError as error:
            return error

    def _look_of(self, answer: JobDetails | AirError | None, session_name: str | AirError | None) -> Look:
        if isinstance(answer, AirError):
            return Look(error=answer)
        if answer is not None:
            return Look(answer, node_is_dead=answer.node_id in self._dead_nodes)
        return Look(error=session_name) if isinstance(session_name, AirError) else Look(session_name=session_name)

    async def _check_nodes(self) -> None:
        # With a dead node agent, Ray's job record stays RUNNING for ever (2.60): only the node list tells.
        if self._nodes is None or time.monotonic() - self._nodes_checked < NODE_CHECK_SECONDS:
            return
        self._nodes_checked = time.monotonic()
        with contextlib.suppress(AirError):
            nodes = await self._nodes.ask()
            self._dead_nodes = {node.node_id for node in nodes if node.state == "DEAD"}

    def _look_over(self) -> None:
        """Look at the whole cluster where that is due, beside the poll, which waits for nothing that is for people."""
        if time.monotonic() >= self._overview_due and (self._overlooking is None or self._overlooking.done()):
            self._overview_due = time.monotonic() + OVERVIEW_SECONDS
            self._overlooking = asyncio.create_task(self._overlook(), name="air-ray-overview")

    async def _overlook(self) -> None:
        # For people: whatever goes wrong, it is tried again later.
        with contextlib.suppress(Exception):
            load, nodes = await self.load(OVERVIEW_SECONDS / 2), self._nodes
            known = () if nodes is None else nodes.known or await nodes.ask()
            self.overview = ClusterOverview.of(time.time(), load, known)


_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, tuple[ClusterFeed, int]]] = WeakKeyDictionary()


@asynccontextmanager
async def borrow_feed(key: Hashable, open_transport: OpenTransport) -> AsyncIterator[ClusterFeed]:
    """
    Share one feed per cluster and event loop; whoever gives it back last closes it.

    :param key: names the cluster
    :param open_transport: gives address and token, again and again
    """
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed, borrowers = feeds.get(key) or (ClusterFeed(open_transport), 0)
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


@dataclass
class _SharedList:
    """The last list of a cluster's jobs, or why there is none."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: float = float("-inf")
    seconds: float = 0.0
    jobs: Sequence[JobDetails] = ()
    error: AirError | None = None

    def is_fresh(self, now: float) -> bool:
        pause = PAUSE_PER_LIST_SECOND * self.seconds if self.error is None else 0.0
        return now - self.asked < min(max(LIST_SECONDS, pause), PAUSE_AT_MOST_SECONDS)


_lists: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _SharedList]] = WeakKeyDictionary()


async def shared_jobs(key: Hashable, open_transport: OpenTransport) -> Sequence[JobDetails]:
    """
    Give all jobs of a cluster, from a list that all who ask in this event loop share; at most some seconds old.

    :param key: names the cluster, as for :func:`borrow_feed`
    :raises AirError: the cluster did not give one
    """
    loop = asyncio.get_running_loop()
    lists = _lists.setdefault(loop, {})
    for other in [other for other, old in lists.items() if time.monotonic() - old.asked > FORGET_LIST_SECONDS]:
        if not lists[other].lock.locked():
            del lists[other]
    shared = lists.setdefault(key, _SharedList())
    async with shared.lock:
        if not shared.is_fresh(time.monotonic()):
            await _list_anew(shared, open_transport)
        if shared.error is not None:
            raise shared.error
        return shared.jobs


async def _list_anew(shared: _SharedList, open_transport: OpenTransport) -> None:
    started = time.monotonic()
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            transport = await open_transport()
        started = time.monotonic()
        async with AsyncRayClient(transport, patience_seconds=0.0) as client:
            jobs = await client.send(list_jobs())
        shared.jobs, shared.error = jobs, None
    except TimeoutError:
        shared.error = ClusterUnreachableError(f"The cluster could not be opened within {OPEN_SECONDS:g} s")
    except AirError as error:
        shared.error = error
    shared.asked = time.monotonic()
    shared.seconds = shared.asked - started
