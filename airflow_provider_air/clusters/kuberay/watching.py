"""
Follows resources for all that wait for them in one event loop: one list and one watch for each kind and namespace.

What goes wrong on the way is told to those who wait and tried again, for ever: a list begins it, a watch follows from
that list's version, a version that is compacted means a new list, and a watch that says nothing for long is compared
with the kube-apiserver's own word.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.answers import (
    KubeUnavailableError,
    PermissionMissingError,
    TokenRefusedError,
    VersionGoneError,
    failure_of,
    failure_told,
    told_by,
)
from airflow_provider_air.clusters.kuberay.client import AsyncKubeClient
from airflow_provider_air.clusters.kuberay.kinds import Asked
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    ProtocolError,
    UnavailableError,
)
from airflow_provider_air.ray_api.requests import Answer
from airflow_provider_air.waiting import backoff_seconds

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.kinds import Kind
    from airflow_provider_air.contracts.connections import KubernetesAccess
    from airflow_provider_air.contracts.runs import Clock

log = logging.getLogger(__name__)

# The kube-apiserver ends a watch after that long, and the next one goes on from the same version.
WATCH_SECONDS = 290.0
# It sends a bookmark about every minute (1.35): who has heard nothing for longer asks.
SILENT_SECONDS = 75.0
# What the server says is changed must come by the watch within that time.
LATE_SECONDS = 2.0
# How often is looked where watching is not allowed.
POLL_SECONDS = 5.0
# How often a connection is read anew while nobody answers where it led.
RENEWAL_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


@dataclass(frozen=True)
class Sight:
    """
    What is known of one resource.

    :param resource: as Kubernetes has it, without ``managedFields``; None where there is none, or none of that UID.
        Shared: not to be changed
    :param error: nobody answers at the moment; ``resource`` then is None and means nothing
    """

    resource: Resource | None = None
    error: AirError | None = None


class _StaleError(Exception):
    """The watch has missed something."""


class _SharedWatch:
    """The resources of one kind in one namespace, and who waits for which."""

    def __init__(self, access: KubernetesAccess, kind: Kind, namespace: str, clock: Clock) -> None:
        self._kind, self._namespace, self._clock = kind, namespace, clock
        self._client = AsyncKubeClient(access, patience_seconds=0.0, in_thread=clock.in_thread)
        self._resources: dict[str, Resource] = {}
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listed = asyncio.Event()
        self._error: AirError | None = None
        self._was_well = False
        self._renewed_at = float("-inf")
        self._warned = False
        self._version: str | None = None
        self._pauses = backoff_seconds(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self._task = asyncio.create_task(self._follow_for_ever(), name=f"air-kube-watch-{kind.plural}")
        self.waiters = 0

    async def aclose(self) -> None:
        """End the watch and close the connections."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._client.aclose()

    async def sights(self, name: str, uid: str | None) -> AsyncGenerator[Sight]:
        """
        Yield what is known of one resource, now and whenever it may be another.

        :raises ConfigurationError: the connection leads to no kube-apiserver
        """
        changed = asyncio.Event()
        self._waiting.setdefault(name, set()).add(changed)
        try:
            await self._listed.wait()
            while True:
                yield await self._sight(name, uid, changed)
                await changed.wait()
        finally:
            self._waiting[name].discard(changed)
            if not self._waiting[name]:
                del self._waiting[name]

    async def _sight(self, name: str, uid: str | None, changed: asyncio.Event) -> Sight:
        while True:
            changed.clear()
            if isinstance(self._error, ConfigurationError):
                raise self._error
            if self._error is not None:
                return Sight(error=self._error)
            known = self._resources.get(name)
            if known is not None and _is_meant(known, uid):
                return Sight(known)
            # Who waits for what has just been made may be ahead of the watch: absence is asked for.
            try:
                found = await self._client.send(api.get(self._kind, self._namespace, name))
            except AirError as error:
                asyncio.get_running_loop().call_later(POLL_SECONDS, changed.set)
                return Sight(error=error)
            # That there is none, and none has come meanwhile, holds whatever else befell the watch.
            if changed.is_set() and (found is not None or name in self._resources):
                continue
            if found is not None:
                self._resources[name] = _trimmed(found)
            return Sight(self._resources[name] if found is not None and _is_meant(found, uid) else None)

    async def _follow_for_ever(self) -> None:
        while not isinstance(self._error, ConfigurationError):
            pause = 0.0
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
            except (VersionGoneError, _StaleError, TimeoutError) as reason:
                log.info("Listing %s of %s anew: %r", self._kind.plural, self._namespace, reason)
                self._version = None
            except AirError as error:
                # What it has missed, only a list tells.
                self._version = None
                pause = self._pause_after(await self._renewed_after(error))
            except Exception as error:  # noqa: BLE001  # a bug here must reach those who wait, not end it silently
                self._version = None
                self._fail(ProtocolError(f"Watching {self._kind.full_name} failed: {error!r}"))
            await self._clock.asleep(max(next(self._pauses), pause))

    async def _renewed_after(self, error: AirError) -> AirError:
        """Read the connection anew where it may lead elsewhere by now; what was right before is an outage at most."""
        if not isinstance(error, (ClusterUnreachableError, ConfigurationError)):
            return error
        if isinstance(error, ConfigurationError) and not self._was_well:
            return error
        if self._clock.now() - self._renewed_at > RENEWAL_SECONDS:
            self._renewed_at = self._clock.now()
            with contextlib.suppress(AirError):
                await self._client.renew()
        return UnavailableError(str(error)) if isinstance(error, ConfigurationError) else error

    def _pause_after(self, error: AirError) -> float:
        if isinstance(error, PermissionMissingError) and error.permission.verb == "watch":
            if not self._warned:
                log.warning("%s. It is listed every %g s instead", error, POLL_SECONDS)
            self._warned = True
            return POLL_SECONDS
        self._fail(error)
        return error.retry_after_seconds if isinstance(error, KubeUnavailableError) else 0.0

    async def _list(self) -> str:
        items, version = await self._client.list_all(lambda rest: api.list_page(self._kind, self._namespace, rest=rest))
        found = {item["metadata"]["name"]: item for item in items}
        gone = self._resources.keys() - found.keys()
        for name in gone:
            del self._resources[name]
        self._wake(gone)
        for item in found.values():
            self._keep(item)
        self._be_well()
        return version

    async def _watch(self, version: str) -> None:
        """
        Take events until the server ends the watch.

        :raises TimeoutError: it did not begin soon, or did not end when it was to
        :raises _StaleError: it brought nothing: what ends it may keep its events back, too
        """
        call = api.watch(self._kind, self._namespace, version, seconds=WATCH_SECONDS)
        # It begins at once, without any event: who does not begin it says nothing that could be compared.
        async with asyncio.timeout(api.READ_SECONDS) as limit, await self._client.stream(call) as response:
            limit.reschedule(asyncio.get_running_loop().time() + call.timeout_seconds)
            if response.status_code != 200:
                answer = Answer(response.status_code, await response.aread(), response.headers)
                error = failure_of(answer, Asked("watch", self._kind, self._namespace))
                if isinstance(error, TokenRefusedError):
                    await self._client.renew()
                raise error
            self._be_well()
            began, taken = self._clock.now(), 0
            async with aclosing(self._checked(_lines(response.aiter_bytes()))) as lines:
                async for line in lines:
                    self._take(line)
                    taken += 1
            if not taken and self._clock.now() - began < WATCH_SECONDS / 2:
                raise _StaleError("the watch ended at once, without an event")

    async def _checked(self, lines: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """
        Pass lines on, and ask in between where none come.

        :raises _StaleError: there were changes of which no line tells
        """
        line: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                line = line or asyncio.create_task(_next(lines))
                if await _is_done(line, SILENT_SECONDS):
                    if (found := line.result()) is None:
                        return
                    line = None
                    yield found
                elif await self._has_changed() and not await _is_done(line, LATE_SECONDS):
                    raise _StaleError(f"no event for {SILENT_SECONDS:g} s although there were changes")
        finally:
            if line is not None:
                line.cancel()
                await asyncio.wait({line})
            await lines.aclose()

    async def _has_changed(self) -> bool:
        items, _ = await self._client.list_all(
            lambda rest: api.list_page(self._kind, self._namespace, rest=rest, metadata_only=True)
        )
        return {_mark(item) for item in items} != {_mark(known) for known in self._resources.values()}

    def _take(self, line: bytes) -> None:
        """
        Take one line of a watch.

        :raises VersionGoneError: the version is compacted meanwhile
        :raises AirError: the watch ended with another failure
        """
        try:
            event = json.loads(line)
            what, told = event["type"], event["object"]
            if what != "ERROR":
                name, version = told["metadata"].get("name"), str(told["metadata"]["resourceVersion"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ProtocolError(f"A watch of {self._kind.full_name} brought {line[:200]!r}") from None
        if what == "ERROR":
            raise self._end_told(line, told)
        self._version = version
        self._pauses = backoff_seconds(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        if what == "DELETED":
            self._resources.pop(name, None)
            self._wake([name])
        elif what != "BOOKMARK":
            self._keep(told)

    def _end_told(self, line: bytes, status: Any) -> AirError:
        told = told_by(Answer(500, json.dumps(status).encode()))
        if told is None:
            return ProtocolError(f"A watch of {self._kind.full_name} ended with {line[:200]!r}")
        return failure_told(told, Asked("watch", self._kind, self._namespace))

    def _keep(self, resource: Resource) -> None:
        known = self._resources.get(resource["metadata"]["name"])
        if known is None or _mark(known) != _mark(resource):
            self._resources[resource["metadata"]["name"]] = _trimmed(resource)
            self._wake([resource["metadata"]["name"]])

    def _fail(self, error: AirError) -> None:
        self._error = error
        self._listed.set()
        self._wake(list(self._waiting))

    def _be_well(self) -> None:
        was, self._error, self._was_well = self._error, None, True
        self._listed.set()
        if was is not None:
            self._wake(list(self._waiting))

    def _wake(self, names: Iterable[str]) -> None:
        for name in names:
            for waiter in self._waiting.get(name, ()):
                waiter.set()


def _is_meant(resource: Resource, uid: str | None) -> bool:
    return uid is None or resource["metadata"]["uid"] == uid


def _mark(resource: Resource) -> tuple[str, str]:
    return resource["metadata"]["uid"], resource["metadata"]["resourceVersion"]


def _trimmed(resource: Resource) -> Resource:
    """Leave out who set which field: half of what a resource holds."""
    metadata = {key: value for key, value in resource["metadata"].items() if key != "managedFields"}
    return {**resource, "metadata": metadata}


async def _next(lines: AsyncGenerator[bytes]) -> bytes | None:
    return await anext(lines, None)


async def _is_done(task: asyncio.Task[Any], seconds: float) -> bool:
    await asyncio.wait({task}, timeout=seconds)
    return task.done()


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Split at line feeds, and at nothing else: texts within JSON may hold other line ends."""
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        *whole, last = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield bytes(line)
        rest = bytearray(last)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _SharedWatch]] = WeakKeyDictionary()


async def watch_resource(
    access: KubernetesAccess, kind: Kind, namespace: str, name: str, clock: Clock, *, uid: str | None = None
) -> AsyncGenerator[Sight]:
    """
    Yield what is known of one resource, at once and whenever it may be another, for ever; in the triggerer.

    All that wait in this event loop for the same kind in the same namespace share a list and a watch: the first starts
    them, the last ends them. Close the generator to leave.

    :param uid: whose it must be: a successor of the same name counts as absence
    :raises ConfigurationError: the connection leads to no kube-apiserver
    """
    watches = _watches.setdefault(asyncio.get_running_loop(), {})
    key = (access.conn_id, kind, namespace)
    shared = watches.get(key) or _SharedWatch(access, kind, namespace, clock)
    watches[key] = shared
    shared.waiters += 1
    try:
        async with aclosing(shared.sights(name, uid)) as sights:
            async for sight in sights:
                yield sight
    finally:
        shared.waiters -= 1
        if not shared.waiters:
            # Who comes while it closes starts another one.
            del watches[key]
            await shared.aclose()
