from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.places import (
    Place,
    head_service,
    propagation_of,
    ref_of,
    ref_of_listed,
    token_secret,
    url_of,
    wants_token,
)
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.errors import ProtocolError
from tests.unit.clusters.kuberay import shapes

TOKEN = {"authOptions": {"mode": "token"}}


def test_a_ref_says_where_it_is_and_how_it_is_reached() -> None:
    grafana = "https://grafana.example.com/d/ray?var-cluster={name}"
    spec = KubeRayCluster(reach="proxy", serve_url="https://serve.example.com/{namespace}/{name}/", grafana_url=grafana)
    ref = ref_of(spec, "RayCluster", "flights", "air", owned=False)
    place = Place.of(ClusterRef.from_json(replace(ref, uid="u").to_json()))

    assert (place.conn_id, place.namespace, place.name, place.uid) == ("kubernetes_default", "air", "flights", "u")
    assert (place.kind.name, place.reach) == ("RayCluster", "proxy")
    assert url_of(place.serve_url, place) == "https://serve.example.com/air/flights"
    assert url_of(place.grafana_url, place) == "https://grafana.example.com/d/ray?var-cluster=flights"
    assert url_of(place.dashboard_url, place) is None


def test_what_is_listed_has_the_ref_that_its_spec_has() -> None:
    ref = ref_of(KubeRayCluster(reach="dns"), "RayCluster", "flights", "air", owned=False)

    listed = ref_of_listed(shapes.ready_cluster(), Place.of(ref), owned=False)

    assert listed == ref
    assert listed.uid == shapes.UID


@pytest.mark.parametrize("details", [{}, {"kind": "RayService", "namespace": "air", "kubernetes_conn_id": "k"}])
def test_a_ref_of_something_else_is_told(details: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="no cluster of KubeRay"):
        Place.of(ClusterRef("kuberay", "flights", details))


def test_the_heads_service_is_read_from_the_status() -> None:
    assert head_service(shapes.ready_cluster()) == "flights-head-svc"
    assert head_service(shapes.job("Initializing")) is None
    told = shapes.job("Waiting", dashboardURL="flights-abcde-head-svc.air.svc.cluster.local:8265")
    assert head_service(told) == "flights-abcde-head-svc"


def test_the_tokens_secret_is_called_as_kuberay_calls_it() -> None:
    cluster = {**shapes.cluster(), "spec": TOKEN}
    assert token_secret(cluster) == "flights"
    assert token_secret({**cluster, "spec": {"authOptions": {"mode": "token", "secretName": "mine"}}}) == "mine"
    # It cuts a name's beginning, and then what no name may begin with (CheckName of KubeRay 1.6.1).
    long = {**cluster, "metadata": {**cluster["metadata"], "name": "abc-" + "x" * 49}}
    assert token_secret(long) == "r" + "x" * 49


@pytest.mark.parametrize("options", [{}, {"mode": "disabled"}, {"mode": "token", "enableK8sTokenAuth": True}])
def test_where_ray_wants_no_token_of_ours_there_is_no_secret(options: dict[str, Any]) -> None:
    assert token_secret({**shapes.cluster(), "spec": {"authOptions": options}}) is None


def test_a_rayjob_that_has_no_cluster_yet_will_want_a_token() -> None:
    """So the permission to read it is asked for before anything is made."""
    new = {**shapes.job(), "spec": {"rayClusterSpec": TOKEN}}
    assert wants_token(new)
    assert token_secret(new) is None


REDIS = {"gcsFaultToleranceOptions": {"redisAddress": "redis:6379"}}


@pytest.mark.parametrize(
    ("resource", "propagation"),
    [
        ({"kind": "RayCluster", "metadata": {}, "spec": {}}, "Foreground"),
        ({"kind": "RayCluster", "metadata": {}, "spec": REDIS}, "Background"),
        ({"kind": "RayJob", "metadata": {}, "spec": {"rayClusterSpec": REDIS}}, "Background"),
        ({"kind": "RayJob", "metadata": {}, "spec": {"rayClusterSpec": {}}}, "Foreground"),
        ({"kind": "RayCluster", "metadata": {"annotations": {"ray.io/ft-enabled": "true"}}, "spec": {}}, "Background"),
    ],
)
def test_what_has_a_redis_goes_before_its_secret(resource: dict[str, Any], propagation: str) -> None:
    assert propagation_of(resource) == propagation
