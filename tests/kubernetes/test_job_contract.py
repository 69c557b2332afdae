"""The contract of job back ends, over a RayJob on the node: its resource is real, and its Ray is a double."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.clusters import ClusterRef
from tests.contract import test_job_backend as suite
from tests.contract.test_job_backend import ID, OverDashboard, prepared
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.kubernetes.bench import Bench
from tests.kubernetes.ray_doubles import TOKEN, at, harness_tests

globals().update(harness_tests(suite))


@pytest.fixture
def harness(begun: tuple[Bench, ClusterRef], monkeypatch: pytest.MonkeyPatch) -> Iterator[OverDashboard]:
    """The RayJob's JobBackend, and a double that a test moves."""
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.2)
    monkeypatch.setattr(jobs_api, "PATIENCE_SECONDS", 0.2)
    bench, ref = begun
    with FakeRayDashboard(token=TOKEN, starts_after_seconds=None) as head:
        made = OverDashboard(head, JobsApi)
        made.backend = bench.backend().jobs(at(ref, head))
        yield made


def test_kuberay_is_told_of_the_job_that_ray_has_taken(harness: OverDashboard, begun: tuple[Bench, ClusterRef]) -> None:
    """From then on it counts the job's time, and no longer the start-up's."""
    harness.backend.submit(prepared())

    bench, ref = begun
    spec = bench.kube.admin.get("rayjobs", ref.name, bench.namespace, "ray.io/v1")["spec"]
    assert spec["jobId"] == ID
