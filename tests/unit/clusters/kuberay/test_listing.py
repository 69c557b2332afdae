"""Listing what we made in a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.answers import PermissionMissingError
from airflow_provider_air.clusters.kuberay.backend import KubeRayBackend
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef
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


def written(marks: Marks) -> dict[str, Any]:
    return {"labels": marks.labels(), "annotations": marks.annotations()}


def forbidden(server: KubeApi, plural: str) -> None:
    what = f'{plural}.ray.io is forbidden: User "air" cannot list resource "{plural}" in API group "ray.io" in the '
    server.fail(Fault("GET", plural, 403, status(403, "Forbidden", f'{what}namespace "ns"'), times=1000))


def test_a_role_without_the_kind_that_nobody_uses_sees_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the documentation has it: without RayJobs, where all clusters have names."""
    monkeypatch.setattr(PermissionMissingError, "worth_seconds", 0.0)
    with KubeApi() as server:
        forbidden(server, "rayjobs")
        marks = Marks.of(ClusterOwner("air"), "hash")
        metadata = {"name": "c", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
        server.put("rayclusters", "c", kind="RayCluster", metadata={**metadata, **written(marks)})
        access = GivenAccess([server.server()], conn_id="kube")
        backend = KubeRayBackend(DictConnections({("kubernetes", "kube"): access}))
        assert [one.ref.name for one in backend.list(where=PLACE)] == ["c"]
        with pytest.raises(PermissionMissingError, match="rayjobs"):
            backend.list(where=ClusterRef("kuberay", "j", {**PLACE.details, "kind": "RayJob"}))
