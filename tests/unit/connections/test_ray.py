"""From a ``ray`` connection to an address, or to a cluster of another back end."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.connections.ray import get_ray_connection, transport_of
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from tests.unit.conftest import Connect


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "10.0.0.5"}, "http://10.0.0.5:8265"),
        ({"host": "10.0.0.5", "port": 1234}, "http://10.0.0.5:1234"),
        ({"host": "10.0.0.5", "schema": "https"}, "https://10.0.0.5:443"),
        ({"host": "https://ray.example.com"}, "https://ray.example.com:443"),
        ({"host": "https://ray.example.com", "port": 8443}, "https://ray.example.com:8443"),
        ({"host": "http://ray.example.com:1/"}, "http://ray.example.com:1"),
        ({"host": "http://proxy/team/ray/"}, "http://proxy:8265/team/ray"),
        ({"host": "http://10.0.0.5:8265/#/cluster"}, "http://10.0.0.5:8265"),
        ({"host": " 10.0.0.5 "}, "http://10.0.0.5:8265"),
        ({"host": "http://[::1]:8265"}, "http://[::1]:8265"),
        ({"host": "ignored", "extra": {"address": "http://a:1"}}, "http://a:1"),
    ],
)
def test_an_address_is_read_as_people_write_it(connect: Connect, fields: dict[str, Any], url: str) -> None:
    connect(**fields)

    assert transport_of(get_ray_connection("ray_default")).base_url == url


def test_tls_settings_and_headers_are_read(connect: Connect) -> None:
    connect(host="a", password=" token-with-spaces\n", extra={"ca_path": "/ca.pem", "headers": {"X-Key": "k" * 8}})

    transport = transport_of(get_ray_connection("ray_default"))

    assert transport == Transport("http://a:8265", "token-with-spaces", {"X-Key": "k" * 8}, "/ca.pem")


@pytest.mark.parametrize(
    ("extra", "verify"),
    [({}, True), ({"verify_tls": True}, True), ({"verify_tls": False}, False), ({"ca_path": ""}, True)],
)
def test_certificates_are_verified_unless_it_is_said(connect: Connect, extra: dict[str, Any], verify: bool) -> None:
    connect(host="a", extra=extra)

    assert transport_of(get_ray_connection("ray_default")).verify is verify


def test_the_token_may_lie_in_the_extra(connect: Connect) -> None:
    connect(host="a", extra={"token": "sesame-1234"})

    assert transport_of(get_ray_connection("ray_default")).token == "sesame-1234"


def test_secrets_of_the_connection_are_masked(connect: Connect) -> None:
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # public, but not in __all__ (3.3.2)

    connect(host="a", password="open-sesame-1", extra={"headers": {"X-Key": "open-sesame-2"}})
    transport_of(get_ray_connection("ray_default"))

    assert "sesame" not in redact("open-sesame-1 open-sesame-2", "value")


def opened(conn_id: str = "ray_default") -> RayConnection:
    found: RayConnection = AirflowConnections().open("ray", conn_id)
    return found


def test_by_default_it_is_a_cluster_that_exists(connect: Connect) -> None:
    connect(host="a", extra={"cluster": {"num_cpus": 1}})

    assert opened() == RayConnection("existing", transport=Transport("http://a:8265"))


def test_it_says_where_people_and_tasks_reach_what_is_behind_a_proxy(connect: Connect) -> None:
    pages = {"dashboard_url": "https://ray/team/", "grafana_url": "https://grafana/d/ray/"}
    connect(host="a", extra={**pages, "serve_url": "https://models/team/"})

    assert opened() == RayConnection(
        "existing",
        transport=Transport("http://a:8265"),
        dashboard_url="https://ray/team",
        serve_url="https://models/team",
        grafana_url="https://grafana/d/ray",
    )


def test_it_may_stand_for_clusters_of_another_back_end(connect: Connect) -> None:
    connect(extra={"backend": "kuberay", "cluster": {"namespace": "ml"}, "dashboard_url": "https://ray.example.com/"})

    assert opened() == RayConnection("kuberay", {"namespace": "ml"}, dashboard_url="https://ray.example.com")


@pytest.mark.parametrize(
    ("extra", "paths"),
    [
        ({"client_cert": "/c.pem", "client_key": "/k.pem"}, ("/c.pem", "/k.pem")),
        ({"client_cert": "/both.pem"}, ("/both.pem", "/both.pem")),
        ({"client_cert": "", "client_key": None}, None),
    ],
)
def test_a_client_certificate_is_two_paths_or_one(connect: Connect, extra: dict[str, Any], paths: Any) -> None:
    connect(host="https://a", extra=extra)

    transport = opened().transport

    assert transport is not None
    assert transport.client_certificate == paths


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"client_key": "/k.pem"}, "without 'client_cert'"),
        ({"client_cert": 7}, "'client_cert' must be the path of a file, not 7"),
        ({"dashboard_url": "ray.example.com"}, "'dashboard_url' must be an http:// or https:// address"),
        ({"dashboard_url": 8265}, "'dashboard_url' must be"),
        ({"dashboard_url": "https://me:secret@ray.example.com"}, "'dashboard_url' holds a user or a password"),
        ({"serve_url": "https://"}, "'serve_url' must be an http:// or https:// address"),
        ({"serve_url": "//models"}, "'serve_url' must be"),
        ({"grafana_url": "javascript:alert(1)"}, "'grafana_url' must be an http:// or https:// address"),
        ({"ca_path": 1}, "'ca_path' must be the path"),
        ({"verify_tls": "no"}, "'verify_tls' must be true or false"),
        ({"read_agents": "no"}, "'read_agents' must be true or false"),
        ({"headers": ["a"]}, "'headers' must be an object of strings"),
        ({"backend": "local", "cluster": ["a"]}, "'cluster' must be an object"),
    ],
)
def test_a_malformed_field_is_named(connect: Connect, extra: dict[str, Any], says: str) -> None:
    connect(host="a", extra=extra)

    with pytest.raises(ConfigurationError, match=says) as raised:
        opened()
    assert "connection ray_default" in str(raised.value)


@pytest.mark.parametrize(("extra", "read"), [({}, True), ({"read_agents": False}, False)])
def test_reading_from_agents_can_be_switched_off(connect: Connect, extra: dict[str, Any], read: bool) -> None:
    connect(host="a", extra=extra)

    transport = opened().transport

    assert transport is not None
    assert transport.reads_agents is read
