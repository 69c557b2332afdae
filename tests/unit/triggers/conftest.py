from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster

from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Supervisor
from tests.unit.conftest import Connect


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
