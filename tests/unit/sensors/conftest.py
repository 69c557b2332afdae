from __future__ import annotations

import pytest

from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor
from tests.unit.conftest import Connect


@pytest.fixture(autouse=True)
def connections(head: FakeRayDashboard, connect: Connect, supervisor: Supervisor) -> None:
    """The default connection leads to the test's head; nobody is at the trackers' and feature stores' addresses."""
    connect(host=head.url, password=head.token)
    connect("mlflow_default", conn_type="mlflow", host="http://127.0.0.1:9")
    connect("tecton_default", conn_type="tecton", host="http://127.0.0.1:9", password="a-key")


@pytest.fixture
def store() -> Store:
    return Store()
