"""
Two doubles of the Attachment contract that differ on purpose.

:class:`FakeTracker` keeps runs, as MLflow does, and adds environment alone. :class:`FakeCatalog` keeps nothing of a
run, adds everything else that can be added, and is slow or fails where a test wants it to.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.contracts.connections import Connections
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.runs import AttemptInfo, DataRef
from airflow_provider_air.errors import AirError, ConfigurationError, UnavailableError


class FakeConnections:
    """
    Gives what a test has opened, by kind.

    :ivar asked: kind and id of each connection that was read
    """

    def __init__(self, **opened: Any) -> None:
        self.opened = opened
        self.asked: list[tuple[str, str]] = []

    def open(self, kind: str, conn_id: str) -> Any:
        """:raises ConfigurationError: there is none of this kind."""
        self.asked.append((kind, conn_id))
        if kind not in self.opened:
            raise ConfigurationError(f"There is no connection {conn_id!r}")
        return self.opened[kind]


@dataclass
class RemoteRun:
    """What the remote side knows of one run."""

    records: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    status: str = "RUNNING"
    message: str = ""


@dataclass
class FakeTracker:
    """
    Keeps one remote run per run name, which attempts of a generation share; every call may be repeated.

    :param refuses: fail ``probe`` and ``before_submit``, as a tracking server does that does not answer
    :param is_away_at_the_end: fail ``on_end``
    """

    refuses: bool = False
    is_away_at_the_end: bool = False
    runs: dict[str, RemoteRun] = field(default_factory=dict)

    def probe(self) -> None:
        if self.refuses:
            raise UnavailableError("The tracking server does not answer", where="http://tracker")

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        self.probe()
        self.runs.setdefault(attempt.run_name, RemoteRun()).status = "RUNNING"
        return Additions({"FAKE_RUN_ID": attempt.run_name}, state={"run_id": attempt.run_name})

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        run = self.runs.get(state.get("run_id", ""))
        if run is not None:
            run.records |= {(attempt.submission_id, int(record["seq"])): dict(record) for record in records}

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        if self.is_away_at_the_end:
            raise UnavailableError("The tracking server does not answer", where="http://tracker")
        run = self.runs.get(state.get("run_id", ""))
        if run is not None:
            run.status, run.message = outcome.status, outcome.message


# One remote side per name, for specs that cross processes as JSON.
SERVERS: dict[str, FakeTracker] = {}


@dataclass
class FakeTrackerSpec:
    """What an author would write to have a :class:`FakeTracker` along."""

    kind: ClassVar[str] = "fake"
    template_fields: ClassVar[tuple[str, ...]] = ("server",)

    server: str
    required: bool = True

    def validate(self) -> None:
        if not self.server:
            raise ConfigurationError("'server' is empty")

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        return ()

    def open(self, connections: Connections) -> FakeTracker:
        return SERVERS[self.server]


# What each catalog was told, by its name: (call, submission id).
CALLS: dict[str, list[tuple[str, str]]] = {}
FAILURES: dict[str, type[AirError]] = {"unavailable": UnavailableError, "refused": ConfigurationError}


@dataclass
class FakeCatalog:
    """
    Adds all that can be added, takes over the data set ``raw``, and keeps no state.

    :param name: what its calls are kept under in :data:`CALLS`
    :param folder: a local folder that travels
    :param fails: the calls that fail, by their names: ``check``, ``open``, ``probe``, ``before_submit``,
        ``on_records``, ``on_end``
    :param failure: ``unavailable`` or ``refused``
    :param slow_seconds: how long each call takes
    """

    kind: ClassVar[str] = "fake-catalog"
    template_fields: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    folder: str | None = None
    fails: list[str] = field(default_factory=list)
    failure: str = "unavailable"
    slow_seconds: float = 0.0
    required: bool = True

    def validate(self) -> None:
        if not self.name:
            raise ConfigurationError("'name' is empty")

    def check(self, request: JobRequest, workload: str, storage: str | None) -> Collection[str]:
        if "check" in self.fails:
            raise ConfigurationError(f"The catalog {self.name!r} does not suit {workload}")
        return [item.name for item in request.inputs if item.name == "raw"]

    def open(self, connections: Connections) -> FakeCatalogSession:
        if "open" in self.fails:
            raise FAILURES[self.failure](f"The catalog {self.name!r} fails in open")
        return FakeCatalogSession(self)


class FakeCatalogSession:
    """The catalog of one run."""

    def __init__(self, spec: FakeCatalog) -> None:
        self._spec = spec

    def probe(self) -> None:
        self._note("probe", "")

    def before_submit(self, attempt: AttemptInfo) -> Additions:
        self._note("before_submit", attempt.submission_id)
        return Additions(
            env_vars={"CATALOG": self._spec.name},
            secrets={"CATALOG_KEY": "canary-of-the-catalog"},
            application_env={"CATALOG_OF_REPLICAS": self._spec.name},
            payload={"catalog.json": attempt.run_name.encode()},
            folders={"fake_catalog": Path(self._spec.folder)} if self._spec.folder else {},
            inputs=(DataRef("catalog", f"fake://{self._spec.name}/{attempt.generation}"),),
            links={"catalog_url": f"http://catalog/{attempt.run_name}"},
        )

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        self._note("on_records", attempt.submission_id)

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        self._note("on_end", attempt.submission_id)

    def _note(self, call: str, about: str) -> None:
        CALLS.setdefault(self._spec.name, []).append((call, about))
        time.sleep(self._spec.slow_seconds)
        if call in self._spec.fails:
            raise FAILURES[self._spec.failure](f"The catalog {self._spec.name!r} fails in {call}")
