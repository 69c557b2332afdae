"""
What happens in a run: a task's shape, what its jobs will do, and the events that people and faults bring.

:func:`scenario_of` makes one of a seed; :func:`shortest` takes away from a failing one whatever it fails without.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterState
from airflow_provider_air.errors import UnavailableError
from tests.simulation.airflow import AirflowAwayError
from tests.simulation.kernel import Group
from tests.simulation.remote import FOR_EVER, Cluster, ExistingSim, JobScript, OwnedSim, PerAttemptSim
from tests.simulation.rules import CUT_OFF

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True)
class Start:
    """How a cluster's start goes."""

    seconds: float = 20.0
    fails: bool = False


@dataclass(frozen=True)
class Shape:
    """What the author of the task has written."""

    backend: str = ExistingSim.backend
    cluster: str | None = "first"
    deferrable: bool = True
    grace_seconds: float = 0.0
    expects_result: bool = True
    trackers: int = 0
    timeout_seconds: float | None = None
    cluster_timeout_seconds: float = 300.0
    max_concurrent_jobs: int | None = None
    unreachable_timeout_seconds: float = 120.0
    on_clear: str = "auto"
    log_limit_bytes: int = 64 * 1024 * 1024
    wait: bool = True
    submission_id: str | None = None
    keep_cluster: str = "never"


@dataclass(frozen=True)
class Event:
    """
    One thing that happens.

    :param what: a name in :data:`ACTIONS`
    :param call: at the n-th call of a kind, such as ``("submit", 1)``; None: at a time
    :param when: ``before`` the call's effect, or ``after`` it and before its reply
    :param delay: seconds after that call, or after the run's begin
    """

    what: str
    call: tuple[str, int] | None = None
    when: str = "after"
    delay: float = 0.0
    seconds: float = 0.0
    kind: str = ""

    def __str__(self) -> str:
        place = f"{self.when} {self.call[0]} #{self.call[1]}" if self.call else "from the begin"
        more = " ".join(x for x in (f"for {self.seconds:.0f} s" if self.seconds else "", self.kind) if x)
        return (
            f"{self.what:<18} {f'{self.delay:.1f} s ' if self.delay or not self.call else ''}{place}  {more}".rstrip()
        )


@dataclass(frozen=True)
class Scenario:
    """One history."""

    seed: int
    shape: Shape = Shape()
    retries: int = 1
    retry_delay_seconds: float = 5.0
    delete_seconds: float = 10.0
    jobs: tuple[JobScript, ...] = (JobScript(),)
    starts: tuple[Start, ...] = (Start(),)
    events: tuple[Event, ...] = field(default=())

    def next_job(self, world: World) -> JobScript:
        """What the next job that a cluster takes will do."""
        world.job_count += 1
        return self.jobs[min(world.job_count, len(self.jobs)) - 1]

    def next_start(self, world: World) -> Start:
        """How the next cluster's start will go."""
        world.start_count += 1
        return self.starts[min(world.start_count, len(self.starts)) - 1]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: retries={self.retries} retry_delay={self.retry_delay_seconds:.0f}"]
        lines += _differences("task", self.shape, Shape())
        for number, job in enumerate(self.jobs, 1):
            lines += _differences(f"job {number}", job, JobScript())
        for number, start in enumerate(self.starts, 1):
            lines += _differences(f"cluster's start {number}", start, Start())
        lines += [f"  {event}" for event in self.events]
        return "\n".join(lines)


def _differences(name: str, one: Any, usual: Any) -> list[str]:
    different = [
        f"{item.name}={getattr(one, item.name)!r}"
        for item in fields(one)
        if getattr(one, item.name) != getattr(usual, item.name)
    ]
    return [f"  {name}: {' '.join(different)}"] if different else []


PATIENCE_SECONDS = 30.0

# What events do. Each gets the world, the event, and the process whose call it is bound to.

Action = Callable[["World", Event, "Group | None"], None]


def _worker_of(world: World, group: Group | None) -> Any:
    if group is None:
        return world.airflow.worker
    return next((worker for worker in world.airflow.workers if worker.group is group), None)


def _kill(world: World, event: Event, group: Group | None) -> None:
    worker = _worker_of(world, group)
    if worker is not None:
        world.airflow.lose(worker, host=event.kind == "host")
    else:
        world.airflow.kill_triggerer(group)


def _freeze(world: World, event: Event, group: Group | None) -> None:
    worker = _worker_of(world, group)
    if worker is not None:
        world.airflow.silence(worker, event.seconds)
    elif group is not None:
        world.airflow.freeze_triggerer(group, event.seconds)


def _cut(world: World, event: Event, group: Group | None) -> None:
    group = group or (world.airflow.worker.group if world.airflow.worker else None)
    if group is not None:
        for of in ("remote", "control"):
            world.reason(CUT_OFF, seconds=event.seconds, of=of)
        group.cut(event.seconds)


def _target(world: World) -> list[Cluster]:
    """The clusters that matter to the task: those where it has jobs, else the one that it wants."""
    used = [job.cluster for job in world.jobs[-1:]]
    return used or [c for c in world.clusters.values() if c.backend != ExistingSim.backend or c.name == "first"]


def _silence(world: World, event: Event, why: str, of: str = "remote") -> None:
    """Whoever does not answer for a moment is asked again: that is no reason to fail."""
    world.reason(why, seconds=event.seconds, of=of if event.seconds > PATIENCE_SECONDS else "harmless")


def _outage(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        _silence(world, event, f"{cluster.name} did not answer")
        world.kernel.note(cluster.name, "does not answer for %.0f s", event.seconds)
        cluster.down_until = max(cluster.down_until, world.kernel.now + event.seconds)


def _gateway(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        _silence(world, event, f"somebody else answered for {cluster.name}")
        world.kernel.note(cluster.name, "has a gateway answer 404 for %.0f s", event.seconds)
        cluster.strange_until = max(cluster.strange_until, world.kernel.now + event.seconds)


def _refuse(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        world.reason(f"{cluster.name} refused the token", seconds=event.seconds, of="remote")
        world.kernel.note(cluster.name, "refuses the token for %.0f s", event.seconds)
        cluster.refused_until = max(cluster.refused_until, world.kernel.now + event.seconds)


def _restart_head(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        world.reason(f"{cluster.name} restarted", seconds=event.seconds, of="remote")
        cluster.restart(event.seconds, keeps_records=event.kind == "keeps records")


def _lose_node(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        # Where its records do not say so, whoever adopts such a job learns of it later.
        world.reason(f"{cluster.name} lost a node", seconds=FOR_EVER if event.kind else 60.0)
        cluster.lose_node(quietly=event.kind == "quietly")


def _fail_cluster(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        if cluster.backend != ExistingSim.backend:
            world.reason(f"{cluster.name} failed")
            cluster.fail("its machines are gone")


def _delete_cluster(world: World, event: Event, group: Group | None) -> None:
    for cluster in _target(world):
        if cluster.backend != ExistingSim.backend:
            world.reason(f"somebody deleted {cluster.name}", seconds=world.scenario.delete_seconds)
            cluster.delete()


def _control_down(world: World, event: Event, group: Group | None) -> None:
    _silence(world, event, "the back ends did not answer", of="control")
    world.kernel.note("back ends", "do not answer for %.0f s", event.seconds)
    world.control_down_until = max(world.control_down_until, world.kernel.now + event.seconds)


def _tracker_down(world: World, event: Event, group: Group | None) -> None:
    if world.scenario.shape.trackers:
        world.reason("a tracker did not answer", seconds=event.seconds, of="tracker")
    world.kernel.note("tracker", "does not answer for %.0f s", event.seconds)
    world.trackers["tracker"].down_until = world.kernel.now + event.seconds


def _airflow_away(world: World, event: Event, group: Group | None) -> None:
    world.reason("Airflow did not answer", seconds=event.seconds, of="airflow")
    world.roughen(1000)
    world.kernel.note("airflow", "does not answer for %.0f s", event.seconds)
    world.airflow.go_away(event.seconds)


def _clear(world: World, event: Event, group: Group | None) -> None:
    world.airflow.clear()


def _mark(world: World, event: Event, group: Group | None) -> None:
    world.airflow.mark(event.kind or "failed")


def _sibling(world: World, event: Event, group: Group | None) -> None:
    world.airflow.clear_sibling()


def _edit(world: World, event: Event, group: Group | None) -> None:
    world.kernel.note("somebody", "edits the DAG: %s", event.kind)
    if event.kind == "broken":
        world.dag.broken = True
        world.reason("the DAG is broken", seconds=FOR_EVER, of="dag")
    elif event.kind == "retries":
        world.dag.retries, world.dag.has_other_retries = 2 - world.dag.retries, True
    else:
        world.dag.entrypoint = "python edited.py"


def _add_others_job(world: World, event: Event, group: Group | None) -> None:
    """Another DAG has a job of an id that the author of this one has chosen, too."""
    for cluster in _target(world):
        if cluster.state is ClusterState.READY and cluster.add_others_job(event.kind):
            world.reason("somebody else has a job of that id", seconds=FOR_EVER)


def _add_others_cluster(world: World, event: Event, group: Group | None) -> None:
    """Another task has made the cluster of the name that the author of this one has chosen, too."""
    key = world.dag.backend, str(world.dag.name)
    if world.dag.name is not None and key not in world.clusters:
        cluster = world.clusters[key] = Cluster(world, str(world.dag.name), world.dag.backend, spec=world.dag.target())
        cluster.owner = ClusterOwner("deployment", replace(world.key, task_id="another"))
        cluster.state = ClusterState.STARTING
        world.kernel.after(event.seconds, cluster.ready)
        world.kernel.note(cluster.name, "is started by another task")


def _repoint(world: World, event: Event, group: Group | None) -> None:
    world.kernel.note("somebody", "points the task to another cluster")
    if world.dag.name is not None:
        world.places += 1
        world.dag.name = f"place-{world.places}"
    if world.dag.backend == ExistingSim.backend:
        world.add_existing(str(world.dag.name))


def _move(world: World, event: Event, group: Group | None) -> None:
    """The task's cluster is gone for good; a person points the task to another one and clears it. Once."""
    if world.moved:
        return
    world.moved = True
    reasons = []
    for cluster in _target(world):
        reasons.append(world.reason(f"{cluster.name} is gone", seconds=FOR_EVER, of="remote"))
        world.kernel.note(cluster.name, "does not answer any more, for ever")
        cluster.down_until = float("inf")
        for job in cluster.jobs.values():
            job.die(forgotten=True)
        if event.kind == "connection" and cluster.backend == ExistingSim.backend:
            world.clusters.pop((cluster.backend, cluster.name), None)

    def go_on() -> None:
        _repoint(world, event, None)
        for reason in reasons:
            # Until Airflow tells the task of the clear.
            reason.until_epoch = world.airflow.epoch
        world.airflow.clear()

    world.kernel.after(event.seconds, go_on)


def _lose_message(world: World, event: Event, group: Group | None) -> None:
    world.kernel.note("network", "loses a message")
    kind = event.call[0] if event.call else ""
    if kind.startswith(("store", "board")):
        world.roughen(1)
        if kind == "store.set":
            world.reason("Airflow did not answer", of="airflow")
        raise AirflowAwayError("lost")
    world.reason("a message was lost", of="harmless")
    raise UnavailableError("The connection was reset")


def _kill_triggerer(world: World, event: Event, group: Group | None) -> None:
    world.airflow.kill_triggerer()


def _restart_triggerer(world: World, event: Event, group: Group | None) -> None:
    world.airflow.restart_triggerer()


def _double_triggerer(world: World, event: Event, group: Group | None) -> None:
    world.airflow.double_triggerer(event.seconds)


def _break_trigger(world: World, event: Event, group: Group | None) -> None:
    world.airflow.break_trigger()


ACTIONS: dict[str, Action] = {
    "kill": _kill,
    "freeze": _freeze,
    "cut off": _cut,
    "lose message": _lose_message,
    "outage": _outage,
    "gateway": _gateway,
    "refuse": _refuse,
    "restart head": _restart_head,
    "lose node": _lose_node,
    "fail cluster": _fail_cluster,
    "delete cluster": _delete_cluster,
    "control down": _control_down,
    "tracker down": _tracker_down,
    "airflow away": _airflow_away,
    "clear": _clear,
    "mark": _mark,
    "clear sibling": _sibling,
    "edit": _edit,
    "others' job": _add_others_job,
    "others' cluster": _add_others_cluster,
    "repoint": _repoint,
    "move": _move,
    "kill triggerer": _kill_triggerer,
    "restart triggerer": _restart_triggerer,
    "double triggerer": _double_triggerer,
    "break trigger": _break_trigger,
}
# Only the caller itself can feel these.
IN_CALL = ("kill", "freeze", "cut off", "lose message")


def plan_fate(world: World) -> None:
    """Put a history's events where they will happen."""
    for event in world.scenario.events:
        if event.call is None:
            world.kernel.after(event.delay, ACTIONS[event.what], world, event, None)
        else:
            world.kernel.anchors.setdefault(event.call, []).append(_happening(world, event))


def _happening(world: World, event: Event) -> Callable[[Group, str], None]:
    def happen(group: Group, when: str) -> None:
        if when != event.when:
            return
        if event.what in IN_CALL and not event.delay:
            ACTIONS[event.what](world, event, group)
        else:
            world.kernel.after(event.delay, ACTIONS[event.what], world, event, None)

    return happen


# Of a seed

CALLS = {
    "store.set": 10,
    "store.get": 3,
    "board.write": 8,
    "board.read": 3,
    "submit": 3,
    "look": 5,
    "stop": 3,
    "follow": 12,
    "ensure": 3,
    "describe": 4,
    "watch": 5,
    "defer": 3,
    "report": 4,
    "records": 3,
    "alive": 2,
    "delete": 2,
    "track.begin": 2,
    "track.end": 3,
}
REMOTE = (
    "submit",
    "look",
    "stop",
    "follow",
    "ensure",
    "describe",
    "records",
    "delete",
    "alive",
    "store.set",
    "board.write",
)
WEIGHTS = {
    "kill": 18,
    "freeze": 5,
    "cut off": 3,
    "lose message": 12,
    "outage": 6,
    "gateway": 4,
    "refuse": 3,
    "restart head": 5,
    "lose node": 3,
    "fail cluster": 2,
    "delete cluster": 2,
    "control down": 3,
    "tracker down": 3,
    "airflow away": 3,
    "clear": 14,
    "mark": 6,
    "clear sibling": 5,
    "edit": 5,
    "repoint": 3,
    "move": 3,
    "kill triggerer": 7,
    "restart triggerer": 6,
    "double triggerer": 4,
    "break trigger": 5,
}
KIND_OF = {
    "kill": ("", "", "host"),
    "restart head": ("", "keeps records"),
    "lose node": ("", "quietly"),
    "mark": ("failed", "success"),
    "edit": ("", "", "broken", "retries"),
    "others' job": ("nightly", "nightly", "nightly-2"),
    "move": ("", "connection"),
}
SECONDS_OF = {
    "freeze": (2.0, 30.0, 330.0, 400.0),
    "cut off": (5.0, 60.0, 200.0),
    "outage": (2.0, 20.0, 100.0, 250.0, 700.0),
    "gateway": (2.0, 30.0, 250.0),
    "refuse": (10.0, 60.0, 200.0),
    "restart head": (3.0, 30.0, 200.0),
    "control down": (5.0, 60.0, 400.0),
    "tracker down": (5.0, 100.0, 1000.0),
    "airflow away": (2.0, 30.0, 60.0),
    "double triggerer": (10.0, 40.0),
    "move": (30.0, 400.0),
}


def scenario_of(seed: int, focus: tuple[str, ...] = ()) -> Scenario:
    """
    Make a history of a seed; the same one always.

    :param focus: events that come besides what chance brings, such as ``kill`` or ``edit:broken``
    """
    chance = random.Random(seed * 7919 + 1)
    jobs = tuple(_job_of(chance) for _ in range(3))
    timeout = chance.choice((None, None, None, 40.0, 200.0, 900.0))
    scenario = Scenario(
        seed,
        _shape_of(chance, timeout),
        retries=chance.choice((0, 0, 1, 1, 2, 3)),
        retry_delay_seconds=chance.choice((1.0, 5.0, 60.0)),
        delete_seconds=chance.choice((0.0, 3.0, 90.0)),
        jobs=jobs,
        starts=tuple(
            Start(chance.choice((0.5, 15.0, 60.0, 400.0)), chance.random() < 0.12) for _ in range(chance.choice((1, 2)))
        ),
        events=(*_events_of(chance), *(_focused(chance, what) for what in focus)),
    )
    return _with_options(scenario, random.Random(f"{seed}/options"))


def _with_options(scenario: Scenario, chance: random.Random) -> Scenario:
    """What few authors ask for."""
    shape = scenario.shape
    keep_cluster = chance.choice(("never", "never", "on_failure"))
    own_id = "nightly" if chance.random() < 0.2 else None
    others_come = own_id is not None and chance.random() < 0.4
    shape = replace(shape, keep_cluster=keep_cluster, submission_id=own_id)
    # Nobody waits for a job: not where its cluster goes with the task, nor where trackers want to be told.
    if shape.cluster is not None and chance.random() < 0.15:
        shape = replace(shape, wait=False, expects_result=False, trackers=0)
    others = (event_of(chance, "others' job"),) if others_come else ()
    return replace(scenario, shape=shape, events=(*scenario.events, *others))


def _shape_of(chance: random.Random, timeout: float | None) -> Shape:
    backend, cluster = chance.choice(
        (
            (ExistingSim.backend, "first"),
            (ExistingSim.backend, "first"),
            (OwnedSim.backend, None),
            (OwnedSim.backend, None),
            (OwnedSim.backend, "shared"),
            (PerAttemptSim.backend, None),
        )
    )
    return Shape(
        backend,
        cluster,
        deferrable=chance.random() < 0.75,
        grace_seconds=chance.choice((0.0, 0.0, 6.0, 30.0)),
        expects_result=chance.random() < 0.8,
        trackers=chance.choice((0, 0, 1, 2)),
        timeout_seconds=timeout,
        cluster_timeout_seconds=chance.choice((300.0, 300.0, 1200.0)),
        max_concurrent_jobs=chance.choice((None, None, None, None, None, 1)),
        on_clear=chance.choice(("auto", "auto", "fresh", "resume")),
    )


def _job_of(chance: random.Random) -> JobScript:
    return JobScript(
        pending_seconds=chance.choice((0.1, 2.0, 2.0, 30.0, 200.0)),
        run_seconds=chance.choice((0.5, 10.0, 10.0, 60.0, 300.0, 1500.0)),
        ends="SUCCEEDED" if chance.random() < 0.85 else "FAILED",
        lines=chance.choice((0, 3, 20)),
        records=chance.choice((0, 3)),
        keeps_pending=chance.random() < 0.15,
        stop_seconds=chance.choice((0.2, 1.0, 3.0, 40.0)),
        loses_result=chance.random() < 0.04,
    )


def _events_of(chance: random.Random) -> Iterator[Event]:
    count = chance.choice((0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5))
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    for what in chance.choices(names, weights, k=count):
        yield event_of(chance, what)


def _focused(chance: random.Random, what: str) -> Event:
    name, _, kind = what.partition(":")
    event = event_of(chance, name)
    return replace(event, kind=kind or event.kind)


def event_of(chance: random.Random, what: str) -> Event:
    """Make an event of this name; when and for how long is chance."""
    anchored = what in ("freeze", "cut off", "lose message") or chance.random() < 0.6
    call, when = None, "after"
    if anchored:
        kind = chance.choice(REMOTE if what == "lose message" else tuple(CALLS))
        call = kind, 1 + int(CALLS[kind] * chance.random() ** 2)
        when = chance.choice(("before", "after"))
    delay = 0.0
    if not anchored:
        delay = chance.choice((5.0, 40.0, 200.0, 1000.0)) * chance.random()
    elif what not in IN_CALL:
        delay = chance.choice((0.0, 1.0, 10.0, 100.0)) * chance.random()
    seconds = chance.choice(SECONDS_OF[what]) if what in SECONDS_OF else 0.0
    return Event(what, call, when, round(delay, 2), seconds, chance.choice(KIND_OF.get(what, ("",))))


# The shortest

Fails = Callable[[Scenario], bool]


def shortest(scenario: Scenario, fails: Fails) -> Scenario:
    """Take away from a failing history whatever it fails without; each step is replayed."""
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(scenario):
            if fails(smaller):
                scenario, changed = smaller, True
                break
    return scenario


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    events = scenario.events
    for size in (len(events) // 2, 1):
        for start in range(0, len(events), size) if size else ():
            yield replace(scenario, events=events[:start] + events[start + size :])
    yield from _plainer(scenario)
    for number, event in enumerate(events):
        for plain in _plain_event(event):
            yield replace(scenario, events=(*events[:number], plain, *events[number + 1 :]))


PLAIN_SHAPE = {
    "trackers": 0,
    "timeout_seconds": None,
    "max_concurrent_jobs": None,
    "grace_seconds": 0.0,
    "on_clear": "auto",
    "deferrable": False,
    "expects_result": True,
    "wait": True,
    "submission_id": None,
    "keep_cluster": "never",
    "cluster_timeout_seconds": 300.0,
}


def _plainer(scenario: Scenario) -> Iterator[Scenario]:
    shape = scenario.shape
    for name, value in PLAIN_SHAPE.items():
        if getattr(shape, name) != value:
            yield replace(scenario, shape=replace(shape, **{name: value}))  # type: ignore[arg-type]
    if shape.backend != ExistingSim.backend:
        yield replace(scenario, shape=replace(shape, backend=ExistingSim.backend, cluster="first"))
    yield from _plainer_scripts(scenario, "jobs", JobScript())
    yield from _plainer_scripts(scenario, "starts", Start())
    for name in ("retries", "retry_delay_seconds", "delete_seconds"):
        usual = getattr(Scenario(0), name)
        if getattr(scenario, name) != usual:
            yield _with(scenario, name, usual)


def _with(scenario: Scenario, name: str, value: Any) -> Scenario:
    changes: dict[str, Any] = {name: value}
    return replace(scenario, **changes)


def _plainer_scripts(scenario: Scenario, name: str, usual: Any) -> Iterator[Scenario]:
    scripts = getattr(scenario, name)
    if len(scripts) > 1:
        yield _with(scenario, name, scripts[:-1])
    for number, script in enumerate(scripts):
        for plain in _plain_fields(script, usual):
            yield _with(scenario, name, (*scripts[:number], plain, *scripts[number + 1 :]))


def _plain_fields(one: Any, usual: Any) -> Sequence[Any]:
    return [
        replace(one, **{item.name: getattr(usual, item.name)})
        for item in fields(one)
        if getattr(one, item.name) != getattr(usual, item.name)
    ]


def _plain_event(event: Event) -> Iterator[Event]:
    if event.delay and event.delay != round(event.delay):
        yield replace(event, delay=float(round(event.delay)))
    if event.call and event.call[1] > 1:
        yield replace(event, call=(event.call[0], event.call[1] - 1))
