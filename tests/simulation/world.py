"""One simulated world: what a scenario says is so, and an engine in it."""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.ray_api.packages import package_folder
from airflow_provider_air.runs.admission import OwnPlaces
from tests.simulation.airflow import Airflow, Engine
from tests.simulation.history import Scenario, plan_fate
from tests.simulation.kernel import EPOCH, EndlessError, Kernel
from tests.simulation.remote import (
    Cluster,
    ExistingSim,
    Job,
    OwnedSim,
    PerAttemptSim,
    SecondTracker,
    SimClusters,
    SimConnections,
    SimSpec,
    SimTracker,
    TrackerServer,
)

if TYPE_CHECKING:
    from tests.simulation.rules import Rules

HORIZON_SECONDS = 4 * 24 * 3600.0
KINDS = {spec.backend: spec for spec in (ExistingSim, OwnedSim, PerAttemptSim)}


@dataclass
class DagVersion:
    """What the DAG file says now; people edit it."""

    backend: str
    name: str | None
    entrypoint: str = "python job.py"
    broken: bool = False
    retries: int = 0
    has_other_retries: bool = False
    """Than it began with, or had for a while."""

    def target(self) -> SimSpec:
        """Give the cluster that is wanted."""
        return KINDS[self.backend](self.name)


@dataclass
class Reason:
    """Something that went wrong, and when."""

    since: float
    until: float
    why: str
    of: str
    until_epoch: float = math.inf
    """The last generation for which it is one."""


@dataclass
class Report:
    """What became of a run."""

    scenario: Scenario
    violations: list[str]
    timeline: list[tuple[float, str, str]]
    state: str
    steps: int
    seconds: float


class World:
    """All that there is."""

    def __init__(self, scenario: Scenario, engine: Engine, *, trace: bool = False) -> None:
        self.scenario = scenario
        self.engine = engine
        self.kernel = Kernel(scenario.seed, trace=trace)
        self.key = TaskKey("deployment", "dag", "run", "task")
        self.rules: Rules = engine.rules(self)
        self.clusters: dict[tuple[str, str], Cluster] = {}
        self.jobs: list[Job] = []
        self.trackers: dict[str, TrackerServer] = {}
        self.control_down_until = 0.0
        self.reasons: list[Reason] = []
        self.kill_was_hindered = False
        self.moved = False
        self.places = 0
        self.given = OwnPlaces()
        """The places on clusters that the processes of this host know of."""
        self._rough: dict[int, int] = {}
        self.job_count = 0
        self.start_count = 0
        shape = scenario.shape
        self.dag = DagVersion(shape.backend, shape.cluster, retries=scenario.retries)
        self.add_existing("first")
        for tracker in (SimTracker(), SecondTracker()):
            self.trackers[tracker.conn_id] = TrackerServer(self, tracker.conn_id, tracker.kind)
        self.connections = SimConnections(self)
        self.airflow = Airflow(self)

    def add_existing(self, name: str) -> None:
        """Somebody has one more cluster, and a connection to it."""
        self.clusters[ExistingSim.backend, name] = Cluster(self, name, ExistingSim.backend)

    def backend(self, name: str) -> SimClusters:
        """Port: which back end has a name."""
        return SimClusters(self, name)

    # What rules ask

    def reason(self, why: str, *, seconds: float = 0.0, of: str = "job") -> Reason:
        """
        Note what may fail a try, and a clean-up.

        :param seconds: how long it lasts
        :param of: ``job`` or ``worker``, which end something; ``remote``, ``control``, ``airflow``, ``tracker`` or
            ``dag``, which keep something from being done; ``harmless``, which is too short for that
        """
        noted = Reason(self.kernel.now, self.kernel.now + seconds, why, of)
        self.reasons.append(noted)
        return noted

    def reasons_within(self, since: float, until: float, *of: str) -> list[str]:
        """What went wrong in a time."""
        known = [r for r in self.reasons if self.airflow.epoch <= r.until_epoch and (not of or r.of in of)]
        return [r.why for r in known if r.since <= until and r.until >= since]

    def roughen(self, times: int) -> None:
        """A watcher of this try does not end in order, or is doubled."""
        number = self.airflow.try_number
        self._rough[number] = self._rough.get(number, 0) + times

    def rough_ends(self, try_number: int) -> int:
        """How often that was so."""
        return self._rough.get(try_number, 0)


_folder_once = functools.cache(package_folder)
"""Zipping our drivers takes longer than a whole run."""


def simulate(scenario: Scenario, engine: Engine, *, trace: bool = False) -> Report:
    """Run a history to its end, and judge it."""
    minted = random.Random(scenario.seed)
    random.seed(scenario.seed)
    world = World(scenario, engine, trace=trace)
    plan_fate(world)
    with (
        patch("secrets.token_hex", lambda length=6: f"{minted.getrandbits(8 * length):0{2 * length}x}"),
        patch("airflow_provider_air.workloads.job.package_folder", _folder_once),
    ):
        world.airflow.begin()
        try:
            world.kernel.run(EPOCH + HORIZON_SECONDS)
        except EndlessError as error:
            world.rules.broken(f"7 no end is reached: {error}")
        else:
            world.rules.judge()
    return Report(
        scenario,
        world.rules.violations,
        world.kernel.timeline or [],
        world.airflow.state,
        world.kernel.steps,
        world.kernel.now - EPOCH,
    )
