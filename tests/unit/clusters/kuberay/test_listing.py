"""Listing what we made in a namespace."""

from __future__ import annotations

from airflow_provider_air.clusters.kuberay.backend import KubeRayBackend
from airflow_provider_air.contracts.clusters import ClusterRef
from tests.fakes.connections import DictConnections
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi, status

PLACE = ClusterRef("kuberay", "c", {"kubernetes_conn_id": "kube", "namespace": "ns", "kind": "RayCluster"})


def test_a_kube_apiserver_that_is_busy_for_moments_is_asked_again() -> None:
    """As one answers whose storage of a kind is made anew."""
    with KubeApi() as server:
        busy = status(429, "TooManyRequests", "storage is (re)initializing")
        server.fail(Fault("GET", "rayjobs", 429, busy, {"Retry-After": "1"}))
        access = GivenAccess([server.server()], conn_id="kube")
        assert KubeRayBackend(DictConnections({("kubernetes", "kube"): access})).list(where=PLACE) == []
