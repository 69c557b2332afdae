"""What is asked of a kube-apiserver to judge a cluster, and by which clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.backend import KubeRayBackend
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.connections import DictConnections
from tests.fakes.kube_api import Fault, GivenAccess, KubeApi
from tests.unit.clusters.kuberay import shapes

OWNER = ClusterOwner("tests")
SPEC = KubeRayCluster(name="flights", namespace="ns", kubernetes_conn_id="kube", image="ray:2.60.0")


@pytest.fixture
def kube() -> Iterator[KubeApi]:
    with KubeApi() as kube:
        yield kube


@pytest.fixture(autouse=True)
def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes' time began a quarter of an hour ago."""
    monkeypatch.setattr(shapes, "START", time.time() - 900)


def backend(kube: KubeApi) -> KubeRayBackend:
    return KubeRayBackend(DictConnections({("kubernetes", "kube"): GivenAccess([kube.server()])}))


def described(kube: KubeApi) -> ClusterStatus:
    found = backend(kube)
    return found.describe(found.find(SPEC))


# The events of pods


def unschedulable(number: int) -> dict[str, Any]:
    condition = shapes.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: 1 Insufficient cpu", since=2)
    worker = shapes.pod(node_type="worker", conditions=(condition,))
    worker["metadata"] |= {"name": f"worker-{number}", "uid": f"uid-of-{number}"}
    return worker


def told(reason: str, number: int) -> dict[str, Any]:
    return {
        **shapes.pod_event(reason, "", uid=f"uid-of-{number}", is_warning=False),
        "metadata": {"name": f"e{number}"},
    }


@pytest.mark.parametrize("workers", [2, 5])
def test_nodes_that_come_for_all_pods_are_seen_however_many_there_are(kube: KubeApi, workers: int) -> None:
    every = range(workers)
    shapes.hold(kube, shapes.starting_cluster(), shapes.ready_pod(), *map(unschedulable, every))
    shapes.hold(kube, *(told("TriggeredScaleUp", number) for number in every))

    assert described(kube).state is ClusterState.STARTING

    kube.remove("events", f"e{workers - 1}")
    assert described(kube).state is ClusterState.FAILED
    assert kube.count("GET", "/events") <= 2 * 4


def test_of_a_cluster_that_was_well_only_the_heads_events_are_asked_for(kube: KubeApi) -> None:
    head, lost = shapes.ready_pod(), shapes.cluster(state="ready")
    head["status"]["conditions"][-1]["status"] = "False"
    shapes.hold(kube, lost, head, *map(unschedulable, range(5)))

    assert described(kube).state is ClusterState.STARTING
    assert kube.count("GET", "/events") == 2


# What is there is adopted, or of no use


def made(spec: KubeRayCluster, **more: Any) -> dict[str, Any]:
    """A cluster that the operator never gives a status."""
    marks, one = Marks.of(OWNER, spec.fingerprint()), shapes.cluster()
    one["metadata"] |= {"labels": marks.labels(), "annotations": marks.annotations(), **more}
    return {**one, "spec": {"workerGroupSpecs": [{"groupName": "workers", "replicas": 1}]}}


def ensured(kube: KubeApi, spec: KubeRayCluster = SPEC) -> ClusterRef:
    found = backend(kube)
    return found.ensure(spec, found.find(spec), owner=OWNER)


REFUSED = shapes.event("InvalidRayClusterSpec", "the spec is invalid")


def test_what_the_operator_refused_keeps_nobody_from_the_mended_spec(kube: KubeApi) -> None:
    shapes.hold(kube, made(replace(SPEC, image="ray:2.51.0")), REFUSED)

    # The dying one is what is waited for.
    assert ensured(kube).uid == shapes.UID
    assert kube.count("DELETE", "rayclusters/flights") == 1


def test_what_nobody_has_looked_at_yet_is_adopted(kube: KubeApi) -> None:
    shapes.hold(kube, made(SPEC, creationTimestamp=shapes.at(960)), REFUSED)

    assert ensured(kube).uid == shapes.UID
    with pytest.raises(ConfigurationError, match="another spec"):
        ensured(kube, replace(SPEC, image="ray:2.55.0"))
    assert kube.count("DELETE", "") == kube.count("GET", "/events") == 0


# Expiries and leases are by the server's clock, as the clean-up judges them

ALL_RULES = {"status": {"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]}}
TTL_SECONDS, LEASE_SECONDS = 1800.0, 900.0
KEY = TaskKey("tests", "flights", "first", "train")


@pytest.mark.parametrize("ahead_seconds", [3600.0, -3600.0])
def test_a_worker_whose_clock_is_wrong_writes_until_when_a_cluster_is_wanted(
    kube: KubeApi, ahead_seconds: float
) -> None:
    kube.ahead_seconds = ahead_seconds
    kube.fail(Fault("POST", "selfsubjectrulesreviews", 201, ALL_RULES))
    found = backend(kube)

    found.extend(ensured(kube, replace(SPEC, ttl_seconds=TTL_SECONDS)), LEASE_SECONDS)

    (listed,) = found.list(where=SPEC)
    assert listed.expires_at == pytest.approx(listed.seen_at + TTL_SECONDS, abs=10)
    assert listed.leased_until == pytest.approx(listed.seen_at + LEASE_SECONDS, abs=10)


def test_the_deadlines_of_a_task_are_by_its_own_clock_and_the_expiry_is_not(kube: KubeApi) -> None:
    kube.ahead_seconds = 3600.0
    kube.fail(Fault("POST", "selfsubjectrulesreviews", 201, ALL_RULES))
    found, alone = backend(kube), replace(SPEC, name=None)
    attempt = AttemptInfo(KEY, "job", "", 0, 1, "", "", not_after=time.time() + 7200)

    ref = found.ensure(alone, found.name_of(alone, KEY, attempt), owner=ClusterOwner("tests", KEY), attempt=attempt)

    spec = kube.resources["rayjobs", "ns", ref.name]["spec"]
    assert spec["activeDeadlineSeconds"] == pytest.approx(7200 + 300, abs=10)
    (listed,) = found.list(where=SPEC)
    assert listed.expires_at == pytest.approx(listed.seen_at + 7200 + 300 + 600, abs=20)
