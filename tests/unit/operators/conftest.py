from __future__ import annotations

from functools import cache

import pytest

from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.clusters.jobs_api import watching
from airflow_provider_air.connections import ports, task_states
from airflow_provider_air.runs import clock
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from tests.fakes.quick_clock import QuickClock
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor
from tests.unit.conftest import Connect


@pytest.fixture(autouse=True)
def own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for room behind another one's jobs."""
    monkeypatch.setattr(ports, "_admission", cache(lambda: Admission(OwnPlaces())))


@pytest.fixture(autouse=True)
def ray_default(head: FakeRayDashboard, connect: Connect, supervisor: Supervisor) -> None:
    """The default connection leads to the test's head, and XComs to the test's supervisor."""
    connect(host=head.url, password=head.token)


@pytest.fixture(autouse=True)
def patient_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose act a kill is, is answered at once where it can be; only a busy machine needs longer than a worker has."""
    monkeypatch.setattr(task_states, "ANSWER_SECONDS", 10.0)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of patience with real clusters are a moment here."""
    monkeypatch.setattr(clock, "RealClock", QuickClock)
    monkeypatch.setattr(jobs_api, "PATIENCE_SECONDS", 0.5, raising=False)
    monkeypatch.setattr(watching, "DRAIN_SECONDS", 2.0)
