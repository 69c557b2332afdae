"""
What every way to have a Ray cluster must do; a new one is one line in ``HARNESSES``.

Real Ray is started once for the whole file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from airflow_provider_air.clusters.contract import ClusterBackend, ClusterOwner, ClusterRef, ClusterSpec, ClusterState
from airflow_provider_air.clusters.existing import ExistingBackend, ExistingCluster
from airflow_provider_air.clusters.registry import BACKEND_NAMES, build_spec, open_backend
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import get_job, get_version, submit_job
from airflow_provider_air.ray_api.transport import Transport
from tests.clusters import BACKEND, OWNER, local_cluster
from tests.fakes.ray_dashboard import FakeRayDashboard

NAME = "contract-backend"
LOCAL = {"num_cpus": 2, "object_store_memory_bytes": 256 * 1024 * 1024}


@dataclass
class Harness:
    """
    A backend with one live cluster.

    :param spec: describes the live cluster
    :param other: describes another cluster of the same name, where the backend can have one
    """

    backend: ClusterBackend
    spec: ClusterSpec
    ref: ClusterRef
    other: ClusterSpec | None
    secrets: tuple[str, ...]


@pytest.fixture(scope="module")
def existing() -> Iterator[Harness]:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(lambda conn_id: Transport(head.url, token=head.token))
        spec = ExistingCluster(NAME)
        yield Harness(backend, spec, backend.ensure(spec, name=NAME, owner=OWNER), None, (str(head.token), head.url))


@pytest.fixture(scope="module")
def local() -> Iterator[Harness]:
    with local_cluster(NAME) as (ref, transport):
        spec = build_spec("local", {"name": NAME, **LOCAL})
        other = build_spec("local", {"name": NAME, **LOCAL, "num_cpus": 1})
        yield Harness(BACKEND, spec, ref, other, (str(transport.token),))


@pytest.fixture(
    scope="module",
    params=["existing", pytest.param("local", marks=[pytest.mark.integration, pytest.mark.timeout(300)])],
)
def harness(request: pytest.FixtureRequest) -> Harness:
    harness: Harness = request.getfixturevalue(request.param)
    return harness


def test_the_spec_is_one_that_operators_take(harness: Harness) -> None:
    assert isinstance(harness.spec, ClusterSpec)
    assert all(hasattr(harness.spec, name) for name in harness.spec.template_fields)
    harness.spec.validate()


def test_a_reference_survives_json_and_holds_no_secret(harness: Harness) -> None:
    text = json.dumps(harness.ref.to_json())

    assert ClusterRef.from_json(json.loads(text)) == harness.ref
    assert not [secret for secret in harness.secrets if secret in text]
    assert not [secret for secret in harness.secrets if secret in repr(harness.ref)]


def test_a_live_cluster_is_ready(harness: Harness) -> None:
    assert harness.backend.describe(harness.ref).state is ClusterState.READY


def test_its_transport_leads_to_ray(harness: Harness) -> None:
    with RayClient(harness.backend.open_transport(harness.ref)) as client:
        assert client.send(get_version()).ray_version.startswith("2.")


def test_its_transport_hides_the_token(harness: Harness) -> None:
    shown = repr(harness.backend.open_transport(harness.ref))

    assert str(harness.backend.open_transport(harness.ref).token) not in shown


def test_a_live_cluster_that_matches_is_adopted(harness: Harness) -> None:
    assert harness.backend.ensure(harness.spec, name=NAME, owner=OWNER) == harness.ref


def test_a_live_cluster_that_does_not_match_is_left_alone(harness: Harness) -> None:
    if harness.other is None:
        pytest.skip("this backend has one cluster per connection, whatever it is")
    with pytest.raises(ConfigurationError):
        harness.backend.ensure(harness.other, name=NAME, owner=OWNER)
    assert harness.backend.describe(harness.ref).state is ClusterState.READY


def test_a_cluster_that_exists_is_not_created_again(harness: Harness) -> None:
    with pytest.raises(ConfigurationError):
        harness.backend.create(harness.spec, name=NAME, owner=OWNER)


def test_it_is_found_by_its_name(harness: Harness) -> None:
    found = harness.backend.find(harness.ref.name)

    assert harness.backend.describe(found).state is ClusterState.READY


def test_a_job_can_be_attached_again_and_again(harness: Harness) -> None:
    with RayClient(harness.backend.open_transport(harness.ref)) as client:
        assert client.send(submit_job(JobSubmission("air-contract", "true")))
        for _ in range(2):
            harness.backend.attach_job(harness.ref, "air-contract")
        assert client.send(get_job("air-contract")) is not None


def test_deleting_what_is_not_there_is_fine(harness: Harness) -> None:
    absent = harness.backend.find("never-was")

    harness.backend.delete(absent)
    harness.backend.delete(absent)
    assert harness.backend.describe(harness.ref).state is ClusterState.READY


# What only some of them can be


def test_a_local_cluster_that_is_not_there_is_a_state() -> None:
    absent = BACKEND.find("never-was")

    assert BACKEND.describe(absent).state is ClusterState.ABSENT
    with pytest.raises(UnavailableError):
        BACKEND.open_transport(absent)


def test_an_existing_cluster_survives_its_deletion() -> None:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(lambda conn_id: Transport(head.url, token=head.token))
        ref = backend.find("ray_default")
        backend.delete(ref)
        assert backend.describe(ref).state is ClusterState.READY


def test_an_existing_cluster_that_does_not_answer_is_unavailable() -> None:
    backend = ExistingBackend(lambda conn_id: Transport("http://127.0.0.1:1"))

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        backend.describe(backend.find("ray_default"))


def test_an_existing_cluster_with_a_wrong_token_is_the_authors_to_fix() -> None:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(lambda conn_id: Transport(head.url, token="wrong"))
        with pytest.raises(ConfigurationError, match="token"):
            backend.describe(backend.find("ray_default"))


def test_every_registered_backend_opens_and_has_a_spec() -> None:
    for name in BACKEND_NAMES:
        backend = open_backend(name, lambda conn_id: Transport("http://127.0.0.1:1"))
        assert all(callable(getattr(backend, verb)) for verb in ("create", "ensure", "find", "describe", "delete"))
        assert build_spec(name, {}).backend == name


def test_unknown_backends_and_fields_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'moon'"):
        open_backend("moon", lambda conn_id: Transport("http://127.0.0.1:1"))
    with pytest.raises(ConfigurationError, match="gpus"):
        build_spec("local", {"gpus": 1})


def test_owners_become_labels() -> None:
    assert ClusterOwner("here", "d", "r").labels() == {"deployment": "here", "dag_id": "d", "run_id": "r"}


@pytest.mark.integration
def test_what_ray_refuses_is_told_from_rays_trouble(local: Harness) -> None:
    """The agent's 400 comes wrapped into the head's 500: it must not be sent again."""
    refused = JobSubmission("air-refused", "true", entrypoint_label_selector={"zone": "!no label!"})

    with RayClient(local.backend.open_transport(local.ref)) as client:
        with pytest.raises(ConfigurationError, match="label"):
            client.send(submit_job(refused))
        assert client.send(get_job("air-refused")) is None
