"""Clusters that are simply there: nothing is made, and the connection is read at each use."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from tests.fakes.connections import DictConnections

KEY = TaskKey("here", "flights", "manual__1", "train")


@pytest.fixture
def connections() -> DictConnections:
    transport = Transport("http://default:8265", token="token-1")
    return DictConnections(
        {("ray", "ray_default"): RayConnection("existing", {}, transport, "https://ray.example.com")}
    )


def test_it_is_never_the_tasks_own(connections: DictConnections) -> None:
    backend, spec = ExistingBackend(connections), ExistingCluster()
    ref = backend.name_of(spec, KEY)

    assert ref == ClusterRef("existing", "ray_default", {"ray_conn_id": "ray_default"})
    assert backend.ensure(spec, ref, owner=ClusterOwner("here", KEY)) == ref == backend.find(spec)
    assert connections.asked == []


@pytest.mark.parametrize("ray_conn_id", ["", " ", 5])
def test_a_spec_without_a_connection_is_refused(ray_conn_id: str, connections: DictConnections) -> None:
    with pytest.raises(ConfigurationError, match="ray_conn_id"):
        ExistingBackend(connections).find(ExistingCluster(ray_conn_id))


def test_the_connection_is_read_anew_at_each_use(connections: DictConnections) -> None:
    backend = ExistingBackend(connections)
    ref = backend.find(ExistingCluster())
    assert backend.open_transport(ref).token == "token-1"
    connections.given = {("ray", "ray_default"): RayConnection("existing", {}, Transport("http://new:8265", token="2"))}

    assert backend.open_transport(ref).base_url == "http://new:8265"
    assert backend.jobs(ref).pages() == {"ray_dashboard_url": "http://new:8265"}


def test_pages_are_at_the_address_that_people_use(connections: DictConnections) -> None:
    backend = ExistingBackend(connections)
    ref = backend.find(ExistingCluster())

    assert backend.jobs(ref).pages() == {"ray_dashboard_url": "https://ray.example.com"}
    assert backend.serving(ref).page() == "https://ray.example.com/#/serve"


def test_a_connection_that_means_another_back_end_now_is_told(connections: DictConnections) -> None:
    backend = ExistingBackend(connections)
    connections.given = {("ray", "ray_default"): RayConnection("local", {"name": "a"})}

    with pytest.raises(ConfigurationError, match="'local'"):
        backend.describe(backend.find(ExistingCluster()))
