"""What Serve's REST API tells, in the words of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.serving import ABSENT, ApplicationStatus, DeploymentStatus
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

REF = ClusterRef("existing", "ray_default")


def serving(
    base_url: str, dashboard_url: str | None = None, serve_url: str | None = None, **transport: Any
) -> ServeRest:
    opened = Transport(base_url, token="fake-ray-token", **transport)
    return ServeRest(REF, lambda ref: opened, lambda ref: dashboard_url, lambda ref: serve_url)


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
        ("http://[::1]:8265", "http://[::1]:8000"),
    ],
)
def test_the_endpoint_is_the_dashboards_host_with_serves_port(base_url: str, endpoint: str) -> None:
    assert serving(base_url, "https://elsewhere").endpoint({"http_port": 8000}) == endpoint


@pytest.mark.parametrize(
    ("base_url", "transport", "told"),
    [
        ("http://ray.example.com:80/prefix", {}, {}),
        ("https://ray.example.com:443", {}, {}),
        ("http://ray.example.com:8265", {"headers": {"X-Key": "k"}}, {}),
        ("http://ray.example.com:8265", {"agent_url": lambda url: url}, {}),
        ("http://10.0.0.5:8265", {}, {"http_host": "127.0.0.1"}),
        ("http://10.0.0.5:8265", {}, {"http_host": "10.0.0.6"}),
        ("http://10.0.0.5:8265", {}, {"http_root_path": "/serve"}),
        ("http://10.0.0.5:8265", {}, {"proxy_location": "Disabled"}),
    ],
    ids=["a path", "TLS", "headers", "agents by a proxy", "this host only", "another host", "a root path", "no proxy"],
)
def test_an_endpoint_that_would_be_a_guess_is_none(base_url: str, transport: Any, told: dict[str, Any]) -> None:
    assert serving(base_url, **transport).endpoint({"http_port": 8000, **told}) is None
    said = serving(base_url, serve_url="https://models.example.com/ray/", **transport)
    assert said.endpoint({"http_port": 8000, **told}) == "https://models.example.com/ray"


@pytest.mark.parametrize(
    ("base_url", "host"),
    [("http://127.0.0.1:1", "127.0.0.1"), ("http://localhost:1", "127.0.0.1"), ("http://h:1", "h")],
)
def test_serve_on_one_address_is_reached_by_it(base_url: str, host: str) -> None:
    told = {"http_port": 8123, "http_host": host, "http_root_path": "", "proxy_location": "HeadOnly"}
    assert serving(base_url).endpoint(told) == f"{base_url[:-2]}:8123"


def test_the_endpoint_of_a_serve_with_tls_is_https() -> None:
    assert serving("http://10.0.0.5:1").endpoint({"http_port": 8000, "http_scheme": "https"}) == "https://10.0.0.5:8000"


def test_a_rollout_without_a_port_is_told() -> None:
    with pytest.raises(ProtocolError, match="port"):
        serving("http://a:1").endpoint({})


def test_pages_are_where_people_open_them() -> None:
    assert serving("http://a:1").page() == serving("http://a:1").pages()["ray_serve_page_url"] == "http://a:1/#/serve"
    assert serving("http://a:1", "https://b/").page("f/g") == "https://b/#/serve/applications/f%2Fg"
