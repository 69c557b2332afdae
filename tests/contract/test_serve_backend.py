"""What everything that rolls applications out must do, beside what ``test_job_backend`` asks of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef
from airflow_provider_air.contracts.jobs import PreparedJob
from airflow_provider_air.contracts.serving import ABSENT, ServeBackend
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.models import JobStatus, JobSubmission
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.other_clusters import OtherClusters, OtherSpec
from tests.fakes.ray_dashboard import FakeRayDashboard

ID = "air-deploy-g1a1-1"
PATH = "^/api/serve/applications/$"
RESULT = {"http_port": 8123, "applications": {"flights": {"route_prefix": "/flights"}}}


class Harness(Protocol):
    """A back end of applications, and the remote side that a test moves."""

    backend: ServeBackend

    def serve(self, status: str) -> None:
        """Let the application be in this state."""

    def end(self, submission_id: str) -> None:
        """Let a roll-out succeed."""

    def silence(self) -> None:
        """Let nobody answer."""


def details(status: str) -> dict[str, Any]:
    deployment = {"status": "HEALTHY", "target_num_replicas": 2, "replicas": [{"state": "RUNNING"}]}
    application = {"status": status, "message": "", "route_prefix": "/flights", "deployments": {"Model": deployment}}
    return {"controller_info": {"pid": 1}, "applications": {"flights--0123456789": application}}


class OverDashboard:
    """Serve as Ray's dashboard tells of it."""

    def __init__(self, head: FakeRayDashboard) -> None:
        self.head = head
        self.backend: ServeBackend = ServeRest(
            ClusterRef("existing", "head"),
            lambda ref: Transport(head.url, token=head.token),
            lambda ref: "https://ray.example.com/",
        )
        self._fault = head.plan("GET", PATH, status=200, body=json.dumps({"applications": {}}), times=None)

    def serve(self, status: str) -> None:
        self._fault.cancel()
        self._fault = self.head.plan("GET", PATH, status=200, body=json.dumps(details(status)), times=None)

    def end(self, submission_id: str) -> None:
        self.head.set_status(submission_id, "SUCCEEDED")
        self.serve("RUNNING")

    def silence(self) -> None:
        self._fault.cancel()
        self.head.plan("*", "", times=None, drop=True)


class OverOther:
    """Roll-outs without a job."""

    def __init__(self) -> None:
        self.clusters = OtherClusters(takes_any_job=True)
        spec = OtherSpec("serving")
        ref = self.clusters.ensure(spec, self.clusters.find(spec), owner=ClusterOwner("tests"))
        self.clusters.ready(ref.name)
        self.backend: ServeBackend = self.clusters.serving(ref)

    def serve(self, status: str) -> None:
        if status == "RUNNING":
            self.backend.submit(prepared())
            self.end(ID)

    def end(self, submission_id: str) -> None:
        self.clusters.job(submission_id).end()

    def silence(self) -> None:
        self.clusters.silence()


@contextmanager
def _over_dashboard() -> Iterator[Harness]:
    with FakeRayDashboard() as head:
        yield OverDashboard(head)


@contextmanager
def _over_other() -> Iterator[Harness]:
    yield OverOther()


HARNESSES = {"serve_rest": _over_dashboard, "other": _over_other}


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    with HARNESSES[request.param]() as made:
        yield made


def prepared() -> PreparedJob:
    return PreparedJob(JobSubmission(ID, "true"), rollout={"applications": ["flights"]})


def test_where_nothing_is_there_is_nothing(harness: Harness) -> None:
    absent = harness.backend.application("flights")

    assert absent.status == ABSENT
    assert absent.message


def test_an_application_is_told_with_its_deployments(harness: Harness) -> None:
    harness.serve("RUNNING")
    found = harness.backend.application("flights")

    assert found.status == "RUNNING"
    assert found.application.startswith("flights")
    assert found.route_prefix == "/flights"
    assert all(told.name == name for name, told in found.deployments.items())


def test_a_rollout_is_submitted_and_ends_like_a_job(harness: Harness) -> None:
    accepted = harness.backend.submit(prepared())
    assert accepted.incarnation
    assert harness.backend.submit(prepared()) == accepted
    harness.end(ID)
    job = harness.backend.look(ID).job

    assert job is not None
    assert job.status is JobStatus.SUCCEEDED
    found = harness.backend.application("flights")
    assert found.status == "RUNNING"


def test_the_endpoint_is_an_address_without_a_final_slash(harness: Harness) -> None:
    endpoint = harness.backend.endpoint(RESULT)

    assert endpoint is not None
    assert endpoint.startswith("http")
    assert not endpoint.endswith("/")


def test_a_page_is_an_address_or_none(harness: Harness) -> None:
    for page in (harness.backend.page(), harness.backend.page("flights")):
        assert page is None or page.startswith("http")


def test_silence_is_unavailable(harness: Harness) -> None:
    harness.silence()
    with pytest.raises(UnavailableError):
        harness.backend.application("flights")


def test_whether_versions_can_be_gated_is_known_beforehand(harness: Harness) -> None:
    assert isinstance(type(harness.backend).can_gate, bool)


# What only some of them can be


def test_a_back_end_without_jobs_takes_nothing_but_rollouts() -> None:
    made = OverOther()
    with pytest.raises(ConfigurationError, match="roll-outs"):
        made.backend.submit(PreparedJob(JobSubmission(ID, "true")))


def test_serve_that_is_not_installed_is_the_authors_to_fix() -> None:
    with FakeRayDashboard() as head:
        made = OverDashboard(head)
        made._fault.cancel()
        head.plan("GET", PATH, status=501, times=None)
        with pytest.raises(ConfigurationError, match="not installed"):
            made.backend.application("flights")
