"""The engine as Airflow's edge drives it: the operator's and the trigger's few lines, without Airflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import ConfigurationError, JobLostError, UnavailableError
from airflow_provider_air.runs.admission import Admission
from airflow_provider_air.runs.plan import BuildInfo, Plan, Try
from airflow_provider_air.runs.ports import Ports, WatchPorts
from airflow_provider_air.runs.run import Run
from airflow_provider_air.runs.watch import Watch
from tests.simulation.airflow import FINAL, AirflowAwayError, AlarmError, DeferredSignal, TriggerRun, Worker
from tests.simulation.kernel import SimClock
from tests.simulation.remote import SecondTracker, SimSpec, SimTracker
from tests.simulation.rules import Rules
from tests.simulation.world import World

LINES_AT_ONCE = 15


class RealEngine:
    """``runs/``, whole."""

    rules: ClassVar[type[Rules]] = Rules

    def execute(self, worker: Worker) -> Any:
        """Begin a try."""
        run = self._run(worker)
        return self._within_time(run, lambda: self._go_on(worker, run, self.begin(run)))

    def resume(self, worker: Worker, event: dict[str, Any]) -> Any:
        """Go on after an event."""
        run = self._run(worker)
        return self._within_time(run, lambda: self._go_on(worker, run, run.resume(event)))

    @staticmethod
    def _within_time(run: Any, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except AlarmError:
            run.expire()
            raise

    def trigger_failed(self, worker: Worker) -> Any:
        """Go on after a trigger that gave no event."""
        done = self._run(worker).trigger_failed()
        if isinstance(done, Done):
            return done.result
        raise JobLostError("The trigger ended without an event")

    def kill(self, worker: Worker) -> None:
        """Inside a signal handler."""
        if worker.run is not None:
            worker.run.kill(lambda: self.is_wanted(worker))

    @staticmethod
    def is_wanted(worker: Worker) -> bool:
        """Whether a person did it: not where another process has the task by now, or where Airflow is away."""
        try:
            return worker.state() in ("restarting", *FINAL)
        except AirflowAwayError:
            return False
        except UnavailableError:
            # It answers, and does not say.
            return True

    async def watch(self, run: TriggerRun) -> dict[str, Any]:
        """What the trigger does."""
        run.watch = self.open_watch(run)
        event = await run.watch.event()
        assert event is not None
        return event  # type: ignore[no-any-return]

    async def watch_kill(self, run: TriggerRun) -> None:
        """A person has stopped the deferred task, or the trigger is only run elsewhere: doubt means stop."""
        is_taken = False
        try:
            # Asked once: by a second answer it may be deferred again, to another trigger.
            state = run.state()
            if state == "deferred":
                return
            is_taken = state in ("scheduled", "running")
        except (AirflowAwayError, UnavailableError) as error:
            run.warning("Airflow does not say whether the task still waits: %s", error)
        await (run.watch or self.open_watch(run)).kill(is_taken=is_taken)

    @staticmethod
    def open_watch(run: TriggerRun) -> Watch:
        """Make what the trigger does."""
        return Watch(Wait.from_json(run.step), _watch_ports(run), lines_at_once=LINES_AT_ONCE)

    async def watch_cleanup(self, run: TriggerRun) -> None:
        """The triggerer shuts down."""
        if run.watch is not None:
            await run.watch.cleanup()

    def _run(self, worker: Worker) -> Any:
        world = worker.world
        clock = SimClock(world.kernel)
        ports = Ports(
            store=worker,
            board=worker,
            connections=world.connections,
            clusters=world.backend,
            log=worker,
            clock=clock,
            admission=Admission(world.given),
        )
        this = Try(world.key, worker.try_number, worker.max_tries, worker.retries, worker.clear_number)
        run = worker.run = self.open_run(world, this, ports)
        if worker.terminated:
            # As operators do: Airflow goes on after a signal handler that had nothing to stop yet.
            run.kill(lambda: self.is_wanted(worker))
        return run

    def open_run(self, world: World, this: Try, ports: Ports) -> Any:
        """Give the run of one try."""
        return Run(plan_of(world), this, ports)

    def begin(self, run: Any) -> Wait | Done:
        """Ask for what the task is about."""
        step: Wait | Done = run.begin()
        return step

    def done(self, run: Any, step: Done) -> Any:
        """Give the task's result."""
        return step.result

    def _go_on(self, worker: Worker, run: Any, step: Any) -> Any:
        shape, kernel = worker.world.scenario.shape, worker.world.kernel
        while isinstance(step, Wait):
            until = kernel.now + shape.grace_seconds if shape.deferrable else None
            event = run.wait(step, until)
            if event is None:
                raise DeferredSignal(step.to_json())
            step = run.resume(event)
        return self.done(run, step)


def _watch_ports(run: TriggerRun) -> WatchPorts:
    world = run.world
    return WatchPorts(
        board=run,
        connections=world.connections,
        clusters=world.backend,
        log=run,
        clock=SimClock(world.kernel),
        admission=Admission(world.given),
    )


def plan_of(world: World) -> Plan:
    """Give what the author wants, as the DAG says it now."""
    shape = world.scenario.shape

    def target() -> SimSpec:
        if world.dag.broken:
            raise ConfigurationError("The DAG no longer says where")
        return world.dag.target()

    def build(info: BuildInfo) -> JobRequest:
        if world.dag.broken:
            raise ConfigurationError("The code folder is gone")
        return JobRequest(
            world.dag.entrypoint,
            payload={"config.json": b"{}"} if shape.expects_result else None,
            expects_result=shape.expects_result,
        )

    return Plan(
        "submit",
        target,
        build,
        attachments=lambda: (SimTracker(), SecondTracker())[: shape.trackers],
        timeout_seconds=shape.timeout_seconds,
        cluster_timeout_seconds=shape.cluster_timeout_seconds,
        max_concurrent_jobs=shape.max_concurrent_jobs,
        unreachable_timeout_seconds=shape.unreachable_timeout_seconds,
        log_limit_bytes=shape.log_limit_bytes,
        on_clear=shape.on_clear,  # type: ignore[arg-type]
        wait=shape.wait,
        submission_id=shape.submission_id,
        keep_cluster=shape.keep_cluster,  # type: ignore[arg-type]
    )
