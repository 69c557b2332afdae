"""Pods that KubeRay replaces, where nothing starts a container again: each is new."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.kuberay.symptoms import Container
from airflow_provider_air.clusters.kuberay.trouble import worst_of
from airflow_provider_air.contracts.clusters import ClusterState
from tests.unit.clusters.kuberay import shapes
from tests.unit.clusters.kuberay.shapes import START, judged


@pytest.mark.parametrize("node_type", ["head", "worker"])
def test_pods_that_ended_once_or_twice_are_told_and_made_anew(node_type: str) -> None:
    starting = shapes.starting_cluster()
    starting["status"]["desiredWorkerReplicas"] = 1
    status = judged(starting, events=[shapes.replaced(node_type, until=40, times=2)], after=300)
    assert status.state is ClusterState.STARTING
    assert "ended 2 times, the last time with out of memory" in status.message


@pytest.mark.parametrize(("times", "state"), [(11, ClusterState.STARTING), (12, ClusterState.FAILED)])
def test_of_many_workers_each_may_end_as_often_as_one(times: int, state: ClusterState) -> None:
    starting = shapes.starting_cluster()
    starting["status"]["desiredWorkerReplicas"] = 4
    status = judged(starting, shapes.ready_pod(), events=[shapes.replaced("worker", until=40, times=times)], after=120)
    assert (status.state, f"Pods of workers ended {times} times" in status.message) == (state, True)


@pytest.mark.parametrize(
    "text",
    [
        "Deleted pod air/flights-worker-x2k9q",
        "Deleted Pod air/flights-worker-x2k9q",
        "Deleted all pods for suspended worker group workers in RayCluster air/flights",
        "Deleted worker Pod air/flights-worker-x2k9q for group workers: autoscaler scale-down request",
        "Deleted worker Pod air/flights-worker-x2k9q for group workers: cleanup of incomplete multi-host group",
        "Deleted worker Pod air/flights-worker-x2k9q for group workers: scaling down",
    ],
)
def test_workers_that_are_taken_away_have_not_crashed(text: str) -> None:
    starting = shapes.starting_cluster()
    starting["status"]["desiredWorkerReplicas"] = 1
    taken = [{**shapes.event("DeletedWorkerPod", text, is_warning=False), "count": 9}]
    assert judged(starting, shapes.ready_pod(), events=taken, after=300).message == "1 of 1 pods are ready"


@pytest.mark.parametrize(
    "text",
    [
        "The worker Pod x status is Failed which is a terminal state. KubeRay will delete the Pod",
        "The Pod status of the worker Pod x is Running. The container is unable to restart due to its restart policy",
    ],
)
def test_workers_of_several_hosts_that_ended_are_told(text: str) -> None:
    starting = shapes.starting_cluster()
    starting["status"]["desiredWorkerReplicas"] = 2
    told = shapes.event("DeletedWorkerPod", f"Deleted worker Pod air/x for group workers: {text}", is_warning=False)
    status = judged(starting, shapes.ready_pod(), events=[{**told, "count": 6}], after=300)
    assert status.state is ClusterState.FAILED
    assert "Pods of workers ended 6 times; KubeRay makes a new one each time" in status.message


def test_a_head_that_is_ready_at_last_has_not_crashed() -> None:
    head, events = shapes.ready_pod(), [shapes.replaced(times=3)]
    status = judged(shapes.starting_cluster(), head, shapes.pod(node_type="worker"), events=events, after=300)
    assert (status.state, status.message) == (ClusterState.STARTING, "1 of 2 pods are ready")


def test_heads_that_ended_before_one_ran_for_long_count_no_more() -> None:
    events = [shapes.replaced(times=9), shapes.replaced(since=700)]
    status = judged(shapes.starting_cluster(), events=events, after=800)
    assert (status.state, "ended 1 times" in status.message) == (ClusterState.STARTING, True)


def test_a_cluster_that_was_well_once_has_its_pods_replaced_without_a_word() -> None:
    events = [shapes.replaced(times=9), shapes.replaced("worker", times=9)]
    assert "ended" not in judged(shapes.ready_cluster(), shapes.pod(), events=events, after=300).message


def test_the_newest_pod_is_asked_for_the_last_lines_of_those_before() -> None:
    head = shapes.pod({"name": "ray-head", "ready": False, "state": {"running": {}}}, phase="Running")
    found = [shapes.never_restarted(head), shapes.ready_pod("worker")]
    trouble = worst_of(shapes.starting_cluster(), found, [shapes.replaced(times=3)], now=START + 100)
    assert trouble is not None
    assert trouble.container == Container("flights-head-x2k9q", "ray-head")


def test_a_rayjobs_pods_are_counted_by_the_events_of_its_cluster() -> None:
    told = shapes.replaced(times=3)
    told["involvedObject"] |= {"uid": "another", "name": "flights-abcde"}
    assert judged(shapes.job("Initializing"), events=[told], after=100).state is ClusterState.FAILED
