"""The contract of what rolls out applications, over a RayJob on the node: its resource is real, its Ray is a double."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from tests.contract import test_serve_backend as suite
from tests.contract.test_serve_backend import OverDashboard
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.kubernetes.bench import Bench
from tests.kubernetes.ray_doubles import TOKEN, at, harness_tests

globals().update(harness_tests(suite))


@pytest.fixture
def harness(begun: tuple[Bench, ClusterRef]) -> Iterator[OverDashboard]:
    """The RayJob's ServeBackend, and a double that a test moves."""
    bench, ref = begun
    with FakeRayDashboard(token=TOKEN) as head:
        made = OverDashboard(head)
        made.backend = bench.backend().serving(at(ref, head))
        yield made
