"""Resources, pods and events in the shapes that a kube-apiserver 1.35 with KubeRay 1.6.1 gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_air.clusters.kuberay.trouble import judge
from airflow_provider_air.contracts.clusters import ClusterStatus
from tests.fakes.kube_api import KubeApi

PLURALS = {"RayCluster": "rayclusters", "RayJob": "rayjobs", "Pod": "pods", "Event": "events"}
START = 1_800_000_000.0
UID = "11111111-2222-3333-4444-555555555555"
POD_UID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
QUOTA = (
    'pods "flights-head-x2k9q" is forbidden: exceeded quota: small, requested: requests.cpu=1, '
    "used: requests.cpu=0, limited: requests.cpu=500m"
)
POD_SECURITY = (
    'pods "flights-head-x2k9q" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != '
    'false (container "ray-head" must set securityContext.allowPrivilegeEscalation=false)'
)
ACCOUNT = (
    'pods "flights-head-x2k9q" is forbidden: error looking up service account air/nobody: '
    'serviceaccount "nobody" not found'
)
UNSPECIFIED = (
    'pods "flights-head-x2k9q" is forbidden: failed quota: small: must specify limits.cpu for: sidecar; '
    "limits.memory for: sidecar"
)
KYVERNO = (
    'admission webhook "validate.kyverno.svc-fail" denied the request: \n\nresource Pod/air/flights-head was blocked '
    "due to the following policies \n\nrequire-team:\n  check-team: 'validation error: label team is required.'\n"
)
GATEKEEPER = (
    'admission webhook "validation.gatekeeper.sh" denied the request: [cost] no team label\n'
    "[registry] image from docker.io is not allowed"
)


def at(seconds: float) -> str:
    """Write a moment so many seconds after :data:`START`."""
    return datetime.fromtimestamp(START + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, status: str, reason: str = "", message: str = "", since: float = 1) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(since)}


def cluster(*conditions: dict[str, Any], **status: Any) -> dict[str, Any]:
    """A RayCluster; without conditions and status one that no operator has looked at."""
    told = {**({"conditions": list(conditions)} if conditions else {}), **status}
    metadata = {"name": "flights", "namespace": "air", "uid": UID, "creationTimestamp": at(0)}
    return {"kind": "RayCluster", "metadata": metadata, "spec": {}, **({"status": told} if told else {})}


def ready_cluster() -> dict[str, Any]:
    return cluster(
        condition("HeadPodReady", "True", "HeadPodRunningAndReady"),
        condition("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime"),
        state="ready",
        head={"serviceName": "flights-head-svc"},
    )


def starting_cluster(reason: str = "ContainersNotReady", message: str = "") -> dict[str, Any]:
    return cluster(
        condition("HeadPodReady", "False", reason, message),
        condition("RayClusterProvisioned", "False", "RayClusterPodsProvisioning"),
    )


def job(deployment: str = "", *, reason: str = "", message: str = "", **status: Any) -> dict[str, Any]:
    """A RayJob."""
    told: dict[str, Any] = {**status}
    if deployment:
        told |= {"jobDeploymentStatus": deployment, "rayClusterName": "flights-abcde"}
    if reason:
        told |= {"reason": reason, "message": message}
    metadata = {"name": "flights", "namespace": "air", "uid": UID, "creationTimestamp": at(0)}
    return {"kind": "RayJob", "metadata": metadata, "spec": {}, **({"status": told} if told else {})}


def pod(
    *statuses: dict[str, Any],
    node_type: str = "head",
    phase: str = "Pending",
    conditions: tuple[dict[str, Any], ...] = (),
    init: tuple[dict[str, Any], ...] = (),
    **status: Any,
) -> dict[str, Any]:
    labels = {"ray.io/node-type": node_type, "ray.io/cluster": "flights", "ray.io/group": f"{node_type}group"}
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"flights-{node_type}-x2k9q",
            "namespace": "air",
            "uid": POD_UID if node_type == "head" else f"{POD_UID}-{node_type}",
            "labels": labels,
            "creationTimestamp": at(1),
        },
        "status": {
            "phase": phase,
            "conditions": list(conditions or (condition("PodScheduled", "True", since=2),)),
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **status,
        },
    }


def ready_pod(node_type: str = "head") -> dict[str, Any]:
    running = {"name": f"ray-{node_type}", "ready": True, "restartCount": 0, "state": {"running": {}}}
    scheduled = (condition("PodScheduled", "True", since=2), condition("Ready", "True", since=12))
    return pod(running, node_type=node_type, phase="Running", conditions=scheduled)


def waiting(reason: str, message: str = "", name: str = "ray-head", **more: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": name, "image": "nowhere/ray:1", "ready": False, "restartCount": 0, "state": state, **more}


def crashing(name: str = "ray-head", exit_code: int = 1, reason: str = "Error", restarts: int = 3) -> dict[str, Any]:
    last = {"terminated": {"exitCode": exit_code, "reason": reason}}
    return waiting("CrashLoopBackOff", "back-off 40s", name, restartCount=restarts, lastState=last)


def ended(name: str, exit_code: int = 1, reason: str = "Error", *, at_second: float = 3) -> dict[str, Any]:
    """A container that ended and was never started again."""
    end = {"exitCode": exit_code, "reason": reason, "startedAt": at(2), "finishedAt": at(at_second)}
    return {"name": name, "ready": False, "restartCount": 0, "state": {"terminated": end}}


def never_restarted(pod: dict[str, Any]) -> dict[str, Any]:
    """A pod as KubeRay makes it for the autoscaler v2."""
    return {**pod, "spec": {"restartPolicy": "Never", "containers": [{"name": "ray-head"}, {"name": "autoscaler"}]}}


def replaced(node_type: str = "head", *, since: float = 2, until: float | None = None, times: int = 1) -> Any:
    """KubeRay's event for a pod that had ended, where it is never started again."""
    end = "&ContainerStateTerminated{ExitCode:137,Signal:0,Reason:OOMKilled,Message:,ContainerID:containerd://0a1b,}"
    name = f"air/flights-{node_type}-x2k9q"
    text = f"Deleted {node_type} Pod {name}; Pod status: Failed; Pod restart policy: Never"
    reason = f"Deleted{node_type.title()}Pod"
    told = event(reason, f"{text}; Ray container terminated status: {end}", since=since, until=until, is_warning=False)
    return {**told, "count": times}


def event(
    reason: str,
    message: str,
    *,
    kind: str = "RayCluster",
    uid: str = UID,
    since: float = 2,
    until: float | None = None,
    is_warning: bool = True,
    **about: Any,
) -> dict[str, Any]:
    """An event; without ``until`` one that was seen for a second."""
    return {
        "kind": "Event",
        "type": "Warning" if is_warning else "Normal",
        "reason": reason,
        "message": message,
        "firstTimestamp": at(since),
        "lastTimestamp": at(since + 1 if until is None else until),
        "involvedObject": {"kind": kind, "uid": uid, "name": "flights", **about},
    }


def pod_event(reason: str, message: str, *, uid: str = POD_UID, container: str = "ray-head", **more: Any) -> Any:
    field = f"spec.containers{{{container}}}"
    return event(reason, message, kind="Pod", uid=uid, fieldPath=field, **{"since": 3, **more})


def judged(resource: Any, *pods: Any, events: Any = (), after: float = 5) -> ClusterStatus:
    """Judge what is there so many seconds after :data:`START`."""
    return judge(resource, pods, events, now=START + after)


def hold(kube: KubeApi, *resources: dict[str, Any]) -> None:
    """Have a kube-apiserver hold resources of these shapes, by their names; events by their order."""
    for number, one in enumerate(resources):
        metadata = one.get("metadata", {"name": f"event-{number}"})
        kube.put(PLURALS[one["kind"]], metadata["name"], uid=metadata.get("uid"), **one)
