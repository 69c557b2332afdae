"""
Queues for a cluster that takes only so many jobs at once.

All that wait for one cluster in one process share one look at its jobs, by turns: the first of them looks, the others
sleep until they are given a place, in the order in which they came. A place that was given counts beside the live jobs
until its job is seen to have ended. The places are known to all processes of a host (see
:class:`~airflow_provider_air.runs.places.HostPlaces`), and to no other host: there several of them may exceed the limit
until the jobs are seen. An Airflow pool with ``include_deferred`` is the exact limit.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.runs.names import TASK

if TYPE_CHECKING:
    from airflow_provider_air.contracts.clusters import ClusterRef
    from airflow_provider_air.contracts.jobs import JobBackend
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import Clock, Places
    from airflow_provider_air.ray_api.models import JobDetails

# A place whose job is not seen by then is given on.
PLACE_SECONDS = 120.0
# How long a cluster may not answer before those who wait for room on it hear of it.
SILENT_SECONDS = 120.0
LOOK_SECONDS = 1.0
# A look that took t seconds is followed by a pause of at least t times this: about 9 % of the time.
PAUSE_PER_LOOK_SECOND = 10.0
PAUSE_AT_MOST_SECONDS = 15.0


@dataclass(frozen=True)
class Wish:
    """
    What waits for a place.

    :param key: of the task instance; its own jobs do not count: they are stopped before its next one is sent
    :param submission_id: of the job that the place is for
    :param limit: how many live jobs the cluster takes
    :param until: epoch seconds at which it waits no more, or None
    """

    key: TaskKey
    submission_id: str
    limit: int
    until: float | None = None

    @property
    def task(self) -> str:
        """As the metadata of its jobs names it."""
        return str(self.key)


@dataclass(eq=False)
class _Waiter:
    wish: Wish
    on_wait: Callable[[int], None]
    place_until: float | None = None
    is_over: bool = False
    error: AirError | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_settled(self) -> bool:
        return self.place_until is not None or self.is_over or self.error is not None


@dataclass(eq=False)
class _Queue:
    """Those who wait for one cluster in this process, in the order in which they came; one of them looks for all."""

    waiters: dict[_Waiter, None] = field(default_factory=dict)
    looks: _Waiter | None = None
    silent_since: float | None = None

    def leave(self, waiter: _Waiter) -> None:
        del self.waiters[waiter]
        if self.looks is waiter:
            self.looks = None
        # Whoever was woken last may only leave, too: until somebody looks, each wakes the next.
        if self.looks is None and (following := next(iter(self.waiters), None)) is not None:
            following.woken.set()

    def settle(self, given: Mapping[str, float], taken: int, now: float) -> None:
        self.silent_since = None
        for waiter in self.waiters:
            waiter.place_until = given.get(waiter.wish.submission_id)
            waiter.is_over = waiter.wish.until is not None and now >= waiter.wish.until
            if waiter.is_settled:
                waiter.woken.set()
            else:
                waiter.on_wait(taken)

    def fail(self, error: AirError, now: float) -> None:
        """Note that nobody could look; those who wait hear of it once that lasts, or cannot change."""
        self.silent_since = now if self.silent_since is None else self.silent_since
        is_final = not isinstance(error, UnavailableError) or now - self.silent_since > SILENT_SECONDS
        for waiter in self.waiters:
            waiter.is_over = waiter.wish.until is not None and now >= waiter.wish.until
            waiter.error = error if is_final else None
            if waiter.is_settled:
                waiter.woken.set()

    def pause_after(self, seconds: float, now: float) -> float:
        pause = min(max(LOOK_SECONDS, PAUSE_PER_LOOK_SECOND * seconds), PAUSE_AT_MOST_SECONDS)
        ends = (waiter.wish.until for waiter in self.waiters if waiter.wish.until is not None)
        return max(0.0, min(pause, min(ends, default=float("inf")) - now))


class Admission:
    """
    The queues of one process.

    :param places: the places that were given, here and elsewhere
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._queues: dict[str, _Queue] = {}

    async def place(
        self, ref: ClusterRef, jobs: JobBackend, wish: Wish, clock: Clock, on_wait: Callable[[int], None]
    ) -> float | None:
        """
        Wait for a place on a cluster, and take it; in the triggerer, or in the worker's own event loop.

        :param on_wait: told after each look that gave none how many places are taken; must neither block nor raise
        :return: epoch seconds until which it is kept for a job that nobody sees; None where ``wish.until`` came first
        :raises AirError: the cluster cannot be asked
        """
        # Deployments of one host may call different clusters by one name.
        key = f"{wish.key.deployment} {ref.key}"
        queue = self._queues.setdefault(key, _Queue())
        waiter = _Waiter(wish, on_wait)
        queue.waiters[waiter] = None
        try:
            while not waiter.is_settled:
                if queue.looks not in (None, waiter):
                    await waiter.woken.wait()
                    waiter.woken.clear()
                    continue
                queue.looks = waiter
                started = clock.now()
                await self._look(key, queue, jobs, clock)
                if not waiter.is_settled:
                    now = clock.now()
                    await clock.asleep(queue.pause_after(now - started, now))
        finally:
            queue.leave(waiter)
            if not queue.waiters and self._queues.get(key) is queue:
                del self._queues[key]
        if waiter.place_until is None and waiter.error is not None:
            raise waiter.error.with_traceback(None)
        return waiter.place_until

    async def _look(self, key: str, queue: _Queue, jobs: JobBackend, clock: Clock) -> None:
        """Look at the jobs once, and give all places that there are."""
        try:
            seen = await jobs.jobs_now()
        except AirError as error:
            queue.fail(error, clock.now())
            return
        wishes = [waiter.wish for waiter in queue.waiters]
        give = partial(_give, cluster=key, wishes=wishes, jobs=seen, now=clock.now())
        given, taken = await clock.in_thread(self._places.change, give)
        queue.settle(given, taken, clock.now())
        still = {waiter.wish.submission_id for waiter in queue.waiters}
        for name in given.keys() - still:
            await clock.in_thread(self.give_back, name)

    def give_back(self, submission_id: str) -> None:
        """Give back the place of a job that has ended, or will not come; fine where it has none. Blocks for moments."""
        self._places.change(partial(_take_back, submission_id=submission_id))


class OwnPlaces:
    """The places that one process knows alone."""

    def __init__(self) -> None:
        self._places: dict[str, Any] = {}

    def change(self, change: Callable[[dict[str, Any]], Any]) -> Any:
        """Change them; whoever does so has them to itself."""
        return change(self._places)


def _give(
    places: dict[str, Any], *, cluster: str, wishes: Sequence[Wish], jobs: Sequence[JobDetails], now: float
) -> tuple[dict[str, float], int]:
    """
    Give a place to all who wait and fit, in order.

    :return: submission id to epoch seconds until which it is kept; and how many places are taken now
    """
    known = {job.submission_id: job for job in jobs}
    alive = {name: job for name, job in known.items() if job.status.is_alive}
    held = places.setdefault(cluster, {})
    for name in alive.keys() & held.keys():
        held[name]["until"] = now + PLACE_SECONDS
    for name in [name for name in held if name in known and known[name].status.is_terminal]:
        del held[name]
    _forget(places, now, but=cluster)
    # A job and its place count once, so that nobody has to know which of them an older list has seen.
    tasks = {name: place["task"] for name, place in held.items()}
    tasks |= {name: job.metadata.get(TASK) for name, job in alive.items()}
    taken, of_task = len(tasks), Counter(tasks.values())
    given = {}
    for wish in wishes:
        if taken - of_task[wish.task] >= wish.limit:
            continue
        for name in [name for name, place in held.items() if place["task"] == wish.task]:
            del held[name]
        taken, of_task[wish.task] = taken - of_task[wish.task] + 1, 1
        held[wish.submission_id] = {"task": wish.task, "until": now + PLACE_SECONDS}
        given[wish.submission_id] = now + PLACE_SECONDS
    _forget(places, now)
    return given, taken


def _take_back(places: dict[str, Any], *, submission_id: str) -> None:
    for cluster, held in list(places.items()):
        if held.pop(submission_id, None) is not None and not held:
            del places[cluster]


def _forget(places: dict[str, Any], now: float, but: str | None = None) -> None:
    """Forget the places that nobody has come to, and the clusters without any."""
    for cluster, held in list(places.items()):
        for name in [name for name, place in held.items() if place["until"] < now]:
            del held[name]
        if not held and cluster != but:
            del places[cluster]
