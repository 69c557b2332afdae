from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.symptoms import Container
from airflow_provider_air.clusters.kuberay.trouble import judge, worst_of
from airflow_provider_air.contracts.clusters import ClusterState
from tests.unit.clusters.kuberay import shapes
from tests.unit.clusters.kuberay.shapes import START, at, judged

LONG = 100_000


# States


def test_what_is_not_there_is_absent() -> None:
    assert judge(None, now=START).state is ClusterState.ABSENT


def test_a_cluster_whose_pods_were_all_ready_and_whose_head_is_takes_work() -> None:
    assert judge(shapes.ready_cluster(), now=START).state is ClusterState.READY
    assert judged(shapes.ready_cluster(), shapes.ready_pod()).state is ClusterState.READY


def test_an_older_operator_tells_no_conditions() -> None:
    assert judge(shapes.cluster(state="ready"), now=START).state is ClusterState.READY


def test_workers_that_come_and_go_later_change_nothing() -> None:
    lost = shapes.pod(shapes.waiting("ImagePullBackOff", "back-off"), node_type="worker")
    assert judged(shapes.ready_cluster(), shapes.ready_pod(), lost, after=LONG).state is ClusterState.READY


CANNOT_BE_SCHEDULED = shapes.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: 1 Insufficient cpu")
WORKER_TROUBLE = {
    "a worker without a node": ((), shapes.pod(node_type="worker", conditions=(CANNOT_BE_SCHEDULED,)), ()),
    "a worker without an image": ((), shapes.pod(shapes.waiting("InvalidImageName"), node_type="worker"), ()),
    "a worker that is not made": (
        (shapes.condition("ReplicaFailure", "True", "FailedCreateWorkerPod", shapes.QUOTA),),
        shapes.ready_pod("worker"),
        (),
    ),
    "a spec that was refused later": (
        (),
        shapes.ready_pod("worker"),
        (shapes.event("InvalidRayClusterSpec", "invalid"),),
    ),
}


@pytest.mark.parametrize(("more", "worker", "events"), WORKER_TROUBLE.values(), ids=WORKER_TROUBLE)
@pytest.mark.parametrize("has_conditions", [True, False])
def test_workers_of_later_do_not_fail_a_cluster_whose_head_is_busy(
    more: Any, worker: Any, events: Any, has_conditions: bool
) -> None:
    """A probe that comes late is enough for a head that is not ready."""
    provisioned = shapes.condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime")
    unready = shapes.condition("HeadPodReady", "False", "ContainersNotReady")
    busy = shapes.cluster(*((unready, provisioned, *more) if has_conditions else more), state="ready")
    head = shapes.ready_pod()
    head["status"]["conditions"][-1]["status"] = "False"
    status = judged(busy, head, worker, events=events, after=LONG)
    assert status.state is ClusterState.STARTING
    assert "its head is not ready any more" in status.message


def test_a_head_that_was_well_and_cannot_be_made_again_fails() -> None:
    lost = shapes.cluster(
        shapes.condition("ReplicaFailure", "True", "FailedCreateHeadPod", shapes.QUOTA), state="ready"
    )
    assert "exceeded quota" in judged(lost, after=10).message
    assert judged(lost, after=LONG).state is ClusterState.FAILED


def test_the_first_workers_are_waited_for() -> None:
    starting = shapes.cluster(
        shapes.condition("HeadPodReady", "True", "HeadPodRunningAndReady"),
        shapes.condition("RayClusterProvisioned", "False", "RayClusterPodsProvisioning"),
    )
    status = judged(starting, shapes.ready_pod(), shapes.pod(node_type="worker"))
    assert (status.state, status.message) == (ClusterState.STARTING, "1 of 2 pods are ready")


def test_a_head_that_is_gone_is_seen_before_the_operator_has_seen_it() -> None:
    status = judged(shapes.ready_cluster(), shapes.ready_pod("worker"))
    assert status.state is ClusterState.STARTING
    assert "head is not ready any more" in status.message


def test_a_head_that_nobody_replaces_has_failed_after_a_while() -> None:
    gone = shapes.cluster(
        shapes.condition("HeadPodReady", "False", "HeadPodNotFound", since=100),
        shapes.condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime"),
        state="ready",
    )
    assert judged(gone, after=110).state is ClusterState.STARTING
    status = judged(gone, after=200)
    assert status.state is ClusterState.FAILED
    assert "not replaced" in status.message


def test_what_is_being_deleted_says_who_holds_it() -> None:
    going = shapes.ready_cluster()
    going["metadata"] |= {"deletionTimestamp": at(9), "finalizers": ["foregroundDeletion", "example.com/keep"]}
    status = judged(going, shapes.ready_pod())
    assert status.state is ClusterState.DELETING
    assert "the finalizer example.com/keep holds it" in status.message
    assert "pods are ending" in status.message


@pytest.mark.parametrize(
    "suspended",
    [
        {**shapes.job("Suspended")},
        {**shapes.job(), "spec": {"suspend": True}},
        {**shapes.cluster(), "spec": {"suspend": True}},
        shapes.cluster(shapes.condition("RayClusterSuspended", "True", "RayClusterSuspended")),
    ],
    ids=["a RayJob", "a new RayJob", "a new RayCluster", "a RayCluster"],
)
def test_what_is_suspended_is_queued_however_long(suspended: Any) -> None:
    status = judged(suspended, after=LONG)
    assert (status.state, status.queued) == (ClusterState.STARTING, True)


# RayJobs


@pytest.mark.parametrize("deployment", ["Waiting", "Running", "Complete"])
def test_a_rayjobs_cluster_is_ready_once_kuberay_waits_for_its_job(deployment: str) -> None:
    assert judge(shapes.job(deployment), now=START).state is ClusterState.READY
    assert judged(shapes.job(deployment), shapes.ready_pod()).state is ClusterState.READY


def test_a_failed_job_does_not_make_its_cluster_fail() -> None:
    failed = shapes.job("Failed", reason="AppFailed", message="exit code 1", jobStatus="FAILED")
    assert judged(failed, shapes.ready_pod()).state is ClusterState.READY


def test_a_rayjob_that_lies_about_its_job_is_not_asked_about_it() -> None:
    lying = shapes.job("Running", jobStatus="RUNNING")
    assert judged(lying).state is ClusterState.STARTING
    assert judged(lying, shapes.pod()).state is ClusterState.STARTING


@pytest.mark.parametrize("reason", ["PreRunningDeadlineExceeded", "DeadlineExceeded"])
def test_a_rayjob_that_kuberay_has_ended_says_why(reason: str) -> None:
    status = judged(shapes.job("Failed", reason=reason, message="passed the seconds"), shapes.ready_pod())
    assert (status.state, status.retryable) == (ClusterState.FAILED, True)
    assert reason in status.message
    assert "passed the seconds" in status.message


def test_a_rayjob_whose_cluster_was_taken_down_after_its_end_has_no_cluster() -> None:
    assert judged(shapes.job("Complete")).state is ClusterState.FAILED


def test_a_rayjob_that_kuberay_refuses_is_never_tried_again() -> None:
    refused = shapes.job("ValidationFailed", reason="ValidationFailed", message="backoffLimit is incompatible")
    status = judged(refused)
    assert (status.state, status.retryable) == (ClusterState.FAILED, False)
    assert "backoffLimit is incompatible" in status.message


def test_a_starting_rayjob_tells_its_clusters_trouble() -> None:
    failure = shapes.condition("ReplicaFailure", "True", "FailedCreateHeadPod", shapes.QUOTA)
    starting = shapes.job("Initializing", rayClusterStatus={"conditions": [failure]})
    assert "exceeded quota: small" in judged(starting).message


def test_a_refused_cluster_of_a_rayjob_is_only_told_by_an_event_about_it() -> None:
    told = shapes.event("InvalidRayClusterSpec", "The RayCluster spec is invalid", uid="another", name="flights-abcde")
    status = judged(shapes.job("Initializing"), events=[told])
    assert (status.state, status.retryable) == (ClusterState.FAILED, False)


# Trouble, each at once by name, and failed after a patience of its own

IMAGE = shapes.pod(shapes.waiting("ImagePullBackOff", 'Back-off pulling image "nowhere/ray:1"'))
IMAGE_EVENT = shapes.pod_event("Failed", 'Failed to pull image "nowhere/ray:1": no such host')
UNSCHEDULABLE = shapes.pod(
    conditions=(shapes.condition("PodScheduled", "False", "Unschedulable", "0/1 nodes: 1 Insufficient cpu", since=2),)
)
CASES = {
    "quota": (shapes.cluster(shapes.condition("ReplicaFailure", "True", "F", shapes.QUOTA)), [], [], "quota", 300),
    "pod security": (
        shapes.cluster(shapes.condition("ReplicaFailure", "True", "F", shapes.POD_SECURITY)),
        [],
        [],
        "pod security refuses",
        15,
    ),
    "account": (
        shapes.cluster(shapes.condition("ReplicaFailure", "True", "F", shapes.ACCOUNT)),
        [],
        [],
        'serviceaccount "nobody" not found',
        30,
    ),
    "image": (shapes.starting_cluster(), [IMAGE], [IMAGE_EVENT], "no such host", 120),
    "image without events": (shapes.starting_cluster(), [IMAGE], [], "Back-off pulling", 120),
    "unschedulable": (shapes.starting_cluster("Unknown"), [UNSCHEDULABLE], [], "Insufficient cpu", 300),
    "secret": (
        shapes.starting_cluster(),
        [shapes.pod(shapes.waiting("CreateContainerConfigError", 'secret "keys" not found'))],
        [],
        'secret "keys" not found',
        60,
    ),
    "crash": (shapes.starting_cluster(), [shapes.pod(shapes.crashing())], [], "ended 3 times", 90),
    "init": (
        shapes.starting_cluster(),
        [shapes.pod(shapes.waiting("PodInitializing"), init=(shapes.crashing("prepare", 7),))],
        [],
        "The init container prepare of the head's pod flights-head-x2k9q ended 3 times, the last time with exit code 7",
        90,
    ),
    "volume": (
        shapes.starting_cluster(),
        [shapes.pod(shapes.waiting("ContainerCreating"))],
        [shapes.pod_event("FailedMount", 'MountVolume.SetUp failed: configmap "code" not found', until=125)],
        'configmap "code" not found',
        180,
    ),
    "network": (
        shapes.starting_cluster(),
        [shapes.pod(shapes.waiting("ContainerCreating"))],
        [shapes.pod_event("FailedCreatePodSandBox", "failed to assign an IP address to container", until=175)],
        "The head's pod flights-head-x2k9q does not get its network: failed to assign an IP address",
        180,
    ),
    "worker": (
        shapes.starting_cluster(),
        [shapes.ready_pod(), shapes.pod(shapes.waiting("ErrImagePull", "gone", "ray-worker"), node_type="worker")],
        [],
        "of the group workergroup cannot pull its image 'nowhere/ray:1': gone",
        120,
    ),
    "quota without words": (
        shapes.cluster(shapes.condition("ReplicaFailure", "True", "F", f"FailedCreateHeadPod\n{shapes.UNSPECIFIED}")),
        [],
        [],
        f"The namespace's quota wants limits or requests that a container does not have: {shapes.UNSPECIFIED}",
        15,
    ),
    "a policy's text of many lines": (
        shapes.cluster(shapes.condition("ReplicaFailure", "True", "F", f"FailedCreateHeadPod\n{shapes.KYVERNO}")),
        [],
        [],
        f"KubeRay cannot create what it needs: {' '.join(shapes.KYVERNO.split())}",
        90,
    ),
    "a policy's text of two lines by an event": (
        shapes.cluster(),
        [],
        [shapes.event("FailedToCreateHeadPod", f"Failed to create head Pod air/flights, {shapes.GATEKEEPER}")],
        "denied the request: [cost] no team label [registry] image from docker.io is not allowed",
        90,
    ),
    "autoscaler": (
        shapes.starting_cluster(),
        [shapes.never_restarted(shapes.pod(shapes.ended("autoscaler", 137, "OOMKilled"), phase="Running"))],
        [],
        "The container autoscaler of the head's pod flights-head-x2k9q ended with out of memory, and nothing starts it",
        90,
    ),
    "autoscaler that leaves": (
        shapes.starting_cluster(),
        [shapes.never_restarted(shapes.pod(shapes.ended("autoscaler", 0, "Completed"), phase="Running"))],
        [],
        "ended with exit code 0, and nothing starts it",
        90,
    ),
    "init that is not tried again": (
        shapes.starting_cluster(),
        [shapes.never_restarted(shapes.pod(init=(shapes.ended("prepare", 7),)))],
        [],
        "The init container prepare of the head's pod flights-head-x2k9q ended with exit code 7, and nothing starts it",
        90,
    ),
    "pods that are replaced": (
        shapes.starting_cluster(),
        [],
        [shapes.replaced(until=9, times=3)],
        "The head's pod ended 3 times, the last time with out of memory; KubeRay makes a new one each time",
        90,
    ),
    "failed": (
        shapes.starting_cluster(),
        [shapes.pod(shapes.ended("autoscaler", 1, at_second=4), shapes.ended("ray-head", 3), phase="Failed")],
        [],
        "The head's pod flights-head-x2k9q has failed: its container ray-head ended with exit code 3",
        90,
    ),
    "evicted": (
        shapes.starting_cluster(),
        [shapes.pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")],
        [],
        "low on resource: memory",
        90,
    ),
    "no operator": (shapes.cluster(), [], [], "operator has not looked at it", 240),
    "no pod by an event": (
        shapes.cluster(),
        [],
        [shapes.event("FailedToCreateHeadPod", f"Failed to create head Pod air/flights, {shapes.QUOTA}")],
        "exceeded quota",
        300,
    ),
}


@pytest.mark.parametrize(("resource", "pods", "events", "words", "patience"), CASES.values(), ids=CASES)
def test_trouble_is_named_at_once_and_ends_the_start_after_its_patience(
    resource: Any, pods: Any, events: Any, words: str, patience: float
) -> None:
    soon = judged(resource, *pods, events=events, after=10)
    assert soon.state is ClusterState.STARTING
    assert words in soon.message
    assert judged(resource, *pods, events=events, after=patience - 1).state is ClusterState.STARTING
    late = judged(resource, *pods, events=events, after=patience + 4)
    assert late.state is ClusterState.FAILED
    assert words in late.message


@pytest.mark.parametrize("reason", ["InvalidRayClusterMetadata", "InvalidRayClusterSpec", "InvalidRayJobSpec"])
def test_what_the_operator_refuses_fails_at_once_and_for_good(reason: str) -> None:
    refused = shapes.event(reason, "name should be no more than 53 characters")
    status = judged(shapes.cluster(), events=[refused], after=3)
    assert (status.state, status.retryable) == (ClusterState.FAILED, False)
    assert "no more than 53 characters" in status.message


def test_an_image_name_that_is_none_fails_at_once_and_for_good() -> None:
    status = judged(shapes.starting_cluster(), shapes.pod(shapes.waiting("InvalidImageName", "couldn't parse")))
    assert (status.state, status.retryable) == (ClusterState.FAILED, False)


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        ("quota", True),
        ("image", True),
        ("pod security", False),
        ("quota without words", False),
        ("pods that are replaced", True),
    ],
)
def test_whether_the_same_wish_may_work_later_is_told(kind: str, retryable: bool) -> None:
    resource, pods, events, _, _ = CASES[kind]
    assert judged(resource, *pods, events=events, after=LONG).retryable is retryable


def test_a_node_that_is_on_its_way_is_waited_for() -> None:
    comes = shapes.pod_event("TriggeredScaleUp", "pod triggered scale-up")
    assert judged(shapes.starting_cluster(), UNSCHEDULABLE, events=[comes], after=LONG).state is ClusterState.STARTING


def test_a_node_that_nobody_will_add_is_not_waited_for_long() -> None:
    never = shapes.pod_event("NotTriggerScaleUp", "pod didn't trigger scale-up")
    assert judged(shapes.starting_cluster(), UNSCHEDULABLE, events=[never], after=70).state is ClusterState.FAILED


def test_what_ended_for_want_of_memory_says_so() -> None:
    killed = shapes.pod(shapes.crashing(exit_code=137, reason="OOMKilled"))
    assert "out of memory" in judged(shapes.starting_cluster(), killed).message


def test_who_has_crashed_can_be_asked_for_its_last_lines() -> None:
    crashed = shapes.pod(shapes.waiting("PodInitializing"), init=(shapes.crashing("prepare"),))
    trouble = worst_of(shapes.starting_cluster(), [crashed], [], now=START)
    assert trouble is not None
    assert trouble.container is not None
    assert (trouble.container.pod, trouble.container.name) == ("flights-head-x2k9q", "prepare")
    assert trouble.container.previous


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_container_that_ended_once_or_twice_is_told_and_started_again(restarts: int) -> None:
    """A node under load lets Ray time out at its start."""
    ended = shapes.pod(shapes.crashing(restarts=restarts))
    status = judged(shapes.starting_cluster(), ended, after=LONG)
    assert status.state is ClusterState.STARTING
    assert f"ended {restarts} times" in status.message


def test_what_the_kubelet_starts_again_by_a_containers_own_policy_is_no_crash() -> None:
    head = shapes.never_restarted(shapes.pod(init=(shapes.ended("mesh"),)))
    head["spec"]["initContainers"] = [{"name": "mesh", "restartPolicy": "Always"}]
    assert judged(shapes.starting_cluster(), head, after=LONG).message == "0 of 1 pods are ready"


def test_an_init_container_that_has_done_its_work_is_no_crash() -> None:
    head = shapes.never_restarted(shapes.pod(init=(shapes.ended("prepare", 0, "Completed"),)))
    assert judged(shapes.starting_cluster(), head, after=LONG).message == "0 of 1 pods are ready"


def test_of_two_containers_that_ended_the_first_is_told() -> None:
    """Kubernetes tells of containers by the order of their names."""
    head = shapes.pod(shapes.ended("autoscaler", 1, at_second=5), shapes.ended("ray-head", 7))
    trouble = worst_of(shapes.starting_cluster(), [shapes.never_restarted(head)], [], now=START + 9)
    assert trouble is not None
    assert trouble.container == Container("flights-head-x2k9q", "ray-head")


def test_a_probe_that_fails_while_ray_starts_is_no_trouble() -> None:
    unhealthy = shapes.pod_event("Unhealthy", "Readiness probe failed", since=-500)
    crashed = shapes.pod(shapes.crashing())
    assert judged(shapes.starting_cluster(), crashed, events=[unhealthy], after=60).state is ClusterState.STARTING


SCHEDULED_LATE = (shapes.condition("PodScheduled", "True", since=400),)
NO_NODE = shapes.pod_event("FailedScheduling", "0/1 nodes are available", since=2, until=390)


@pytest.mark.parametrize(
    ("container", "told", "patience"),
    [
        (
            shapes.waiting("ErrImagePull", "timeout"),
            [shapes.pod_event("Failed", "Failed to pull image", since=405)],
            120,
        ),
        (shapes.waiting("ImagePullBackOff", "back-off"), [], 115),
        (
            shapes.waiting("CreateContainerConfigError", 'secret "keys" not found'),
            [
                shapes.pod_event("Failed", "Failed to pull image", since=401),
                shapes.pod_event("Failed", 'Error: secret "keys" not found', since=405),
            ],
            60,
        ),
        (
            shapes.crashing(),
            [
                shapes.pod_event("BackOff", "Back-off pulling image", since=401),
                shapes.pod_event("BackOff", "Back-off restarting failed container", since=405),
            ],
            90,
        ),
    ],
    ids=["image", "image without events", "secret", "crash"],
)
def test_a_trouble_counts_from_its_own_beginning_on(container: Any, told: Any, patience: float) -> None:
    """Not from that of another one, which is over: here there was no node for long."""
    head, events = shapes.pod(container, conditions=SCHEDULED_LATE), [NO_NODE, *told]
    first, last = 406, 405 + patience
    assert judged(shapes.starting_cluster(), head, events=events, after=first).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), head, events=events, after=last - 1).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), head, events=events, after=last).state is ClusterState.FAILED


def test_what_ran_well_for_long_counts_from_its_last_end_on() -> None:
    ended = shapes.crashing()
    ended["lastState"]["terminated"] |= {"startedAt": at(1000), "finishedAt": at(9000)}
    assert judged(shapes.starting_cluster(), shapes.pod(ended), after=9080).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), shapes.pod(ended), after=9095).state is ClusterState.FAILED


def test_a_pod_that_failed_late_counts_from_then_on() -> None:
    ended = {"name": "ray-head", "state": {"terminated": {"exitCode": 1, "finishedAt": at(900)}}}
    failed = shapes.pod(ended, phase="Failed")
    assert judged(shapes.starting_cluster(), failed, after=950).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), failed, after=1000).state is ClusterState.FAILED


MULTI_ATTACH = shapes.pod_event("FailedAttachVolume", "Multi-Attach error for volume", since=5)


@pytest.mark.parametrize(
    ("conditions", "later"),
    [
        ((shapes.condition("PodReadyToStartContainers", "True", since=16),), []),
        ((), [shapes.pod_event("SuccessfulAttachVolume", "AttachVolume.Attach succeeded", since=15, is_warning=False)]),
        ((), [shapes.pod_event("Pulling", "Pulling image", since=16, is_warning=False)]),
    ],
    ids=["ready for containers", "attached", "pulling"],
)
def test_a_volume_that_came_late_is_no_trouble_any_more(conditions: Any, later: Any) -> None:
    head = shapes.pod(
        shapes.waiting("ContainerCreating"), conditions=(shapes.condition("PodScheduled", "True", since=2), *conditions)
    )
    status = judged(shapes.starting_cluster(), head, events=[MULTI_ATTACH, *later], after=190)
    assert status.state is ClusterState.STARTING
    assert "does not get its volumes" not in status.message


def test_a_volume_that_another_node_keeps_is_told_once_and_fails_all_the_same() -> None:
    head = shapes.pod(shapes.waiting("ContainerCreating"))
    assert judged(shapes.starting_cluster(), head, events=[MULTI_ATTACH], after=170).state is ClusterState.STARTING
    for later in (190, 600):
        status = judged(shapes.starting_cluster(), head, events=[MULTI_ATTACH], after=later)
        assert (status.state, "Multi-Attach" in status.message) == (ClusterState.FAILED, True)


@pytest.mark.parametrize("every", [12, 30, 60, 250])
def test_what_is_told_each_time_in_other_words_counts_from_its_first_time_on(every: int) -> None:
    """A network plug-in's errors name each sandbox, so none of its events is old."""
    head = shapes.pod(shapes.waiting("ContainerCreating"))
    events = [
        shapes.pod_event("FailedCreatePodSandBox", f"sandbox {number}: no address", since=5 + number * every)
        for number in range(1 + 185 // every)
    ]
    assert judged(shapes.starting_cluster(), head, events=events, after=170).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), head, events=events, after=190).state is ClusterState.FAILED


def test_a_name_with_pull_in_it_is_no_trouble_with_images() -> None:
    ended = shapes.pod(shapes.crashing())
    words = "Back-off restarting failed container ray-head in pod pull-flights-head-x_ns(uid)"
    back_off = shapes.pod_event("BackOff", words, since=306, until=340)
    assert judged(shapes.starting_cluster(), ended, events=[back_off], after=342).state is ClusterState.STARTING


def test_a_second_volume_that_does_not_come_counts_from_the_first_ones_coming_on() -> None:
    head = shapes.pod(shapes.waiting("ContainerCreating"))
    attached = shapes.pod_event("SuccessfulAttachVolume", "succeeded", since=100, is_warning=False)
    events = [MULTI_ATTACH, attached, shapes.pod_event("FailedMount", "timed out", since=4, until=250)]
    assert "timed out" in judged(shapes.starting_cluster(), head, events=events, after=275).message
    assert judged(shapes.starting_cluster(), head, events=events, after=275).state is ClusterState.STARTING
    assert judged(shapes.starting_cluster(), head, events=events, after=290).state is ClusterState.FAILED


def test_of_two_troubles_the_one_is_told_that_ends_the_start_first() -> None:
    worker = shapes.pod(shapes.waiting("InvalidImageName", "couldn't parse"), node_type="worker")
    assert "couldn't parse" in judged(shapes.starting_cluster(), UNSCHEDULABLE, worker).message


def test_a_warning_of_no_known_kind_is_told() -> None:
    told = [
        shapes.pod_event("Scheduled", "assigned", since=2, is_warning=False),
        shapes.pod_event("NetworkNotReady", "cni config uninitialized", since=3),
        shapes.pod_event("Unhealthy", "Readiness probe failed: wget: not found", since=5),
    ]
    starting = shapes.starting_cluster(), shapes.pod(shapes.waiting("ContainerCreating"))

    known = "0 of 1 pods are ready; The head's pod flights-head-x2k9q: "
    assert judged(*starting, events=told[:2]).message == f"{known}NetworkNotReady: cni config uninitialized"
    assert judged(*starting, events=told, after=60).message == "0 of 1 pods are ready"
    assert judged(*starting, events=told, after=70).message.startswith(f"{known}Unhealthy: Readiness")
    assert judged(*starting, events=told, after=400).message == "0 of 1 pods are ready"
    mended = shapes.pod_event("Started", "Started container", since=8, is_warning=False)
    assert judged(*starting, events=[*told, mended], after=70).message == "0 of 1 pods are ready"


def test_trouble_of_others_is_not_ours() -> None:
    theirs = [
        shapes.event("InvalidRayClusterSpec", "invalid", uid="another"),
        shapes.pod_event("Failed", "Failed to pull image", uid="another"),
    ]
    assert judged(shapes.starting_cluster(), shapes.pod(), events=theirs).message == "0 of 1 pods are ready"


def test_a_container_that_starts_is_no_trouble() -> None:
    pods = [
        shapes.pod(shapes.waiting("ContainerCreating")),
        shapes.pod(shapes.waiting("PodInitializing"), init=(shapes.waiting("PodInitializing"),), node_type="worker"),
    ]
    assert judged(shapes.starting_cluster(), *pods, after=LONG).state is ClusterState.STARTING


def test_a_failure_carries_the_conditions() -> None:
    resource, pods, events, _, _ = CASES["image"]
    assert "HeadPodReady=False/ContainersNotReady" in judged(resource, *pods, events=events, after=LONG).message


@pytest.mark.parametrize(
    "odd",
    [
        {"kind": "RayCluster"},
        {"kind": "RayJob", "metadata": None, "status": None, "spec": None},
        {"kind": "RayCluster", "metadata": {"creationTimestamp": "yesterday"}, "status": {"conditions": None}},
        {"kind": "RayJob", "status": {"jobDeploymentStatus": "Dreaming", "rayClusterStatus": None}},
    ],
)
def test_odd_resources_are_judged_all_the_same(odd: Any) -> None:
    status = judged(odd, {"metadata": None, "status": None}, events=[{}, {"involvedObject": None}], after=LONG)
    assert status.state in ClusterState
