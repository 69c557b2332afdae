"""One task instance over its tries, by the engine alone: no Airflow, and a double of Ray's dashboard over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.jobs_api import watching
from airflow_provider_air.clusters.registry import open_backend
from airflow_provider_air.contracts.clusters import ClusterBackend
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from airflow_provider_air.runs.ledger import LEDGER_KEY, Attempt, Ledger
from airflow_provider_air.runs.plan import Plan, Try
from airflow_provider_air.runs.ports import Ports
from airflow_provider_air.runs.run import Run
from tests.fakes.connections import DictConnections
from tests.fakes.quick_clock import QuickClock
from tests.fakes.task_context import Store

KEY = TaskKey("here", "flights", "manual__1", "train")


class Lines:
    """Takes a log where a process of Airflow would take it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *values: Any) -> None:
        self.lines.append(message % values if values else message)

    warning = info


@dataclass
class Board:
    """The XComs of the task, and each value that was ever written."""

    values: dict[str, Any] = field(default_factory=dict)
    history: list[tuple[str, Any]] = field(default_factory=list)

    def read(self, key: str) -> Any:
        return self.values.get(key)

    def write(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value, allow_nan=False))
        self.history.append((key, self.values[key]))


@dataclass
class Task:
    """
    One task instance.

    :param places: where its ``ray`` connections lead, by id
    :param backends: cluster back ends in place of the registry's, by name
    """

    places: dict[str, Transport]
    store: Store = field(default_factory=Store)
    board: Board = field(default_factory=Board)
    log: Lines = field(default_factory=Lines)
    backends: dict[str, Any] = field(default_factory=dict)
    given: OwnPlaces = field(default_factory=OwnPlaces)
    report: Callable[[Mapping[str, Any]], str] | None = None

    def __post_init__(self) -> None:
        self.admission = Admission(self.given)

    @property
    def places_given(self) -> dict[str, Any]:
        """The places on clusters, as all its processes know them."""
        return self.given.change(lambda places: places)  # type: ignore[no-any-return]

    @property
    def connections(self) -> DictConnections:
        return DictConnections(
            {("ray", name): RayConnection("existing", transport=place) for name, place in self.places.items()}
        )

    @property
    def ports(self) -> Ports:
        """What a process has of it; each time those of another one."""
        return Ports(
            store=self.store,
            board=self.board,
            connections=self.connections,
            clusters=self._backend,
            log=self.log,
            clock=QuickClock(),
            admission=self.admission,
            report=self.report,
        )

    def _backend(self, name: str) -> ClusterBackend:
        made: ClusterBackend = self.backends.get(name) or open_backend(name, self.connections)
        return made

    def run(self, try_number: int = 1, max_tries: int = 2, *, job: Mapping[str, Any] | None = None, **plan: Any) -> Run:
        """Give a try's run, in a process of its own."""
        request = JobRequest(**{"entrypoint": "true", **(job or {})})
        wanted: dict[str, Any] = {"target": ExistingCluster, "build": lambda info: request, **plan}
        return Run(Plan("submit", **wanted), Try(KEY, try_number, max_tries), self.ports)

    def event(self, step: Wait, **what: Any) -> dict[str, Any]:
        """Give what a watch of a step would tell of it."""
        head = {"version": 1, "what": step.what, "submission_id": Attempt.from_json(step.attempt).submission_id}
        return {**head, "outcome": "ended", "message": "", "job": None, **what}

    @property
    def ledger(self) -> Ledger:
        return Ledger.from_json(self.store.get(LEDGER_KEY))

    @property
    def attempts(self) -> Sequence[Attempt]:
        return self.ledger.attempts

    @property
    def phases(self) -> list[str]:
        return [attempt.phase for attempt in self.attempts]

    def change_last(self, **fields: Any) -> Attempt:
        """Have an earlier try left its attempt like this."""
        attempt = replace(self.attempts[-1], **fields)
        self.store.set(LEDGER_KEY, self.ledger.put(attempt).to_json())
        return attempt


@pytest.fixture
def task(transport: Transport) -> Task:
    """A task whose cluster is the test's head."""
    return Task({"ray_default": transport})


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log patiently is not what these tests are about."""
    monkeypatch.setattr(watching, "DRAIN_SECONDS", 2.0)
