"""
Judges a cluster by what Kubernetes tells of it: its resource, its pods, and the events about both. Pure.

A RayJob's word about its *job* is never asked: it says RUNNING for ever after a lost head, and Complete for a job that
was stopped (KubeRay 1.6.1). What it says of its cluster is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_air.clusters.kuberay.events import (
    Resource,
    events_about,
    first_seen,
    last_seen,
    moment,
)
from airflow_provider_air.clusters.kuberay.replaced import of_replaced
from airflow_provider_air.clusters.kuberay.symptoms import (
    GONE,
    OPERATOR_AWAY,
    REFUSED,
    TOLD_AGAIN_SECONDS,
    Trouble,
    conditions_of,
    is_head,
    is_ready,
    name_of,
    of_creation,
    of_pod,
)
from airflow_provider_air.contracts.clusters import ClusterState, ClusterStatus
from airflow_provider_air.drivers.wire.texts import shortened

MOST_CHARACTERS = 2000
RAY_JOB = "RayJob"
# While Ray starts its probes fail.
PROBED_SECONDS = 60.0
# RayJobs whose cluster has all its first pods, or had them.
PROVISIONED = ("Waiting", "Running", "Complete", "Failed")
# The operator's own word on what it will not touch; it never looks again until somebody edits the resource.
INVALID_EVENTS = (
    "InvalidRayClusterMetadata",
    "InvalidRayClusterSpec",
    "InvalidRayJobMetadata",
    "InvalidRayJobSpec",
)
CREATION_EVENTS = (
    "FailedToCreateHeadPod",
    "FailedToCreateWorkerPod",
    "FailedToCreateRayCluster",
    "FailedToCreateService",
    "AutoscalerServiceAccountNotFound",
)
# With a finalizer, Kubernetes or KubeRay says what it does before a resource may go.
FINALIZERS = {
    "foregroundDeletion": "its pods are ending",
    "ray.io/rayjob-finalizer": "KubeRay's operator has to let it go (ray.io/rayjob-finalizer)",
    "ray.io/gcs-ft-redis-cleanup-finalizer": "KubeRay cleans up in Redis (ray.io/gcs-ft-redis-cleanup-finalizer)",
}


def judge(
    resource: Resource | None,
    pods: Sequence[Resource] | None = None,
    events: Sequence[Resource] = (),
    *,
    now: float,
) -> ClusterStatus:
    """
    Say how a cluster is.

    READY says that Kubernetes thinks so: whether Ray answers is another question.

    :param resource: the RayCluster or RayJob; None where there is none
    :param pods: of its cluster; None where nobody has looked
    :param events: about the resource and its pods, or of the whole namespace
    :param now: epoch seconds by the API server's clock
    """
    if resource is None:
        return ClusterStatus(ClusterState.ABSENT)
    if (resource.get("metadata") or {}).get("deletionTimestamp"):
        return ClusterStatus(ClusterState.DELETING, _deleting(resource))
    if is_queued(resource):
        return ClusterStatus(ClusterState.STARTING, "it is suspended, and waits for its turn", queued=True)
    if (ended := _ended(resource, pods)) is not None:
        return ended
    if _is_ready(resource, pods):
        return ClusterStatus(ClusterState.READY, "its first pods are ready")
    trouble = worst_of(resource, pods or (), events, now=now)
    if trouble is None:
        text = _progress(resource, pods) + _last_warning(awaited_pods(resource, pods or ()), events, now=now)
        return ClusterStatus(ClusterState.STARTING, shortened(text, MOST_CHARACTERS))
    state = ClusterState.FAILED if trouble.is_over(now) else ClusterState.STARTING
    message = trouble.message if state is ClusterState.STARTING else _with_conditions(resource, trouble.message)
    return ClusterStatus(state, shortened(message, MOST_CHARACTERS), retryable=trouble.kind.retryable)


def worst_of(resource: Resource, pods: Sequence[Resource], events: Sequence[Resource], *, now: float) -> Trouble | None:
    """Give the trouble that ends a start-up first, or None where there is none."""
    found = [*_of_resource(resource, events, now=now)]
    for pod in awaited_pods(resource, pods):
        if (trouble := of_pod(pod, events, now=now)) is not None:
            found.append(trouble)
    if not is_provisioned(resource):
        workers = int(cluster_status_of(resource).get("desiredWorkerReplicas") or 0)
        found += of_replaced(events_about(events, *_uids(resource, events)), pods, workers=workers, now=now)
    return min(found, key=lambda one: one.ends_at(now), default=None)


def awaited_pods(resource: Resource, pods: Sequence[Resource]) -> list[Resource]:
    """
    Give the pods that keep a cluster from being ready, the head's first.

    Of one whose first pods were all ready once that is the head's alone: the workers of later come when there is room.
    """
    was_well = is_provisioned(resource)
    found = [pod for pod in pods if not is_ready(pod) and (is_head(pod) or not was_well)]
    return sorted(found, key=is_head, reverse=True)


def is_queued(resource: Resource) -> bool:
    """Whether it is suspended: it has no pods, and waits for somebody to let it start."""
    if resource.get("kind") == RAY_JOB:
        return _deployment_status(resource) in ("Suspended", "Suspending") or _is_suspended(resource)
    suspended = (conditions_of(resource).get("RayClusterSuspended") or {}).get("status") == "True"
    return suspended or _is_suspended(resource)


def cluster_status_of(resource: Resource) -> Resource:
    """Give the RayCluster's status, of a RayJob the copy that KubeRay writes until the cluster is ready."""
    status: Resource = resource.get("status") or {}
    return status.get("rayClusterStatus") or {} if resource.get("kind") == RAY_JOB else status


def ray_cluster_name(resource: Resource) -> str | None:
    """Give the name of the RayCluster: a RayJob's is KubeRay's own, and None until it has one."""
    if resource.get("kind") == RAY_JOB:
        return (resource.get("status") or {}).get("rayClusterName") or None
    return str((resource.get("metadata") or {}).get("name"))


# States


def _is_suspended(resource: Resource) -> bool:
    return (resource.get("spec") or {}).get("suspend") is True


def _deployment_status(resource: Resource) -> str:
    return str((resource.get("status") or {}).get("jobDeploymentStatus") or "")


def _deleting(resource: Resource) -> str:
    metadata = resource.get("metadata") or {}
    held = [
        FINALIZERS.get(name) or f"the finalizer {name} holds it, which is not ours to remove"
        for name in metadata.get("finalizers") or ()
    ]
    # What somebody else holds matters most: nobody but them can end that.
    held.sort(key=lambda words: "not ours" not in words)
    return f"it is being deleted since {metadata['deletionTimestamp']}" + (f": {'; '.join(held)}" if held else "")


def _ended(resource: Resource, pods: Sequence[Resource] | None) -> ClusterStatus | None:
    """Judge a RayJob that KubeRay has done with: of its job Ray's word counts, as long as there is a Ray."""
    if resource.get("kind") != RAY_JOB:
        return None
    status, found = resource.get("status") or {}, _deployment_status(resource)
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if found == "ValidationFailed":
        text = f"KubeRay refuses the RayJob: {message or reason}"
        return ClusterStatus(ClusterState.FAILED, shortened(text, MOST_CHARACTERS), retryable=False)
    if found == "Failed" and reason not in ("AppFailed", ""):
        text = f"KubeRay has ended the RayJob ({reason}): {message}"
        return ClusterStatus(ClusterState.FAILED, shortened(text, MOST_CHARACTERS))
    if found in ("Complete", "Failed") and pods is not None and not any(map(is_head, pods)):
        return ClusterStatus(ClusterState.FAILED, f"KubeRay has taken its cluster down: the RayJob is {found}")
    return None


def _is_ready(resource: Resource, pods: Sequence[Resource] | None) -> bool:
    """Whether all first pods were ready once, and the head is now."""
    if not is_provisioned(resource):
        return False
    if pods is not None:
        return any(is_ready(pod) for pod in pods if is_head(pod))
    if resource.get("kind") == RAY_JOB:
        return True
    head = conditions_of(resource).get("HeadPodReady")
    return head is None or head.get("status") == "True"


def is_provisioned(resource: Resource) -> bool:
    """Whether all pods that it starts with were ready once."""
    if resource.get("kind") == RAY_JOB:
        return _deployment_status(resource) in PROVISIONED and ray_cluster_name(resource) is not None
    provisioned = (conditions_of(resource).get("RayClusterProvisioned") or {}).get("status") == "True"
    return provisioned or (resource.get("status") or {}).get("state") == "ready"


# Trouble


def _of_resource(resource: Resource, events: Sequence[Resource], *, now: float) -> Iterator[Trouble]:
    status, metadata = cluster_status_of(resource), resource.get("metadata") or {}
    warnings = [one for one in events_about(events, *_uids(resource, events)) if one.get("type") == "Warning"]
    conditions = {str(one.get("type")): one for one in status.get("conditions") or ()}
    failure, was_well = conditions.get("ReplicaFailure") or {}, is_provisioned(resource)
    if failure.get("status") == "True" and not (was_well and "Worker" in str(failure.get("reason"))):
        yield of_creation(str(failure.get("message")), moment(failure.get("lastTransitionTime")))
        return
    if conditions or was_well:
        yield from _of_lost_head(resource, conditions)
        return
    for event in reversed(warnings):
        reason, text = str(event.get("reason")), str(event.get("message"))
        if reason in INVALID_EVENTS:
            yield Trouble(REFUSED, f"KubeRay refuses it ({reason}): {text}", first_seen(event))
            return
        if reason in CREATION_EVENTS:
            yield of_creation(text, first_seen(event))
            return
    if not resource.get("status"):
        made = moment(metadata.get("creationTimestamp"))
        what = "KubeRay's operator has not looked at it: it does not run, or does not watch this namespace"
        if made is not None and now - made > 5:
            yield Trouble(OPERATOR_AWAY, what, made)


def _of_lost_head(resource: Resource, conditions: dict[str, Resource]) -> Iterator[Trouble]:
    """A head that was there and is not, which KubeRay replaces at once where it runs."""
    head = conditions.get("HeadPodReady") or {}
    if is_provisioned(resource) and head.get("reason") == "HeadPodNotFound":
        what = "The head's pod is gone, and KubeRay has not replaced it"
        yield Trouble(GONE, what, moment(head.get("lastTransitionTime")))


def _uids(resource: Resource, events: Sequence[Resource]) -> Iterator[Any]:
    """Give the UID of a resource, and of a RayJob's RayCluster, which only its events tell."""
    yield (resource.get("metadata") or {}).get("uid")
    name = ray_cluster_name(resource)
    if resource.get("kind") != RAY_JOB or name is None:
        return
    for event in events:
        about = event.get("involvedObject") or {}
        if about.get("kind") == "RayCluster" and about.get("name") == name:
            yield about.get("uid")


# Words


def _progress(resource: Resource, pods: Sequence[Resource] | None) -> str:
    """Say how far a start-up is where nothing is wrong."""
    if not resource.get("status"):
        return "KubeRay's operator has not looked at it yet"
    if pods:
        ready = sum(map(is_ready, pods))
        if is_provisioned(resource):
            return f"its head is not ready any more: {ready} of {len(pods)} pods are"
        return f"{ready} of {len(pods)} pods are ready"
    head = {str(one.get("type")): one for one in cluster_status_of(resource).get("conditions") or ()}.get(
        "HeadPodReady"
    )
    if head is not None and head.get("status") != "True":
        reason, message = str(head.get("reason") or ""), str(head.get("message") or "")
        told = " ".join(part for part in (reason if reason != "Unknown" else "", message) if part)
        return f"its head is not ready{f' yet: {told}' if told else ' yet'}"
    return "its pods are starting"


def _last_warning(pods: Sequence[Resource], events: Sequence[Resource], *, now: float) -> str:
    """Say what the newest event about a pod warns of, as no kind of trouble does; what came after it has mended it."""
    found = []
    for pod in pods:
        last = max(events_about(events, (pod.get("metadata") or {}).get("uid")), key=last_seen, default={})
        is_early = last.get("reason") == "Unhealthy" and now - (first_seen(last) or now) < PROBED_SECONDS
        if last.get("type") == "Warning" and not is_early and now - last_seen(last) < TOLD_AGAIN_SECONDS:
            found.append((last_seen(last), f"; {name_of(pod)}: {last.get('reason')}: {last.get('message')}"))
    return max(found, default=(0.0, ""))[1]


def _with_conditions(resource: Resource, message: str) -> str:
    told = [
        f"{one.get('type')}={one.get('status')}/{one.get('reason')}"
        for one in cluster_status_of(resource).get("conditions") or ()
    ]
    return message + (f" (conditions: {', '.join(told)})" if told else "")
