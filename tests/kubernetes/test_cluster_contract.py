"""The contract of cluster back ends, over KubeRay on the node."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, cast

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState
from tests.contract import test_cluster_backend as suite
from tests.contract.test_cluster_backend import KEY, NAME, NEVER, OWNER, Harness
from tests.kubernetes.bench import SMALL, Bench, bind
from tests.kubernetes.node.node import Node

# Those of the suite that are for every back end.
globals().update(
    {
        name: test
        for name, test in vars(suite).items()
        if name.startswith("test_") and "harness" in inspect.signature(test).parameters
    }
)


@pytest.fixture(scope="module")
def harness(kube: Node) -> Iterator[Harness]:
    """A live RayCluster, as a user who has the documented Role."""
    kube.renew_operator()
    with kube.namespace() as namespace:
        bind(kube, namespace)
        bench = Bench(kube, namespace)
        bench.key = KEY
        backend, spec = bench.backend(), bench.spec(name=NAME)
        ref = backend.ensure(spec, backend.name_of(spec, KEY), owner=OWNER)
        bench.wait_for(ref, ClusterState.READY)

        def disposable() -> ClusterRef:
            # It need not start for that.
            second = bench.spec(name=f"{NAME}-2", image="localhost:1/nowhere/ray:2.60.0")
            return backend.ensure(second, backend.find(second), owner=OWNER)

        def answer() -> None:
            kube.start_part("kube-apiserver")
            kube.wait_answering()

        token = str(backend.open_transport(ref).headers["X-Ray-Authorization"])
        yield Harness(
            cast(Any, backend),
            spec,
            ref,
            (token.removeprefix("Bearer "), kube.credentials.tokens["airflow"]),
            unnamed=bench.spec(),
            other=bench.spec(name=NAME, head={**SMALL, "cpu": "300m"}),
            never=bench.spec(name=NEVER),
            disposable=disposable,
            silence=lambda: kube.kill("kube-apiserver"),
            answer=answer,
        )
