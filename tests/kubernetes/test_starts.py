"""
Clusters that cannot start, each made so for real: named at once, failed after a patience of its own, deleted, and well
in the next try where the cause is mended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.symptoms import Trouble
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterState
from airflow_provider_air.errors import (
    AirError,
    ClusterFailedError,
    ConfigurationError,
    UnavailableError,
)
from tests.kubernetes.bench import SMALL, Bench, until

KEEP = "example.com/keep"


@pytest.fixture
def impatient_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let trouble of these words end a start-up as soon as it is seen; other trouble passes on a busy node."""

    def change(words: str) -> None:
        monkeypatch.setattr(Trouble, "is_over", lambda self, now: words in self.message)

    return change


def quota(bench: Bench) -> None:
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": bench.namespace}}
    bench.kube.admin.apply({**made, "spec": {"hard": {"requests.cpu": "100m"}}})
    until(lambda: bench.kube.admin.get("resourcequotas", "small", bench.namespace).get("status", {}).get("hard"), "it")


def restricted(bench: Bench) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    bench.kube.admin.patch("namespaces", bench.namespace, "", {"metadata": {"labels": labels}})


def nothing(bench: Bench) -> None:
    pass


HUGE = {"cpu": "500", "memory": "1500Mi"}
CASES: dict[str, tuple[Callable[[Bench], None], dict[str, Any], str]] = {
    "image": (nothing, {"image": "localhost:1/nowhere/ray:2.60.0"}, "cannot pull its image 'localhost:1/nowhere/ray"),
    "image name": (nothing, {"image": "UPPER//ray:2.60.0"}, "has an image name that is none"),
    "unschedulable": (nothing, {"head": HUGE}, "cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu"),
    "quota": (quota, {}, "exceeded quota: small"),
    "pod security": (restricted, {}, 'violates PodSecurity "restricted:latest"'),
    "account": (nothing, {"service_account_name": "nobody"}, 'serviceaccount "nobody" not found'),
    "secret": (
        nothing,
        {"env": {"TOKEN": {"secret_key_ref": {"name": "keys", "key": "token"}}}},
        'secret "keys" not found',
    ),
}


@pytest.mark.parametrize(("prepare", "spec", "words"), CASES.values(), ids=CASES)
def test_what_cannot_start_fails_by_name_and_leaves_nothing(
    bench: Bench,
    impatient_of: Callable[[str], None],
    prepare: Callable[[Bench], None],
    spec: dict[str, Any],
    words: str,
) -> None:
    prepare(bench)
    impatient_of(words)
    bench.cluster = spec

    with pytest.raises((ClusterFailedError, ConfigurationError)) as failed:
        bench.whole()

    assert words in str(failed.value)
    assert bench.phases == ["FAILED"]
    bench.assert_nothing_is_left()


def test_what_waits_for_room_says_so_and_starts_when_there_is_some(bench: Bench) -> None:
    """The retry that works is the same try: a quota may get room."""
    quota(bench)
    spec = bench.spec(name="shared")
    backend = bench.backend()
    ref = backend.ensure(spec, backend.name_of(spec, bench.key), owner=bench.owner)
    status = bench.wait_for(ref, ClusterState.STARTING, words="exceeded quota")
    assert status.retryable

    bench.kube.admin.delete("resourcequotas", "small", bench.namespace)

    bench.wait_for(ref, ClusterState.READY)


def test_an_init_container_that_fails_tells_its_last_lines(bench: Bench, impatient_of: Callable[[str], None]) -> None:
    impatient_of("init container prepare")
    init = {"name": "prepare", "image": bench.kube.ray_image, "command": ["sh", "-c", "echo no code here; exit 7"]}
    bench.cluster = {"head": {**SMALL, "template": {"spec": {"initContainers": [init]}}}}

    with pytest.raises(ClusterFailedError, match=r"(?s)init container prepare .* exit code 7.*no code here"):
        bench.whole()

    bench.assert_nothing_is_left()


def test_what_only_the_operator_refuses_fails_at_once_and_for_good(bench: Bench) -> None:
    """Nothing but an event tells of it (KubeRay 1.6)."""
    ref = bench.backend().find(bench.spec(name="shared"))
    invalid = {"image": bench.kube.ray_image, "name": "ray-head"}
    group = {"rayStartParams": {}, "template": {"spec": {"containers": [invalid]}}}
    marks = {"annotations": {}, "name": "shared", "namespace": bench.namespace}
    bench.kube.admin.apply(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": marks,
            # Token authentication without a Ray version.
            "spec": {"headGroupSpec": group, "authOptions": {"mode": "token"}},
        }
    )

    status = bench.wait_for(ref, ClusterState.FAILED)

    assert "KubeRay refuses it (InvalidRayClusterSpec)" in status.message
    assert not status.retryable


def test_a_cluster_of_somebody_else_is_neither_adopted_nor_deleted(bench: Bench) -> None:
    bench.kube.admin.apply(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": {"name": "shared", "namespace": bench.namespace},
            "spec": {
                "headGroupSpec": {
                    "rayStartParams": {},
                    "template": {"spec": {"containers": [{"name": "h", "image": bench.kube.ray_image}]}},
                }
            },
        }
    )
    bench.cluster = {"name": "shared"}

    with pytest.raises(ConfigurationError, match="not ours"):
        bench.whole()
    bench.backend().delete(bench.ref)

    assert bench.kube.admin.get("rayclusters", "shared", bench.namespace, "ray.io/v1")


def test_many_that_ask_for_one_shared_cluster_at_once_have_one(bench: Bench) -> None:
    found: list[Any] = []

    def ask(number: int) -> None:
        backend, spec = bench.backend(), bench.spec(name="shared", image="localhost:1/nowhere/ray:2.60.0")
        try:
            owner = ClusterOwner(f"deployment-{number}")
            found.append(backend.ensure(spec, backend.find(spec), owner=owner).uid)
        except AirError as error:
            found.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1, found
    assert len(bench.backend().list(where=bench.backend().find(bench.spec(name="shared")))) == 1


def test_who_shares_a_cluster_gets_the_workers_that_it_lacks_and_takes_none_away(bench: Bench) -> None:
    backend = bench.backend()

    def ensured(workers: int) -> int:
        spec = bench.spec(name="shared", image="localhost:1/nowhere/ray:2.60.0", workers=workers)
        backend.ensure(spec, backend.find(spec), owner=bench.owner)
        (group,) = bench.kube.admin.get("rayclusters", "shared", bench.namespace, of="ray.io/v1")["spec"][
            "workerGroupSpecs"
        ]
        return int(group["replicas"])

    assert [ensured(workers) for workers in (1, 3, 2)] == [1, 3, 3]


def test_what_a_foreign_finalizer_holds_is_named_and_waited_for(bench: Bench) -> None:
    backend, spec = bench.backend(), bench.spec(name="shared", image="localhost:1/nowhere/ray:2.60.0")
    ref = backend.ensure(spec, backend.find(spec), owner=bench.owner)
    bench.kube.admin.patch(
        "rayclusters", "shared", bench.namespace, {"metadata": {"finalizers": [KEEP]}}, of="ray.io/v1"
    )
    backend.delete(ref)
    status = bench.wait_for(ref, ClusterState.DELETING, words=KEEP)
    assert "not ours" in status.message
    (listed,) = backend.list(bench.owner, ref)
    assert KEEP in listed.going
    # The dying one is what is waited for, and nobody adopts it.
    assert backend.ensure(spec, backend.find(spec), owner=bench.owner) == ref

    bench.kube.admin.patch("rayclusters", "shared", bench.namespace, {"metadata": {"finalizers": None}}, of="ray.io/v1")

    bench.wait_for(ref, ClusterState.ABSENT)
    second = backend.ensure(spec, backend.find(spec), owner=bench.owner)
    assert second.uid not in ("", ref.uid)
    # By the first one's identity the second one is neither seen nor deleted.
    backend.delete(ref)
    assert backend.describe(ref).state is ClusterState.ABSENT
    assert backend.describe(second).state is ClusterState.STARTING


def test_a_namespace_that_is_going_takes_nothing_and_says_so(bench: Bench) -> None:
    metadata = {"name": "held", "namespace": bench.namespace, "finalizers": [KEEP]}
    bench.kube.admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    bench.kube.admin.delete("namespaces", bench.namespace)
    until(lambda: bench.kube.admin.get("namespaces", bench.namespace)["status"]["phase"] == "Terminating", "its end")
    backend, spec = bench.backend(), bench.spec(name="shared")
    try:
        with pytest.raises(UnavailableError, match=r"The namespace is going|may not"):
            backend.ensure(spec, backend.find(spec), owner=bench.owner)
    finally:
        bench.kube.admin.patch("configmaps", "held", bench.namespace, {"metadata": {"finalizers": None}})


@pytest.mark.full
def test_without_an_operator_a_start_says_that_nobody_looks_at_it(bench: Bench) -> None:
    bench.kube.scale_operator(0)
    try:
        backend, spec = bench.backend(), bench.spec(name="shared")
        ref = backend.ensure(spec, backend.find(spec), owner=bench.owner)
        status = bench.wait_for(ref, ClusterState.STARTING, words="does not run, or does not watch")
        assert status.retryable
    finally:
        bench.kube.scale_operator(1)
    bench.wait_for(ref, ClusterState.STARTING, ClusterState.READY, words="ready")
    backend.delete(ref)
    bench.assert_nothing_is_left()
