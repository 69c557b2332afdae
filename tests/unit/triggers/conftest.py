from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from blockbuster import BlockBuster

from airflow_provider_air.connections import ports
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Supervisor
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
def nothing_blocks() -> Iterator[None]:
    """Fail a test whose event loop waits for a socket, a file, a lock or a sleep of our package."""
    detector = BlockBuster("airflow_provider_air")
    detector.activate()
    yield
    detector.deactivate()
