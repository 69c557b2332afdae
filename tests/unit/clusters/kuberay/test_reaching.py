"""Ways to Ray's API, and whose answer it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from airflow_provider_air.clusters.kuberay.answers import PermissionMissingError, TokenRefusedError
from airflow_provider_air.clusters.kuberay.reaching import RENEWED_SECONDS, check_reach, transport_of, uses_of
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.logs import LogReader
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.requests import get_version
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

SERVER = KubernetesServer("https://kube.example.com/k8s/c-1", {"Authorization": "Bearer kube"}, verify="/ca.pem")
PROXY = "/api/v1/namespaces/ns/services/c1-head-svc:dashboard/proxy"


class ProxyingKube(KubeApi):
    """One whose proxy gives back what arrived, as a Ray head would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: list[dict[str, str]] = []

    def _proxied(self, request: web.Request) -> web.StreamResponse:
        self.arrived.append({"path": request.path, **request.headers})
        if "/logs/" in request.path:
            return web.Response(status=206, text="from the agent")
        return web.json_response({"version": "4", "ray_version": "2.60.0", "ray_commit": "c", "session_name": "s"})


@pytest.fixture
def kube() -> Iterator[ProxyingKube]:
    with ProxyingKube() as kube:
        yield kube


def reached(access: GivenAccess, reach: str = "proxy", token: str | None = "ray") -> Transport:
    return transport_of(access, "ns", cluster="c1", service="c1-head-svc", token=token, reach=reach)


def test_from_within_it_is_the_services_name_and_from_outside_the_proxy() -> None:
    within = GivenAccess([KubernetesServer("https://10.96.0.1:443", in_cluster=True)])

    assert reached(within, "auto").base_url == "http://c1-head-svc.ns.svc:8265"
    assert reached(within, "auto").token == "ray"
    assert reached(within, "proxy").base_url == "https://10.96.0.1:443" + PROXY
    assert reached(GivenAccess([SERVER]), "auto").base_url == SERVER.url + PROXY


def test_a_way_within_asks_for_no_token_of_the_kube_apiserver() -> None:
    access = GivenAccess([UnavailableError("no plug-in")])

    assert reached(access, "dns").base_url == "http://c1-head-svc.ns.svc:8265"
    assert reached(access, "https://{cluster}.{namespace}.example.com/ray/").base_url == "https://c1.ns.example.com/ray"
    assert access.asked == 0


@pytest.mark.parametrize(
    "reach", ["", "ingress", "port-forward", "ftp://x", "http://", "https://me:pw@ray.example.com"]
)
def test_other_ways_are_refused(reach: str) -> None:
    with pytest.raises(ConfigurationError):
        check_reach(reach)


@pytest.mark.parametrize(
    ("reach", "outside", "within"),
    [
        ("auto", ("proxy",), ()),
        ("dns", (), ()),
        ("proxy", ("proxy",), ("proxy",)),
        ("port_forward", ("port_forward",), ("port_forward",)),
        ("http://ray", (), ()),
    ],
)
def test_each_way_needs_its_own_rules(reach: str, outside: tuple[str, ...], within: tuple[str, ...]) -> None:
    assert uses_of(reach, SERVER) == outside
    assert uses_of(reach, replace(SERVER, in_cluster=True)) == within


def test_by_the_proxy_the_tls_settings_are_the_connections_and_it_is_opened_anew_in_time() -> None:
    soon = time.time() + 60
    transport = reached(
        GivenAccess([KubernetesServer("https://k", client_certificate=("c", "k"), tls_server_name="n")])
    )
    assert (transport.client_certificate, transport.tls_server_name) == (("c", "k"), "n")
    assert transport.expires_at is not None
    assert 0 < transport.expires_at - time.time() <= RENEWED_SECONDS
    assert reached(GivenAccess([KubernetesServer("https://k", expires_at=soon)])).expires_at == soon


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer t0"}, {}], ids=["token", "certificate"])
def test_authorization_is_the_kube_apiservers_and_rays_token_has_a_header_of_its_own(
    kube: ProxyingKube, headers: dict[str, str]
) -> None:
    kube.tokens |= {""}
    transport = reached(GivenAccess([KubernetesServer(kube.url, headers)]))

    with RayClient(transport) as client:
        assert client.send(get_version()).session_name == "s"

    (seen,) = kube.arrived
    assert seen["path"] == PROXY + "/api/version"
    assert seen["X-Ray-Authorization"] == "Bearer ray"
    assert seen.get("Authorization") == headers.get("Authorization")
    assert "ray" not in repr(transport).replace("ray.", "").split("headers")[-1]
    assert "Bearer" not in repr(transport)


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        (401, status(401, "Unauthorized", "Unauthorized"), TokenRefusedError, "kube-apiserver does not know us"),
        (
            403,
            status(403, "Forbidden", 'services "c1-head-svc:dashboard" is forbidden: User "u" cannot get resource '
                   '"services/proxy" in API group "" in the namespace "ns"'),
            PermissionMissingError,
            '"resources": ["services/proxy"], "verbs": ["get"]',
        ),
        (404, status(404, "NotFound", 'services "c1-head-svc" not found'), ClusterNotReadyError, "not found"),
        (503, status(503, "ServiceUnavailable", "no endpoints available"), ClusterNotReadyError, "no endpoints"),
        (502, "<html>gateway</html>", UnavailableError, "gateway"),
        (404, "<html>nothing here</html>", UnavailableError, "nothing here"),
        (401, "Unauthorized: missing token", UnavailableError, "Ray refuses the cluster's token"),
        (403, "Forbidden: invalid token", UnavailableError, "Ray refuses the cluster's token"),
    ],
)  # fmt: skip
def test_whose_answer_it_was_is_told_apart(
    kube: ProxyingKube, code: int, body: Any, kind: type[Exception], words: str
) -> None:
    kube.fail(Fault("GET", "/api/version", code, body))

    with (
        RayClient(reached(GivenAccess([kube.server()])), patience_seconds=0.0) as client,
        pytest.raises(kind) as caught,
    ):
        client.send(get_version())

    assert words in str(caught.value)
    assert not isinstance(caught.value, ConfigurationError)
    assert "ray connection" not in str(caught.value)


async def test_agents_are_reached_by_their_pods_proxy_and_only_those_of_the_cluster(kube: ProxyingKube) -> None:
    kube.put("pods", "c1-head", status={"phase": "Running", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "fd00::1"}]})
    kube.put("pods", "c1-old", status={"phase": "Failed", "podIPs": [{"ip": "10.1.0.2"}]})
    kube.put("pods", "c1-new", status={"phase": "Pending"})
    transport = reached(GivenAccess([kube.server()]))
    assert transport.agent_url is not None

    pods = kube.url + "/api/v1/namespaces/ns/pods/"
    assert await transport.agent_url("http://10.1.0.1:52365") == pods + "c1-head:52365/proxy"
    assert await transport.agent_url("http://[fd00:0::1]:52365") == pods + "c1-head:52365/proxy"
    assert await transport.agent_url("http://10.1.0.2:52365") is None
    assert await transport.agent_url("http://169.254.169.254:80") is None
    assert kube.count("GET", "labelSelector=ray.io%2Fcluster%3Dc1") == 1


async def test_a_log_is_read_from_the_agent_with_both_tokens(kube: ProxyingKube) -> None:
    kube.put("pods", "c1-head", status={"phase": "Running", "podIPs": [{"ip": "10.1.0.1"}]})
    job = JobDetails("job", status=JobStatus.RUNNING, agent_address="http://10.1.0.1:52365", node_id="n")

    async with AsyncRayClient(reached(GivenAccess([kube.server()]))) as client:
        assert await LogReader(client).read(job, "job-driver-job.log", 5, 100) == b"from the agent"

    (seen,) = kube.arrived
    assert seen["path"].endswith("/pods/c1-head:52365/proxy/logs/job-driver-job.log")
    assert (seen["Range"], seen["X-Ray-Authorization"]) == ("bytes=5-104", "Bearer ray")
