"""
A task that makes a cluster for others, in the same world: what the operators' few lines do, its rules, its histories.

It keeps no ledger: what a person edits between two tries, it does not know of, so nobody does here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

from airflow_provider_air.contracts.clusters import ClusterState
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import ClusterFailedError, JobLostError
from airflow_provider_air.runs import cluster as making
from airflow_provider_air.runs.cluster import ClusterRun
from airflow_provider_air.runs.plan import Try
from airflow_provider_air.runs.ports import Ports
from airflow_provider_air.runs.stopping import Stopping
from tests.simulation.airflow import FINAL, Worker
from tests.simulation.engine import RealEngine
from tests.simulation.faults import Found
from tests.simulation.history import Event, Scenario, scenario_of
from tests.simulation.history import event_of as any_event_of
from tests.simulation.remote import Cluster, OwnedSim
from tests.simulation.rules import Rules

if TYPE_CHECKING:
    from tests.simulation.world import World

REMOTE = {"ensure": 3, "describe": 3, "list": 2, "delete": 2, "watch": 5}
CALLS = {**REMOTE, "defer": 2, "report": 2}
EVENTS = (
    "kill",
    "freeze",
    "cut off",
    "lose message",
    "fail cluster",
    "delete cluster",
    "control down",
    "airflow away",
    "clear",
    "mark",
    "clear sibling",
    "kill triggerer",
    "restart triggerer",
    "double triggerer",
    "break trigger",
)


class MakingRules(Rules):
    """
    Those of :mod:`tests.simulation.rules` that concern a cluster, and these:

    3. Its result says whether this task has made the cluster.
    5. Minutes after the task's end what it has made lives only where its result names it; with the same exceptions.
    9. Deleted is what it has made, and for a cause: a person, a deadline, a failure, no try left.
    """

    def is_its_own(self, cluster: Cluster) -> bool:
        """Whether this task has made it."""
        return cluster.owner is not None and cluster.owner.key == self.world.key

    def goes_with_the_task(self, cluster: Cluster) -> bool:
        """Whether a cluster is nobody's once the task has ended."""
        return self.is_its_own(cluster) and self.world.airflow.cause != "result"

    def on_delete(self, cluster: Cluster) -> None:
        """A cluster is to go."""
        airflow, group = self.world.airflow, self.world.kernel.thread.group
        if airflow.is_stale(group):
            # Clusters are named, not fenced: a try whose process was frozen may find that its time is over.
            self.world.reason("a process that was frozen took its cluster back", of="worker")
        if not self.is_its_own(cluster):
            self.broken("9 a cluster was deleted that another task has made")
        if not (
            airflow.state in ("restarting", *FINAL)
            or airflow.is_excused(group)
            or airflow.is_stale(group)
            or cluster.state not in (ClusterState.STARTING, ClusterState.READY)
            or self.had_a_deadline()
        ):
            self.broken("9 a cluster was deleted without a cause")

    def on_success(self, result: Any, worker: Worker) -> None:
        """The task returns."""
        cluster = self.world.clusters[OwnedSim.backend, result["name"]]
        if cluster.exists and result["created"] != self.is_its_own(cluster):
            self.broken("3 the result does not say who has made the cluster")

    def on_failure(self, error: BaseException | None, cause: str) -> None:
        """A try fails; the deletion of what an earlier one had made may take all of its time."""
        was_going = isinstance(error, ClusterFailedError) and "is not gone" in str(error)
        if not (was_going and self.had_a_deadline()):
            super().on_failure(error, cause)

    def had_a_deadline(self) -> bool:
        """Whether the time of the try, or of its cluster's start, is over."""
        began, shape = self.world.airflow.try_began_at, self.world.scenario.shape
        return super().had_a_deadline() or self.world.kernel.now >= began + shape.cluster_timeout_seconds


class MakingEngine(RealEngine):
    """A cluster's run, as its operator and its trigger drive it."""

    rules: ClassVar[type[Rules]] = MakingRules

    def open_run(self, world: World, this: Try, ports: Ports) -> ClusterRun:
        """Give the run of one try."""
        shape = world.scenario.shape
        seconds = min(shape.cluster_timeout_seconds, shape.timeout_seconds or shape.cluster_timeout_seconds)
        return ClusterRun(this, ports, timeout_seconds=seconds, spec=world.dag.target)

    def begin(self, run: ClusterRun) -> Wait | Done:
        """Start or adopt it."""
        return run.create()

    def done(self, run: ClusterRun, step: Done) -> Any:
        """Name it, and leave it to others."""
        run.hand_over()
        return {"name": step.result.name, **step.facts}

    def trigger_failed(self, worker: Worker) -> Any:
        """Go on after a trigger that gave no event."""
        self._run(worker).trigger_failed()
        raise JobLostError("The trigger ended without an event")


def making_of(seed: int, focus: tuple[str, ...] = ()) -> Scenario:
    """
    Make a history of a seed; the same one always.

    :param focus: events that come besides what chance brings
    """
    chance, scenario = random.Random(f"{seed}/making"), scenario_of(seed)
    name = chance.choice((None, "shared", "shared"))
    shape = replace(scenario.shape, backend=OwnedSim.backend, cluster=name, trackers=0)
    events = [
        _event_of(chance, what) for what in (*chance.choices(EVENTS, k=chance.choice((0, 1, 1, 2, 2, 3))), *focus)
    ]
    if name is not None and chance.random() < 0.3:
        events.append(Event("others' cluster", seconds=chance.choice((0.0, 30.0))))
    return replace(scenario, shape=shape, events=tuple(events))


def _event_of(chance: random.Random, what: str) -> Event:
    event = any_event_of(chance, what)
    if event.call is None:
        return event
    kind = chance.choice(tuple(REMOTE if what == "lose message" else CALLS))
    return replace(event, call=(kind, chance.randint(1, CALLS[kind])))


# Faults that the rules are there for


@contextmanager
def errors_leave_by_any_door() -> Iterator[None]:
    """An error ends the try, and nothing else."""
    with patch.object(ClusterRun, "_ending", lambda self: nullcontext()):
        yield


@contextmanager
def a_lost_trigger_is_no_end() -> Iterator[None]:
    """Nobody goes on after a trigger that gave no event."""
    with patch.object(ClusterRun, "trigger_failed", lambda self: None):
        yield


@contextmanager
def a_blip_fails_the_try() -> Iterator[None]:
    """What does not answer is not asked again."""
    with patch.object(making, "patiently", lambda ask, *more: ask()):
        yield


@contextmanager
def a_kill_keeps_what_has_a_name() -> Iterator[None]:
    """In the triggerer only what is the task's own by its name goes."""
    with patch.object(Stopping, "_may_delete", lambda self, ref: ref.owned):
        yield


@contextmanager
def whatever_has_the_name_goes() -> Iterator[None]:
    """Nobody asks who has made it."""
    with patch.object(ClusterRun, "_has_started", lambda self, ref: True):
        yield


@contextmanager
def nothing_is_left_to_a_next_try() -> Iterator[None]:
    """Any error is the end of the cluster."""
    with patch.object(making, "FINAL_ERRORS", (Exception,)):
        yield


FAULTS = {
    "errors leave by any door": Found(errors_leave_by_any_door, ("5 the task's own cluster",)),
    "a lost trigger is no end": Found(a_lost_trigger_is_no_end, ("5 the task's own cluster",), ("break trigger",)),
    "a blip fails the try": Found(a_blip_fails_the_try, ("8 ",), ("lose message",)),
    "a kill keeps what has a name": Found(a_kill_keeps_what_has_a_name, ("5 the task's own cluster",), ("mark",)),
    "whatever has the name goes": Found(whatever_has_the_name_goes, ("9 a cluster was deleted that", "3 "), ("mark",)),
    "nothing is left to a next try": Found(
        nothing_is_left_to_a_next_try, ("9 a cluster was deleted without",), ("control down",)
    ),
}
