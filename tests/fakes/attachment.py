"""A tracker or feature store in memory: the double of the Attachment contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_air.attachment import Luggage, Outcome, Voyage
from airflow_provider_air.errors import ConfigurationError, UnavailableError


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

    :param refuses: fail ``before_submit``, as a tracking server does that does not answer
    :param is_away_at_the_end: fail ``on_end``
    """

    refuses: bool = False
    is_away_at_the_end: bool = False
    runs: dict[str, RemoteRun] = field(default_factory=dict)

    def before_submit(self, voyage: Voyage) -> Luggage:
        if self.refuses:
            raise UnavailableError("The tracking server does not answer", where="http://tracker")
        self.runs.setdefault(voyage.run_name, RemoteRun()).status = "RUNNING"
        return Luggage({"FAKE_RUN_ID": voyage.run_name}, {"run_id": voyage.run_name})

    def on_record(self, voyage: Voyage, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        run = self.runs.get(state.get("run_id", ""))
        if run is not None:
            run.records |= {(voyage.submission_id, int(record["seq"])): dict(record) for record in records}

    def on_end(self, voyage: Voyage, state: Mapping[str, Any], outcome: Outcome) -> None:
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

    name: ClassVar[str] = "fake"
    opener: ClassVar[str] = "tests.fakes.attachment:open_fake"
    template_fields: ClassVar[tuple[str, ...]] = ("server",)

    server: str
    required: bool = True

    def validate(self) -> None:
        if not self.server:
            raise ConfigurationError("'server' is empty")


def open_fake(spec: FakeTrackerSpec) -> FakeTracker:
    return SERVERS[spec.server]
