"""
Airflow 3.3.2 around one task instance: its states, its workers, triggerers, and people.

As measured there: the state store outlives tries and clears, XComs go with each new try; a retry keeps ``max_tries``,
a clear rewrites it, a clear of another task does not; a worker's process gets SIGTERM (``kill`` on top of whatever it
does) and five seconds later SIGKILL, also where its heartbeats fail since the api-server is away; a silent worker is
given up after 300 s; an event dies with its triggerer, and the
trigger begins anew from its arguments; after a gap in its heartbeat two triggerers run one trigger for a while.

Not here: a run that is deleted and made again under the same id, whose first try looks for no strays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import AirError, ConfigurationError, DeadlineExceededError, TaskReplacedError
from tests.simulation.kernel import Group, Thread

if TYPE_CHECKING:
    from tests.simulation.rules import Rules
    from tests.simulation.world import World

HEARTBEAT_SECONDS = 300.0
# Three heartbeats in a row, one in five seconds.
FAILED_HEARTBEATS_SECONDS = 15.0
# For so long the supervisor of an ended worker tries to report it.
REPORT_SECONDS = 30.0
BACKSTOP_SECONDS = 120.0
GAP_SECONDS = 35.0
FINAL = ("success", "failed")


class AirflowAwayError(Exception):
    """Airflow's api-server does not answer."""


class AlarmError(BaseException):
    """AirflowTaskTimeout: the worker's own ``execution_timeout`` has passed."""


class DeferredSignal(BaseException):
    """A worker leaves its task to a trigger."""

    def __init__(self, step: dict[str, Any]) -> None:
        super().__init__(step)
        self.step = step


class Engine(Protocol):
    """
    What is tested, with Airflow's edge on it.

    :param rules: what must hold of it
    """

    rules: ClassVar[type[Rules]]

    def execute(self, worker: Worker) -> Any:
        """Begin a try; gives the result, or raises :class:`DeferredSignal`."""

    def resume(self, worker: Worker, event: dict[str, Any]) -> Any:
        """Go on after an event."""

    def trigger_failed(self, worker: Worker) -> Any:
        """Go on after a trigger that gave none."""

    def kill(self, worker: Worker) -> None:
        """Inside a signal handler."""

    def watch(self, run: TriggerRun) -> Coroutine[Any, Any, dict[str, Any]]:
        """What a trigger does until its event."""

    def watch_kill(self, run: TriggerRun) -> Coroutine[Any, Any, None]:
        """A person has stopped the deferred task."""

    def watch_cleanup(self, run: TriggerRun) -> Coroutine[Any, Any, None]:
        """The triggerer shuts down."""


@dataclass(eq=False)
class Worker:
    """One process that executes the task instance, or goes on with it."""

    world: World
    group: Group
    token: int
    try_number: int
    max_tries: int
    retries: int
    clear_number: int
    mode: str
    run: Any = None
    thread: Thread | None = None
    terminated: bool = False
    in_handler: bool = False
    executing: bool = False
    told_state: str | None = None
    """What its signal handler was told of its task instance."""
    in_doubt: bool = False
    """Airflow answered its signal handler, and did not say."""
    handled_at: float | None = None
    """When its signal handler began, where that came to its end."""

    @property
    def key(self) -> TaskKey:
        """The task instance."""
        return self.world.key

    def get(self, key: str) -> Any:
        """Port: the state store."""
        return self._asked("store.get", lambda: self.world.airflow.stored(key))

    def set(self, key: str, value: Any) -> None:
        """Port: the state store."""
        text = json.dumps(value, allow_nan=False)
        assert len(text) <= 64 * 1024, "too large for the state store"
        assert json.loads(text) == value, "no plain JSON, such as a tuple"
        self._asked("store.set", lambda: self.world.airflow.store(key, text))

    def delete(self, key: str) -> None:
        """Port: the state store."""
        self._asked("store.delete", lambda: self.world.airflow.states.pop(key, None))

    def state(self) -> str:
        """The state of the task instance, which any process may ask for, in a signal handler too."""
        try:
            self.told_state = self.world.airflow.asked_for_state()
        except AirError:
            self.in_doubt = True
            raise
        return self.told_state

    @property
    def is_stopped(self) -> bool:
        """Whether its signal handler may stop what runs: a person did it, nobody can say, or no try is left."""
        by_person = self.told_state in ("restarting", *FINAL)
        return by_person or self.in_doubt or self.max_tries == 0 or self.try_number > self.max_tries

    def read(self, key: str) -> Any:
        """Port: XComs."""
        return self._asked("board.read", lambda: self.world.airflow.posted(key))

    def write(self, key: str, value: Any) -> None:
        """Port: XComs."""
        text = json.dumps(value, allow_nan=False)
        self._asked("board.write", lambda: self.world.airflow.post(key, text))

    def _asked(self, kind: str, effect: Callable[[], Any]) -> Any:
        if self.in_handler:
            self.world.rules.broken(f"10 a signal handler asks Airflow ({kind})")

        def answered() -> Any:
            if self.world.airflow.token != self.token:
                raise TaskReplacedError(kind)
            if self.world.airflow.away_until > self.world.kernel.now:
                raise AirflowAwayError(kind)
            return effect()

        return self.world.kernel.call(kind, answered)

    def info(self, message: str, *args: Any) -> None:
        """Port: the task's log."""
        self.world.airflow.log(self.try_number, self.group, message % args if args else message)

    warning = info


@dataclass(eq=False)
class Trigger:
    """A row of Airflow's trigger table."""

    number: int
    step: str
    token: int
    epoch: int
    try_number: int
    gone: bool = False
    by_person: bool = False


@dataclass(eq=False)
class TriggerRun:
    """A trigger as one triggerer runs it."""

    world: World
    trigger: Trigger
    group: Group
    thread: Thread | None = None
    watch: Any = None
    ended: bool = False

    @property
    def step(self) -> dict[str, Any]:
        """Its arguments, as they come out of the database."""
        step: dict[str, Any] = json.loads(self.trigger.step)
        return step

    def state(self) -> str:
        """The state of the task instance."""
        return self.world.airflow.asked_for_state()

    def read(self, key: str) -> Any:
        """Port: XComs of the task instance, whoever runs it now."""
        return self._asked("board.read", lambda: self.world.airflow.posted(key))

    def write(self, key: str, value: Any) -> None:
        """Port: XComs of the task instance, whoever runs it now."""
        text = json.dumps(value, allow_nan=False)
        self._asked("board.write", lambda: self.world.airflow.post(key, text))

    def _asked(self, kind: str, effect: Callable[[], Any]) -> Any:
        def answered() -> Any:
            if self.world.airflow.away_until > self.world.kernel.now:
                raise AirflowAwayError(kind)
            return effect()

        return self.world.kernel.call(kind, answered)

    def info(self, message: str, *args: Any) -> None:
        """Port: the task's log."""
        self.world.airflow.log(self.trigger.try_number, self.group, message % args if args else message)

    warning = info


@dataclass
class Entry:
    """A line of the task's log."""

    try_number: int
    by: str
    at: float
    text: str


@dataclass
class Airflow:
    """One task instance, and all that Airflow does for it."""

    world: World
    state: str = "none"
    try_number: int = 0
    max_tries: int = 0
    token: int = 0
    epoch: int = 0
    """How often a person's clear began it anew, where Airflow tells a task so (``max_tries`` is written)."""
    sibling_clears: int = 0
    """The run's clear number."""
    result: Any = None
    error: BaseException | None = None
    cause: str = ""
    """What brought its last state about."""
    finished_at: float = 0.0
    finishes: int = 0
    away_until: float = 0.0
    xcoms: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    worker: Worker | None = None
    workers: list[Worker] = field(default_factory=list)
    trigger: Trigger | None = None
    triggerer: Group | None = None
    runs: list[TriggerRun] = field(default_factory=list)
    triggers: int = 0
    triggerers: int = 0
    kills: list[Any] = field(default_factory=list)
    try_began_at: float = 0.0

    # What ports do

    def stored(self, key: str) -> Any:
        """Read the state store."""
        text = self.states.get(key)
        return None if text is None else json.loads(text)

    def store(self, key: str, text: str) -> None:
        """Write the state store."""
        self.states[key] = text

    def posted(self, key: str) -> Any:
        """Read an XCom."""
        text = self.xcoms.get(key)
        return None if text is None else json.loads(text)

    def post(self, key: str, text: str) -> None:
        """Write an XCom."""
        self.xcoms[key] = text

    def asked_for_state(self) -> str:
        """:raises AirflowAwayError: nobody answers."""

        def answered() -> str:
            if self.away_until > self.world.kernel.now:
                raise AirflowAwayError("states")
            return self.state

        return self.world.kernel.call("states", answered)

    def log(self, try_number: int, group: Group, text: str) -> None:
        """Write a line, unless the process is dead."""
        if group.dead:
            return
        kernel = self.world.kernel
        self.entries.append(Entry(try_number, group.name, kernel.now, text))
        kernel.note(group.name, "log: %s", text.replace("\n", " | ")[:300])

    def is_stale(self, group: Group) -> bool:
        """Whether Airflow has given the task instance of a worker to somebody else."""
        return any(worker.group is group and worker.token != self.token for worker in self.workers)

    def is_excused(self, group: Group) -> bool:
        """Whether a process may stop what runs: a signal handler by the rules for it, a stale one in any way."""
        for worker in self.workers:
            if worker.group is group and worker.in_handler:
                return worker.is_stopped
        is_last = self.max_tries == 0 or self.try_number > self.max_tries
        return is_last or self.is_stale(group) or self._is_terminated(group)

    @property
    def may_mean_a_clear(self) -> bool:
        """Whether Airflow may tell a task of a clear of another one as if it were its own, or of its own too late."""
        # An edit leaves one or the other; a clear of this task would have left what max_tries was, by that number.
        fewest = min(self.world.dag.retries, 2 - self.world.dag.retries)
        is_hidden = self.world.dag.has_other_retries and self.max_tries - fewest <= self.try_number
        return is_hidden and self.sibling_clears > self.epoch

    def _is_terminated(self, group: Group) -> bool:
        """Whether a worker, or a trigger of it, was told to stop its task."""
        return any(worker.group is group and worker.terminated for worker in self.workers) or any(
            isinstance(killed, TriggerRun) and killed.group is group for killed in self.kills
        )

    # The scheduler

    def begin(self) -> None:
        """Have the run begin."""
        self.max_tries = self.world.scenario.retries
        self.triggerer = self._new_triggerer()
        self._queue()

    def _queue(self) -> None:
        self.state = "scheduled"
        self.token += 1
        self.world.kernel.after(
            1.0 + 2.0 * self.world.kernel.random.random(), self._launch, self.token, "execute", None
        )

    def _launch(self, token: int, mode: str, event: Any) -> None:
        if token != self.token or self.state != "scheduled":
            return
        self.state = "running"
        kernel = self.world.kernel
        if mode == "execute":
            self.try_number += 1
            self.try_began_at = kernel.now
            self.xcoms.clear()
        group = Group(kernel, f"worker-{len(self.workers) + 1}")
        group.epoch = self.epoch
        kernel.note(group.name, "%s, try %d of at most %d", mode, self.try_number, self.max_tries + 1)
        retries, clears = self.world.dag.retries, self.sibling_clears
        numbers = (self.try_number, self.max_tries, retries, clears)
        worker = self.worker = Worker(self.world, group, token, *numbers, mode)
        self.workers.append(worker)
        worker.thread = group.spawn(lambda: self._work(worker, event), lambda _, error: self._gone(worker, error))
        timeout = self.world.scenario.shape.timeout_seconds
        if timeout is not None:
            kernel.after(timeout, worker.thread.interrupt, lambda: self._alarm(worker))

    def _work(self, worker: Worker, event: Any) -> None:
        engine, kernel = self.world.engine, self.world.kernel
        try:
            try:
                worker.executing = True
                if worker.mode == "execute":
                    result = engine.execute(worker)
                elif worker.mode == "resume":
                    result = engine.resume(worker, event)
                else:
                    result = engine.trigger_failed(worker)
            finally:
                worker.executing = False
        except DeferredSignal as signal:
            text = json.dumps(signal.step, allow_nan=False)
            kernel.call("defer", lambda: self._defer(worker, text))
        except Exception as error:  # noqa: BLE001  # whatever fails a try
            failure = error
            if not isinstance(error, (AirError, AirflowAwayError)):
                self.world.rules.bug(error)
            kernel.call("report", lambda: self._fail(worker.token, failure, "error"))
        except AlarmError as alarm:
            late = DeadlineExceededError(str(alarm))
            kernel.call("report", lambda: self._fail(worker.token, late, "error"))
        else:
            text = json.dumps(result, allow_nan=False)
            kernel.call("report", lambda: self._succeed(worker, text))

    @staticmethod
    def _alarm(worker: Worker) -> None:
        if worker.executing:
            worker.executing = False
            raise AlarmError("the worker's time is over")

    def _gone(self, worker: Worker, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self.world.rules.bug(error)

    def _succeed(self, worker: Worker, text: str) -> None:
        if worker.token != self.token or self.state != "running":
            return
        self.result = json.loads(text)
        self.world.rules.on_success(self.result, worker)
        self._finish("success", "result")

    def _fail(self, token: int, error: BaseException | None, cause: str) -> None:
        if token != self.token or self.state not in ("running", "scheduled", "deferred"):
            return
        self.error = error
        self.world.rules.on_failure(error, cause)
        self.world.kernel.note("airflow", "try %d fails: %s", self.try_number, cause if error is None else repr(error))
        hopeless = isinstance(error, ConfigurationError)
        if hopeless or self.max_tries == 0 or self.try_number > self.max_tries:
            self._finish("failed", cause)
            return
        self.state = "up_for_retry"
        self.token += 1
        self.world.kernel.after(self.world.scenario.retry_delay_seconds, self._retry, self.token)

    def _retry(self, token: int) -> None:
        if token == self.token and self.state == "up_for_retry":
            self._queue()

    def _finish(self, state: str, cause: str) -> None:
        kernel = self.world.kernel
        self.state, self.cause, self.finished_at = state, cause, kernel.now
        self.finishes += 1
        kernel.note("airflow", "the task is %s (%s)", state, cause)
        self.world.rules.on_finish()

    # Workers that are lost

    def lose(self, worker: Worker, *, host: bool) -> None:
        """SIGKILL the process of a task; with its host nobody tells Airflow."""
        if worker.group.dead or not worker.group.alive:
            return
        self.world.reason("a worker was killed", of="worker")
        self.world.roughen(1)
        self._hinder()
        worker.group.kill()
        self.world.kernel.after(HEARTBEAT_SECONDS if host else 3.0, self._miss, worker)

    def silence(self, worker: Worker, seconds: float) -> None:
        """Freeze the host of a task."""
        if not worker.group.alive:
            return
        self._hinder()
        self.world.roughen(1)
        worker.group.freeze(seconds)
        if seconds > HEARTBEAT_SECONDS:
            self.world.kernel.after(HEARTBEAT_SECONDS, self._miss, worker)

    def go_away(self, seconds: float) -> None:
        """The api-server does not answer; a worker whose heartbeats fail meanwhile is ended by its supervisor."""
        kernel = self.world.kernel
        self.away_until = max(self.away_until, kernel.now + seconds)
        kernel.after(FAILED_HEARTBEATS_SECONDS, self._miss_heartbeats)

    def _miss_heartbeats(self) -> None:
        worker, kernel = self.worker, self.world.kernel
        able = worker is not None and worker.group.alive and worker.group.frozen_until <= kernel.now
        if worker is None or not able or self.away_until <= kernel.now:
            return
        self.world.reason("heartbeats failed", of="worker")
        self.world.roughen(1)
        self._terminate_later(worker)
        told = self.away_until <= kernel.now + 10.0 + REPORT_SECONDS
        kernel.at(
            max(self.away_until, kernel.now + 10.5) if told else kernel.now + HEARTBEAT_SECONDS, self._miss, worker
        )

    def _hinder(self) -> None:
        """Whoever was to clean up after a person's mark may be hindered by this."""
        if self.state in FINAL:
            self.world.kill_was_hindered = True

    def _miss(self, worker: Worker) -> None:
        if worker.token != self.token:
            return
        if self.state == "restarting":
            self._retry_restarted(self.token, False)
        elif self.state == "running":
            self.world.reason("a worker was lost", of="worker")
            self._fail(worker.token, None, "failed heartbeats" if worker.handled_at else "a lost worker")
            if self.state in FINAL:
                self.token += 1
            self._terminate_later(worker)

    def _terminate_later(self, worker: Worker) -> None:
        """Its supervisor learns at its next heartbeat that it should not run any more."""
        kernel = self.world.kernel
        awake = max(worker.group.frozen_until, kernel.now)
        kernel.at(awake + 5.0 * kernel.random.random(), self._terminate, worker)

    def _terminate(self, worker: Worker) -> None:
        kernel = self.world.kernel
        if not worker.group.alive or worker.terminated or worker.thread is None:
            # It has ended by itself: what it has started and could not hand over is nobody's.
            self._hinder()
            return
        if worker.group.frozen_until > kernel.now:
            self._terminate_later(worker)
            return
        worker.terminated = True
        kernel.note("airflow", "terminates %s", worker.group.name)
        worker.thread.interrupt(lambda: self._handle_signal(worker))
        kernel.after(5.0, worker.group.kill)

    def _handle_signal(self, worker: Worker) -> None:
        worker.in_handler = True
        self.kills.append(worker)
        began = self.world.kernel.now
        try:
            self.world.engine.kill(worker)
            worker.handled_at = began
        except AirError as error:
            self.world.kernel.note(worker.group.name, "could not be killed well: %r", error)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the engine's fault
            self.world.rules.bug(error)
        finally:
            worker.in_handler = False

    # Deferral

    def _defer(self, worker: Worker, step: str) -> None:
        if worker.token != self.token or self.state != "running":
            return
        self.state = "deferred"
        self.triggers += 1
        trigger = self.trigger = Trigger(self.triggers, step, self.token, self.epoch, self.try_number)
        kernel = self.world.kernel
        kernel.note("airflow", "defers: %s", json.loads(step).get("what"))
        until = json.loads(step).get("until")
        if until is not None:
            kernel.at(until + BACKSTOP_SECONDS, self._time_out, trigger)
        kernel.after(0.3 + kernel.random.random(), self._pick_up, trigger)

    def _pick_up(self, trigger: Trigger) -> None:
        group = self.triggerer
        if trigger.gone or group is None or group.dead:
            return
        if any(run.trigger is trigger and run.group is group for run in self.runs):
            return
        run = TriggerRun(self.world, trigger, group)
        self.runs.append(run)
        engine, kernel = self.world.engine, self.world.kernel
        run.thread = group.spawn(lambda: kernel.drive(engine.watch(run)), lambda e, x: self._trigger_ends(run, e, x))

    def _trigger_ends(self, run: TriggerRun, event: Any, error: BaseException | None) -> None:
        run.ended = True
        if isinstance(error, asyncio.CancelledError):
            return
        if error is not None:
            self.world.rules.bug(error)
        text = None if error is not None else json.dumps(event, allow_nan=False)
        kernel = self.world.kernel
        kernel.after(0.1 + kernel.random.random(), self._fire, run, text)

    def _fire(self, run: TriggerRun, text: str | None) -> None:
        trigger = run.trigger
        if run.group.dead or trigger.gone:
            return
        trigger.gone = True
        self.world.kernel.note(run.group.name, "fires %s", text)
        self._back_to_work(trigger, "resume" if text is not None else "fail", text)

    def _back_to_work(self, trigger: Trigger, mode: str, text: str | None) -> None:
        if trigger is not self.trigger or trigger.token != self.token or self.state != "deferred":
            return
        self.trigger = None
        self.state = "scheduled"
        kernel = self.world.kernel
        event = None if text is None else json.loads(text)
        kernel.after(1.0 + 2.0 * kernel.random.random(), self._launch, self.token, mode, event)

    def _time_out(self, trigger: Trigger) -> None:
        if not trigger.gone and trigger is self.trigger:
            trigger.gone = True
            self.world.kernel.note("airflow", "the deferral times out")
            for run in self.runs:
                if run.trigger is trigger and run.thread is not None:
                    run.thread.cancel()
            self._back_to_work(trigger, "fail", None)

    def break_trigger(self) -> None:
        """Have the trigger die of something that is not its fault, such as an image without the provider."""
        for run in self.runs:
            if run.trigger is self.trigger and not run.ended and run.group.alive and run.thread is not None:
                self.world.reason("a trigger died", of="worker")
                self.world.roughen(1)
                run.thread.cancel()
                run.trigger.gone = True
                self.world.kernel.note(run.group.name, "the trigger dies")
                self._back_to_work(run.trigger, "fail", None)
                return

    # Triggerers

    def _new_triggerer(self) -> Group:
        self.triggerers += 1
        return Group(self.world.kernel, f"triggerer-{self.triggerers}")

    def _take_over(self) -> None:
        if self.triggerer is None or self.triggerer.dead:
            self.triggerer = self._new_triggerer()
        if self.trigger is not None and not self.trigger.gone:
            self._pick_up(self.trigger)

    def kill_triggerer(self, group: Group | None = None) -> None:
        """SIGKILL; another one takes over once its heartbeat is missed."""
        group = group or self.triggerer
        if group is None or group.dead:
            return
        self._hinder()
        self.world.roughen(1)
        group.kill()
        if group is self.triggerer:
            self.world.kernel.after(10.0 + 25.0 * self.world.kernel.random.random(), self._take_over)

    def freeze_triggerer(self, group: Group, seconds: float) -> None:
        """Its heartbeat stops with it; it learns that its triggers are elsewhere when it wakes."""
        self._hinder()
        group.freeze(seconds)
        if group is self.triggerer and seconds > GAP_SECONDS:
            kernel = self.world.kernel
            self.world.roughen(1000)
            self.triggerer = None
            kernel.after(GAP_SECONDS, self._take_over)
            kernel.after(seconds + 1.0, self._let_go, group)

    def restart_triggerer(self) -> None:
        """SIGTERM: triggers are cancelled and cleaned up; another triggerer takes them over."""
        group = self.triggerer
        if group is None or group.dead:
            return
        kernel = self.world.kernel
        self._hinder()
        kernel.note(group.name, "shuts down")
        self.triggerer = None
        cleanups = []
        for run in self.runs:
            if run.group is group and not run.ended and run.thread is not None:
                run.thread.cancel()
                cleanups.append(group.spawn(self._cleanup(run), lambda _, error: self._gone_quietly(error)))
        kernel.after(4.0, self._end_stop, group, cleanups)
        kernel.after(5.0 + 5.0 * kernel.random.random(), self._take_over)

    def _end_stop(self, group: Group, cleanups: list[Thread]) -> None:
        """SIGKILL, where the stop took too long: what was to be noted last is not."""
        if not all(thread.done for thread in cleanups):
            self.world.roughen(1)
        group.kill()

    def _cleanup(self, run: TriggerRun) -> Callable[[], None]:
        kernel, engine = self.world.kernel, self.world.engine

        def work() -> None:
            assert run.thread is not None
            thread = kernel.thread
            if not run.thread.done:
                run.thread.waiters.append(thread)
                kernel.park(thread, None, lambda: run.thread is not None and run.thread.done, True)
            kernel.drive(engine.watch_cleanup(run))

        return work

    def _gone_quietly(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, (asyncio.CancelledError, AirError, AirflowAwayError)):
            self.world.rules.bug(error)

    def double_triggerer(self, seconds: float) -> None:
        """A gap in its heartbeat: another triggerer takes over while it goes on for a while, and then lets go."""
        group = self.triggerer
        if group is None or group.dead:
            return
        kernel = self.world.kernel
        self._hinder()
        self.world.roughen(1000)
        kernel.note(group.name, "misses its heartbeat for %.0f s", seconds)
        self.triggerer = None
        self._take_over()
        kernel.after(seconds, self._let_go, group)

    def _let_go(self, group: Group) -> None:
        for run in self.runs:
            if run.group is group and not run.ended:
                self._stop_run(run)

    def _stop_run(self, run: TriggerRun) -> None:
        """Cancel a trigger as Airflow 3.3.2 does where it is not to run here: ``on_kill``, then ``cleanup``."""
        if run.group.dead or run.ended or run.thread is None:
            self._hinder()
            return
        run.thread.cancel()
        kernel, engine = self.world.kernel, self.world.engine

        def work() -> None:
            self.kills.append(run)
            kernel.drive(engine.watch_kill(run))
            kernel.drive(engine.watch_cleanup(run))

        run.group.spawn(work, lambda _, error: self._gone_quietly(error))

    def _drop_trigger(self) -> None:
        """A person has ended the deferral: whoever runs the trigger learns of it."""
        trigger = self.trigger
        if trigger is None:
            return
        self.trigger = None
        trigger.gone, trigger.by_person = True, True
        kernel = self.world.kernel
        runs = [run for run in self.runs if run.trigger is trigger and not run.ended and run.group.alive]
        for run in runs:
            kernel.after(0.5 + 1.5 * kernel.random.random(), self._stop_run, run)
        if not runs or any(run.group.frozen_until > kernel.now for run in runs):
            self.world.kill_was_hindered = True

    # People

    def clear(self) -> None:
        """Clear the task instance, in whatever state it is."""
        if self.state == "none":
            return
        self.sibling_clears += 1
        self.world.kernel.note("somebody", "clears the task (%s)", self.state)
        if self.state == "restarting":
            return
        if self.state == "running":
            assert self.worker is not None
            worker = self.worker
            self.world.roughen(1)
            self.state = "restarting"
            self.token += 1
            self._terminate_later(worker)
            token = self.token
            kernel = self.world.kernel
            # Its supervisor reports once it has ended; a dead or frozen one is given up after its heartbeat.
            able = worker.group.alive and worker.group.frozen_until <= kernel.now
            seconds = 10.5 if able else HEARTBEAT_SECONDS
            kernel.after(seconds, self._retry_restarted, token, able)
            return
        self._drop_trigger()
        self._clear_now()

    def _clear_now(self) -> None:
        self._rewrite()
        self.cause = ""
        self._queue()

    def _rewrite(self) -> None:
        self.epoch += 1
        self.max_tries = self.try_number + self.world.dag.retries

    def _retry_restarted(self, token: int, rewrites: bool) -> None:
        if token != self.token or self.state != "restarting":
            return
        if rewrites:
            self._rewrite()
        self._queue()

    def mark(self, state: str) -> None:
        """Mark it success or failed by hand."""
        if self.state in ("none", "restarting"):
            return
        kernel = self.world.kernel
        kernel.note("somebody", "marks the task %s (%s)", state, self.state)
        was = self.state
        self.world.kill_was_hindered = False
        self._drop_trigger()
        self.result = None
        self._finish(state, f"marked {was}")
        if was == "running" and self.worker is not None:
            if self.worker.group.frozen_until > kernel.now:
                self._hinder()
            self._terminate_later(self.worker)
        else:
            self.token += 1

    def clear_sibling(self) -> None:
        """Clear another task of the run: nothing of this one changes, but the run's clear number."""
        self.sibling_clears += 1
        self.world.kernel.note("somebody", "clears another task of the run")
