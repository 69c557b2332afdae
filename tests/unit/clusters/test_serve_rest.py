"""What Serve's REST API tells, in the words of the contract."""

from __future__ import annotations

import json

import pytest

from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.serving import ABSENT, ApplicationStatus, DeploymentStatus
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

REF = ClusterRef("existing", "ray_default")


def serving(base_url: str, dashboard_url: str | None = None) -> ServeRest:
    return ServeRest(REF, lambda ref: Transport(base_url, token="fake-ray-token"), lambda ref: dashboard_url)


def test_an_application_is_told_with_version_and_replicas(head: FakeRayDashboard) -> None:
    deployment = {"status": "UPDATING", "target_num_replicas": 3, "replicas": [{"state": "RUNNING"}] * 2}
    application = {"status": "RUNNING", "message": "", "route_prefix": "/f", "deployments": {"Model": deployment}}
    body = {"controller_info": {"pid": 1}, "applications": {"flights--0123456789": application}}
    head.plan("GET", "^/api/serve/applications/$", status=200, body=json.dumps(body), times=None)

    assert serving(head.url).application("flights") == ApplicationStatus(
        "flights--0123456789", "RUNNING", "/f", "", {"Model": DeploymentStatus("Model", "UPDATING", 2, 3)}
    )
    other = serving(head.url).application("other")
    assert other.status == ABSENT
    assert "flights--0123456789" in other.message


@pytest.mark.parametrize(
    ("base_url", "endpoint"),
    [
        ("http://10.0.0.5:8265", "http://10.0.0.5:8000"),
        ("https://ray.example.com/prefix", "http://ray.example.com:8000"),
        ("http://[::1]:8265", "http://[::1]:8000"),
    ],
)
def test_the_endpoint_is_the_dashboards_host_with_serves_port(base_url: str, endpoint: str) -> None:
    assert serving(base_url, "https://elsewhere").endpoint({"http_port": 8000}) == endpoint


def test_a_rollout_without_a_port_is_told() -> None:
    with pytest.raises(ProtocolError, match="port"):
        serving("http://a:1").endpoint({})


def test_pages_are_where_people_open_them() -> None:
    assert serving("http://a:1").page() == serving("http://a:1").pages()["ray_serve_page_url"] == "http://a:1/#/serve"
    assert serving("http://a:1", "https://b/").page("f/g") == "https://b/#/serve/applications/f%2Fg"
