"""KubeRay on the node of the tests: clusters that only wait, and what a process asks while it waits for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx

from airflow_provider_air.contracts.clusters import ClusterRef
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.kubernetes.bench import CONN_ID, USER, Bench, bind, until
from tests.kubernetes.node.node import Node
from tests.kubernetes.ray_doubles import TOKEN, at

CLUSTERS = "ray.io/v1"
NOWHERE = "localhost:1/nowhere/ray:2.60.0"
GONE_SECONDS = 180.0
_OF_KUBERNETES = re.compile(r"^/apis?/.*?/namespaces/[^/]+/(?P<resource>[^/]+)")


def connection_to(kube: Node, namespace: str) -> dict[str, Any]:
    """Give the kubernetes connection, in Airflow's JSON form, of the user who has the documented Role."""
    kubeconfig = str(kube.credentials.kubeconfig(USER))
    return {"conn_type": "kubernetes", "extra": {"kube_config_path": kubeconfig, "namespace": namespace}}


@contextmanager
def waiting_clusters(kube: Node, count: int) -> Iterator[WaitingClusters]:
    """Have this many RayClusters that stay as they are, since no operator is there; their Ray is a double."""
    kube.scale_operator(0)
    try:
        with kube.namespace() as namespace, FakeRayDashboard(token=TOKEN) as head:
            bind(kube, namespace)
            made = WaitingClusters(kube, namespace, head, count)
            try:
                yield made
            finally:
                # Before there is an operator again, which would make pods of them.
                made.delete()
    finally:
        kube.scale_operator(1)


class WaitingClusters:
    """
    RayClusters in one namespace whose head is not ready yet.

    :param refs: as a task has them that has made one for itself
    """

    def __init__(self, kube: Node, namespace: str, head: FakeRayDashboard, count: int) -> None:
        self._kube, self.namespace = kube, namespace
        kube.admin.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "ray-token", "namespace": namespace},
                "stringData": {"auth_token": TOKEN},
            }
        )
        bench = Bench(kube, namespace)
        backend, spec = bench.backend(), bench.spec(name="c0", image=NOWHERE, auth_options={"secret_name": "ray-token"})
        first = replace(at(backend.ensure(spec, backend.find(spec), owner=bench.owner), head), uid="", owned=True)
        whole = kube.admin.get("rayclusters", "c0", namespace, CLUSTERS)
        kept = {key: whole["metadata"][key] for key in ("namespace", "labels", "annotations")}
        manifest = {"apiVersion": CLUSTERS, "kind": "RayCluster", "spec": whole["spec"]}
        self.refs: list[ClusterRef] = [replace(first, name=f"c{number}") for number in range(count)]
        for ref in self.refs:
            if ref.name != first.name:
                copy = {**manifest, "metadata": {**kept, "name": ref.name}}
                kube.admin.call("POST", kube.admin.path("rayclusters", "", namespace, CLUSTERS), copy)
            self._tell(ref, state="", HeadPodReady="False")

    def make_ready(self, ref: ClusterRef) -> None:
        """Write what KubeRay writes when a cluster is ready."""
        head = {"serviceName": f"{ref.name}-head-svc"}
        self._tell(ref, state="ready", head=head, HeadPodReady="True", RayClusterProvisioned="True")

    def _tell(self, ref: ClusterRef, *, state: str, head: dict[str, Any] | None = None, **conditions: str) -> None:
        stamp = {"lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Told", "message": ""}
        told = [{"type": kind, "status": status, **stamp} for kind, status in conditions.items()]
        status = {"state": state, "conditions": told, "head": head or {}}
        self._kube.admin.patch("rayclusters", ref.name, self.namespace, {"status": status}, CLUSTERS, "status")

    def delete(self) -> None:
        """Delete all, and wait until they are gone."""
        admin = self._kube.admin
        admin.call("DELETE", admin.path("rayclusters", "", self.namespace, CLUSTERS))
        until(
            lambda: not admin.items("rayclusters", self.namespace, CLUSTERS, limit="1"), "no RayCluster", GONE_SECONDS
        )


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what this process sends by HTTP: by verb and resource of Kubernetes, the rest as ``ray``."""
    found: Counter[str] = Counter()
    send, send_async = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def counting(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        found[_label(request)] += 1
        return send(self, request)

    async def counting_async(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        found[_label(request)] += 1
        return await send_async(self, request)

    httpx.HTTPTransport.handle_request = counting  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = counting_async  # type: ignore[method-assign]
    try:
        yield found
    finally:
        httpx.HTTPTransport.handle_request = send  # type: ignore[method-assign]
        httpx.AsyncHTTPTransport.handle_async_request = send_async  # type: ignore[method-assign]


def _label(request: httpx.Request) -> str:
    asked = _OF_KUBERNETES.match(request.url.path)
    if asked is None:
        return "ray"
    verb = "watch" if "watch" in request.url.params else request.method.lower()
    return f"{verb} {asked['resource']}"


__all__ = ["CONN_ID", "WaitingClusters", "connection_to", "counted", "waiting_clusters"]
