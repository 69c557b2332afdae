from __future__ import annotations

import pytest

from airflow_provider_air.hooks import clusters
from airflow_provider_air.ray_api import watching
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor
from tests.unit.conftest import Connect


@pytest.fixture(autouse=True)
def ray_default(head: FakeRayDashboard, connect: Connect, supervisor: Supervisor) -> None:
    """The default connection leads to the test's head, and XComs to the test's supervisor."""
    connect(host=head.url, password=head.token)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of patience with real clusters are a second here."""
    monkeypatch.setattr(clusters, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(watching, "DRAIN_SECONDS", 2.0)
