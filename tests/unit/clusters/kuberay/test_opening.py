from __future__ import annotations

import time
from contextlib import nullcontext

import pytest

from airflow_provider_air.clusters.kuberay import api, opening
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER
from airflow_provider_air.clusters.kuberay.opening import Opening, dated, list_dated
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.errors import ClusterUnreachableError, ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.requests import Answer, Call
from tests.fakes.connections import DictConnections
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

GET = api.get(RAY_CLUSTER, "ns", "a")


def opened(*servers: KubernetesServer) -> tuple[Opening, GivenAccess]:
    access = GivenAccess(list(servers), conn_id="kube")
    return Opening(DictConnections({("kubernetes", "kube"): access})), access


def test_a_connection_is_read_once_for_many_clients() -> None:
    with KubeApi() as server:
        found, access = opened(server.server())
        for _ in range(3):
            with found.client("kube") as kube:
                assert kube.send(GET) is None

    assert access.asked == 1


def test_a_token_that_is_refused_has_the_connection_read_anew() -> None:
    with KubeApi("t1") as server:
        found, access = opened(server.server("t0"), server.server("t1"))
        for _ in range(2):
            with found.client("kube") as kube:
                assert kube.send(GET) is None

    assert access.asked == 2


def test_a_server_that_has_moved_is_found_where_the_connection_leads_now() -> None:
    with KubeApi() as server:
        found, _ = opened(KubernetesServer("http://127.0.0.1:1"), server.server())
        with pytest.raises(ClusterUnreachableError), found.client("kube") as kube:
            kube.send(GET)
        with found.client("kube") as kube:
            assert kube.send(GET) is None


def test_a_connection_that_was_right_is_no_mistake_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "REMEMBERED_SECONDS", -1.0)
    with KubeApi() as server:
        access = GivenAccess([server.server(), ConfigurationError("the file is empty"), server.server()])
        found = Opening(DictConnections({("kubernetes", "kube"): access}))
        for raised in (None, UnavailableError, None):
            with pytest.raises(raised, match="the file is empty") if raised else nullcontext():
                found.server("kube")

    never = Opening(DictConnections({("kubernetes", "kube"): GivenAccess([ConfigurationError("no context")])}))
    with pytest.raises(ConfigurationError, match="no context"):
        never.server("kube")


def test_what_is_remembered_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    with KubeApi() as server:
        found, access = opened(server.server())
        found.server("kube")
        monkeypatch.setattr(opening, "REMEMBERED_SECONDS", 0.0)
        time.sleep(0.01)
        found.server("kube")

    assert access.asked == 2


def test_a_token_that_has_ended_is_not_remembered() -> None:
    with KubeApi() as server:
        found, access = opened(server.server(expires_at=time.time() - 1))
        found.server("kube")
        found.server("kube")

    assert access.asked == 2


def test_an_answer_tells_the_servers_own_time() -> None:
    answer = Answer(404, b"", {"date": "Sun, 29 Nov 2026 15:00:00 GMT"})
    _, at = dated(Call("GET", "/", lambda answer: answer.status)).read(answer)

    assert at == 1795964400.0


def test_a_dated_list_whose_pages_got_too_old_is_begun_anew() -> None:
    with KubeApi() as server:
        for number in range(25):
            server.put("rayclusters", f"n{number:02}")
        server.page_items = 10
        first = {"metadata": {"resourceVersion": "1", "continue": "10"}, "items": []}
        server.fail(Fault("GET", "rayclusters", 200, first))
        server.fail(Fault("GET", "rayclusters", 410, status(410, "Expired", "The continue parameter is too old")))
        found, _ = opened(server.server())
        with found.client("kube") as kube:
            items, now = list_dated(kube, lambda rest: api.list_page(RAY_CLUSTER, "ns", rest=rest))

    assert len(items) == 25
    assert abs(now - time.time()) < 60
