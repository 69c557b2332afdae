"""A RayJob on the node whose Ray is a double: what is done at Kubernetes is real, and Ray does as it is told."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ClusterNotReadyError
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.kubernetes.bench import Bench, bind, until
from tests.kubernetes.node.node import Node

TOKEN = "fake-ray-token"  # the double's


def harness_tests(suite: ModuleType) -> dict[str, Any]:
    """Give the tests of a contract's suite that run over a ``harness``, for a module that has another one."""
    return {
        name: test
        for name, test in vars(suite).items()
        if name.startswith("test_") and "harness" in inspect.signature(test).parameters
    }


@contextmanager
def ray_job(kube: Node) -> Iterator[tuple[Bench, ClusterRef]]:
    """Have a RayJob that KubeRay has begun with; its pods need not start."""
    kube.renew_operator()
    with kube.namespace() as namespace:
        bind(kube, namespace)
        bench = Bench(kube, namespace)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ray-token", "namespace": namespace}}
        kube.admin.apply({**secret, "stringData": {"auth_token": TOKEN}})
        spec = bench.spec(image="localhost:1/nowhere/ray:2.60.0", auth_options={"secret_name": "ray-token"})
        attempt = AttemptInfo(bench.key, "air-contract-g1a1-1", "run", 1, 1, "submit", "")
        backend = bench.backend()
        ref = backend.ensure(spec, backend.name_of(spec, bench.key, attempt), owner=bench.owner, attempt=attempt)

        def has_head() -> bool:
            try:
                return backend.open_transport(ref) is not None
            except ClusterNotReadyError:
                return False

        until(has_head, "the head's Service", 240)
        yield bench, ref


def at(ref: ClusterRef, head: FakeRayDashboard) -> ClusterRef:
    """Have a ref's Ray be a double."""
    return replace(ref, details={**ref.details, "reach": head.url})
