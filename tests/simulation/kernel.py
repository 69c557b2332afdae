"""
Virtual time and simulated processes.

A process is a group of threads of control (greenlets) that die, freeze and are cut off together. Whatever a process
does to its surroundings goes through :meth:`Kernel.call`: there time passes, others get their turn, and what the
history has in store happens: before the effect, or after it and before its reply. Coroutines are run in greenlets as
well: what they await switches to another greenlet instead of suspending them.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import greenlet

from airflow_provider_air.errors import ClusterUnreachableError

T = TypeVar("T")

EPOCH = 1_800_000_000.0
MOST_STEPS = 60_000
ANY = "call"
"""Counts all calls, of whatever kind."""


class KilledError(BaseException):
    """The process is dead: nothing that it still unwinds has any effect."""


class EndlessError(Exception):
    """The run takes more steps than any honest one."""


class Group:
    """One operating-system process."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.threads: list[Thread] = []
        self.dead = False
        self.frozen_until = 0.0
        self.cut_until = 0.0
        self.epoch = 0
        self.random = random.Random(f"{kernel.seed}/{name}")

    def spawn(
        self, work: Callable[[], Any], on_end: Callable[[Any, BaseException | None], None] | None = None
    ) -> Thread:
        """Start a thread of control; ``on_end`` gets its result or error, unless it was killed."""
        thread = Thread(self, work, on_end)
        self.threads.append(thread)
        self.kernel.wake(thread, self.kernel.now)
        return thread

    def kill(self) -> None:
        """SIGKILL: nothing of it runs on; finally-blocks unwind without any effect."""
        if self.dead:
            return
        self.dead = True
        self.kernel.note(self.name, "is killed")
        # From the hub: a greenlet that ends gives the turn to its parent.
        self.kernel.at(self.kernel.now, self._unwind)

    def _unwind(self) -> None:
        for thread in self.threads:
            if thread.greenlet:
                thread.greenlet.throw(KilledError)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for a while."""
        self.kernel.note(self.name, "is frozen for %.0f s", seconds)
        self.frozen_until = max(self.frozen_until, self.kernel.now + seconds)

    def cut(self, seconds: float) -> None:
        """Nothing remote answers it for a while."""
        self.kernel.note(self.name, "is cut off for %.0f s", seconds)
        self.cut_until = max(self.cut_until, self.kernel.now + seconds)

    @property
    def alive(self) -> bool:
        """Whether anything of it may still run."""
        return not self.dead and any(not thread.done for thread in self.threads)


class _Greenlet(greenlet.greenlet):
    thread: Thread


class Thread:
    """One thread of control, or one task of an event loop."""

    __slots__ = (
        "awaiting",
        "cancelled",
        "done",
        "greenlet",
        "group",
        "interrupts",
        "on_end",
        "token",
        "waiters",
        "work",
    )

    def __init__(self, group: Group, work: Callable[[], Any], on_end: Callable[..., None] | None) -> None:
        self.group = group
        self.work = work
        self.on_end = on_end
        self.token = 0
        self.done = False
        self.cancelled = False
        self.awaiting = False
        self.interrupts: deque[Callable[[], None]] = deque()
        self.waiters: list[Thread] = []
        self.greenlet = _Greenlet(self._run, parent=group.kernel.hub)
        self.greenlet.thread = self

    def _run(self) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = self.work()
        except KilledError:
            pass
        except BaseException as raised:  # noqa: BLE001  # whatever it is, the world goes on and judges it
            error = raised
        self.done = True
        kernel = self.group.kernel
        if self.group.dead:
            return
        for waiter in self.waiters:
            kernel.wake(waiter, kernel.now)
        if self.on_end is not None:
            kernel.at(kernel.now, self.on_end, result, error)

    def cancel(self) -> None:
        """Cancel an event loop's task: where it awaits, it gets CancelledError."""
        if not self.done and not self.group.dead:
            self.cancelled = True
            if self.awaiting:
                self.group.kernel.wake(self, self.group.kernel.now)

    def interrupt(self, handler: Callable[[], None]) -> None:
        """Run a signal handler on top of whatever it does; it may raise into it."""
        if not self.done and not self.group.dead:
            self.interrupts.append(handler)
            self.group.kernel.wake(self, self.group.kernel.now)


class Kernel:
    """Time, and whose turn it is."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.seed = seed
        self.now = EPOCH
        self.hub = greenlet.getcurrent()
        self.random = random.Random(seed)
        self.steps = 0
        self.calls: Counter[str] = Counter()
        self.anchors: dict[tuple[str, int], list[Callable[[Group, str], None]]] = {}
        self.timeline: list[tuple[float, str, str]] | None = [] if trace else None
        self._heap: list[tuple[float, int, Any, Any]] = []
        self._order = itertools.count()
        self.loop = _Loop(self)

    # Time

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        """Have something happen; it is nobody's deed and takes no time."""
        heapq.heappush(self._heap, (when, next(self._order), call, args))

    def after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Have something happen in so many seconds."""
        self.at(self.now + seconds, call, *args)

    def wake(self, thread: Thread, when: float) -> None:
        """Give a thread its turn at a moment, and not at any that was planned before."""
        thread.token += 1
        heapq.heappush(self._heap, (when, next(self._order), thread, thread.token))

    def run(self, until: float) -> None:
        """Let the world go on until nothing is left to happen, or the time has come."""
        asyncio._set_running_loop(self.loop)  # type: ignore[arg-type]
        try:
            while self._heap:
                when, _, what, more = heapq.heappop(self._heap)
                if when > until:
                    return
                self.now = max(self.now, when)
                if isinstance(what, Thread):
                    self._turn(what, more)
                else:
                    what(*more)
        finally:
            asyncio._set_running_loop(None)

    def _turn(self, thread: Thread, token: int) -> None:
        if token != thread.token or thread.done or thread.group.dead:
            return
        if thread.group.frozen_until > self.now:
            self.wake(thread, thread.group.frozen_until)
            return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise EndlessError(f"{self.steps} steps, now in {thread.group.name}")
        thread.greenlet.switch()

    # What a thread of control does

    @property
    def thread(self) -> Thread:
        """The thread of control that runs now."""
        current = greenlet.getcurrent()
        assert isinstance(current, _Greenlet), "only processes may do this"
        return current.thread

    def pause(self, thread: Thread, seconds: float, *, awaiting: bool = False) -> None:
        """Let time pass for a thread: others have their turn."""
        target = self.now + seconds
        self.park(thread, target, lambda: self.now >= target, awaiting)

    def park(self, thread: Thread, until: float | None, ready: Callable[[], bool], awaiting: bool) -> None:
        """Wait until something is so; ``until`` is when to look, besides whenever it is woken."""
        while True:
            if thread.group.dead:
                raise KilledError
            if awaiting and thread.cancelled:
                thread.cancelled = False
                raise asyncio.CancelledError
            if until is not None:
                self.wake(thread, until)
            thread.awaiting = awaiting
            self.hub.switch()
            thread.awaiting = False
            if thread.group.dead:
                raise KilledError
            while thread.interrupts:
                thread.interrupts.popleft()()
            if ready():
                return

    def call(self, kind: str, effect: Callable[[], T], *, remote: bool = False, awaiting: bool = False) -> T:
        """
        Do something to the surroundings.

        :param kind: counted, so that a history can name the n-th of its kind
        :param remote: whether it fails where the process is cut off
        """
        thread = self.thread
        group = thread.group
        if group.dead:
            raise KilledError
        self.calls[kind] += 1
        self.calls[ANY] += 1
        counts = (kind, self.calls[kind]), (ANY, self.calls[ANY])
        chance = group.random.random()
        latency = 0.002 + 0.05 * chance if chance < 0.97 else 3.0 * chance
        self.pause(thread, latency, awaiting=awaiting)
        self._happen(counts, "before", thread)
        if remote and group.cut_until > self.now:
            raise ClusterUnreachableError("This host is cut off")
        result = effect()
        self._happen(counts, "after", thread)
        self.pause(thread, 0.002, awaiting=awaiting)
        return result

    def _happen(self, counts: tuple[tuple[str, int], ...], when: str, thread: Thread) -> None:
        planned = [happen for count in counts for happen in self.anchors.get(count, ())]
        if not planned:
            return
        for happen in planned:
            happen(thread.group, when)
        if thread.group.dead:
            raise KilledError
        if thread.group.frozen_until > self.now:
            self.pause(thread, 0.0)

    def note(self, who: str, what: str, *args: Any) -> None:
        """Write a line of the timeline."""
        if self.timeline is not None:
            self.timeline.append((self.now - EPOCH, who, what % args if args else what))

    # Coroutines

    def drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in the current thread of control."""
        thread = self.thread
        error: BaseException | None = None
        while True:
            try:
                waits_for = work.send(None) if error is None else work.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            error = None
            try:
                self._await(thread, waits_for)
            except (asyncio.CancelledError, KilledError) as raised:
                error = raised

    def _await(self, thread: Thread, future: Any) -> None:
        """Wait for what asyncio's own locks and events wait for."""
        if future is None:
            self.pause(thread, 0.0, awaiting=True)
            return
        future._asyncio_future_blocking = False
        future.add_done_callback(lambda _: self.wake(thread, self.now))
        try:
            self.park(thread, None, future.done, True)
        except asyncio.CancelledError:
            future.cancel()
            raise

    def in_thread(self, call: Callable[[], T]) -> T:
        """Do what blocks beside the event loop: it goes on where its asker is cancelled."""
        thread = self.thread
        ended: list[tuple[Any, BaseException | None]] = []

        def work() -> None:
            try:
                ended.append((call(), None))
            except Exception as error:  # noqa: BLE001  # it is raised where it is awaited
                ended.append((None, error))

        child = thread.group.spawn(work)
        child.waiters.append(thread)
        self.park(thread, None, lambda: bool(ended), True)
        result, error = ended[0]
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


class _Future(asyncio.Future[Any]):
    """One of asyncio's, without its warnings about what nobody awaited."""


class _Loop:
    """As much of an event loop as asyncio's locks and events need."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def create_future(self) -> _Future:
        """Give a future of this loop."""
        return _Future(loop=self)  # type: ignore[arg-type]

    def call_soon(self, call: Callable[..., Any], *args: Any, context: Any = None) -> None:
        """Call in the next instant."""
        self._kernel.at(self._kernel.now, lambda: (call(*args), None)[1])

    def get_debug(self) -> bool:
        """No."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody is told."""

    def time(self) -> float:
        """Virtual."""
        return self._kernel.now


class SimClock:
    """A process's clock."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def now(self) -> float:
        """Epoch seconds."""
        return self._kernel.now

    def sleep(self, seconds: float) -> None:
        """Block."""
        thread = self._kernel.thread
        if thread.group.dead:
            raise KilledError
        self._kernel.pause(thread, max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        """Wait."""
        thread = self._kernel.thread
        if thread.group.dead:
            raise KilledError
        self._kernel.pause(thread, max(0.0, seconds), awaiting=True)

    async def in_thread(self, call: Callable[..., T], *args: Any) -> T:
        """Do what blocks beside the event loop."""
        return self._kernel.in_thread(lambda: call(*args))

    in_spare_thread = in_thread

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end what waits."""
        return self._kernel.drive(work)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Spawned:
        """Start what its starter does not wait for."""
        kernel = self._kernel
        thread = kernel.thread.group.spawn(lambda: kernel.drive(work))
        return Spawned(kernel, thread)


class Spawned:
    """What was started beside its starter."""

    def __init__(self, kernel: Kernel, thread: Thread) -> None:
        self._kernel = kernel
        self._thread = thread

    def done(self) -> bool:
        """Whether it has ended."""
        return self._thread.done

    async def wait(self, seconds: float) -> None:
        """Wait for its end, at most so long."""
        if self._thread.done:
            return
        kernel, me = self._kernel, self._kernel.thread
        self._thread.waiters.append(me)
        until = kernel.now + seconds
        kernel.park(me, until, lambda: self._thread.done or kernel.now >= until, True)
        with contextlib.suppress(ValueError):
            self._thread.waiters.remove(me)
