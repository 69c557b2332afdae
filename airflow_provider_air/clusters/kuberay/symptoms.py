"""
What keeps a cluster's pods from running, as conditions, container states and events tell it. Pure.

Words and shapes: Kubernetes 1.35, KubeRay 1.6.1 (``raycluster_controller.go``, ``constant.go``), seen on a real node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_air.clusters.kuberay.events import Resource, events_about, first_seen, last_seen, moment

HEAD = "head"


@dataclass(frozen=True)
class Kind:
    """
    A kind of trouble.

    :param patience_seconds: how long it may last before the start-up counts as failed: what heals by itself, or by
        somebody's hand elsewhere (room in a quota, a node, a registry), gets longer
    :param retryable: whether the same wish may work later
    """

    patience_seconds: float
    retryable: bool = True


REFUSED = Kind(0, retryable=False)
# After a restart of the kube-apiserver it starts anew, up to four times with ever longer pauses (1.6.1, measured).
OPERATOR_AWAY = Kind(240)
POD_SECURITY = Kind(15, retryable=False)
UNSPECIFIED = Kind(15, retryable=False)
SERVICE_ACCOUNT = Kind(30)
QUOTA = Kind(300)
CREATION = Kind(90)
UNSCHEDULABLE = Kind(300)
NO_NODE_WILL_COME = Kind(60)
# A node that is on its way needs minutes; the start-up's own time-out is for that.
NODE_COMES = Kind(float("inf"))
IMAGE_NAME = Kind(0, retryable=False)
IMAGE_ABSENT_HERE = Kind(30)
IMAGE = Kind(120)
CONFIG = Kind(60)
VOLUME = Kind(180)
# A new node's network may need a while; addresses come back when others end.
SANDBOX = Kind(180)
INIT = Kind(90)
CRASH = Kind(90)
# The kubelet starts it again: a node under load lets Ray time out once or twice, and then it is well.
ENDED_ONCE = Kind(float("inf"))
GONE = Kind(60)
MANY_ENDS = 3


@dataclass(frozen=True)
class Container:
    """
    One container of a pod.

    :param previous: whether its last words are those of the run before
    """

    pod: str
    name: str
    previous: bool = False


@dataclass(frozen=True)
class Trouble:
    """
    One thing that keeps a cluster from starting.

    :param message: one sentence without a final full stop
    :param since: epoch seconds from which on it has lasted, as far as that is known
    :param container: whose last lines may say why
    """

    kind: Kind
    message: str
    since: float | None
    container: Container | None = None

    def ends_at(self, now: float) -> float:
        """Give when it ends a start-up, in epoch seconds; one of which nobody knows since when lasts from now on."""
        return (self.since or now) + self.kind.patience_seconds

    def is_over(self, now: float) -> bool:
        """Whether it has lasted longer than its kind may."""
        if self.kind.patience_seconds <= 0:
            return True
        return self.since is not None and now - self.since >= self.kind.patience_seconds


def conditions_of(resource: Resource, below: str = "status") -> Mapping[str, Resource]:
    """Give the conditions of a resource's status by their types."""
    return {str(one.get("type")): one for one in (resource.get(below) or {}).get("conditions") or ()}


# What KubeRay could not create

# KubeRay's own word before an error, in its condition ReplicaFailure.
_OF_KUBERAY = re.compile(r"\AFailed\w+\n")
# Of the API server's admission, as KubeRay's events and its condition ReplicaFailure repeat it.
_ADMISSION = (
    (
        re.compile(r"failed quota: [^:]*: must specify"),
        UNSPECIFIED,
        "The namespace's quota wants limits or requests that a container does not have",
    ),
    (re.compile(r"exceeded quota|status unknown for quota"), QUOTA, "The quota is used up"),
    (re.compile(r"violates PodSecurity"), POD_SECURITY, "The namespace's pod security refuses the pod"),
    (re.compile(r"serviceaccount \"[^\"]*\" not found"), SERVICE_ACCOUNT, "The pod's service account is not there"),
)


def of_creation(text: str, since: float | None) -> Trouble:
    """Tell what a refused creation of a pod means, by the API server's words, or a webhook's of many lines."""
    text = " ".join(_OF_KUBERAY.sub("", text).split())
    for words, kind, what in _ADMISSION:
        if words.search(text):
            return Trouble(kind, f"{what}: {text}", since)
    return Trouble(CREATION, f"KubeRay cannot create what it needs: {text}", since)


# One pod


def of_pod(pod: Resource, events: Sequence[Resource], *, now: float) -> Trouble | None:
    """
    Tell what keeps a pod from running; None where nothing does.

    :param events: of the namespace, or of this pod
    :param now: epoch seconds by the API server's clock
    """
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return None
    mine = events_about(events, (pod.get("metadata") or {}).get("uid"))
    if (pod.get("status") or {}).get("phase") == "Failed":
        return _failed(pod)
    return _unscheduled(pod, mine) or _of_containers(pod, mine, now) or _before_containers(pod, mine, now)


def name_of(pod: Resource) -> str:
    """Name a pod for people: of which group it is, too."""
    metadata = pod.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if labels.get("ray.io/node-type") == HEAD:
        return f"The head's pod {metadata.get('name')}"
    group = labels.get("ray.io/group")
    return f"The worker's pod {metadata.get('name')}" + (f" of the group {group}" if group else "")


def node_type_of(pod: Resource) -> str | None:
    """Give ``head`` or ``worker``."""
    return ((pod.get("metadata") or {}).get("labels") or {}).get("ray.io/node-type")


def is_head(pod: Resource) -> bool:
    """Whether it is a head's."""
    return node_type_of(pod) == HEAD


def is_ready(pod: Resource) -> bool:
    """Whether it runs and is ready, and is not on its way out."""
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return False
    return (conditions_of(pod).get("Ready") or {}).get("status") == "True"


def _unscheduled(pod: Resource, events: Sequence[Resource]) -> Trouble | None:
    condition = conditions_of(pod).get("PodScheduled") or {}
    if condition.get("status") != "False" or condition.get("reason") not in ("Unschedulable", "SchedulingGated"):
        return None
    reasons = {str(event.get("reason")) for event in events}
    kind = UNSCHEDULABLE
    if reasons & {"TriggeredScaleUp", "Nominated"}:
        kind = NODE_COMES
    elif "NotTriggerScaleUp" in reasons:
        kind = NO_NODE_WILL_COME
    why = condition.get("message") or "no node takes it"
    return Trouble(kind, f"{name_of(pod)} cannot be scheduled: {why}", moment(condition.get("lastTransitionTime")))


# By the reason for which a container waits (kubelet, images/types.go and kuberuntime).
_WAITING = {
    "InvalidImageName": (IMAGE_NAME, "has an image name that is none"),
    "ErrImageNeverPull": (IMAGE_ABSENT_HERE, "may not pull its image, and the node has it not"),
    "ErrImagePull": (IMAGE, "cannot pull its image"),
    "ImagePullBackOff": (IMAGE, "cannot pull its image"),
    "ImageInspectError": (IMAGE, "cannot use its image"),
    "RegistryUnavailable": (IMAGE, "cannot pull its image"),
    "CreateContainerConfigError": (CONFIG, "cannot be configured"),
    "CreateContainerError": (CONFIG, "cannot be created"),
    "RunContainerError": (CONFIG, "cannot be started"),
    "CrashLoopBackOff": (CRASH, "ends again and again"),
}
# A container that ran for so long is started again without a pause (the kubelet): what was before counts no more.
RAN_WELL_SECONDS = 600.0


def _of_containers(pod: Resource, events: Sequence[Resource], now: float) -> Trouble | None:
    found = [_of_container(pod, told, events, is_init=is_init) for told, is_init in _statuses(pod)]
    return min((one for one in found if one is not None), key=lambda one: one.ends_at(now), default=None)


def _statuses(pod: Resource) -> list[tuple[Resource, bool]]:
    """Give what is told of each container, and whether it is an init container."""
    status = pod.get("status") or {}
    kinds = (("initContainerStatuses", True), ("containerStatuses", False))
    return [(told, is_init) for name, is_init in kinds for told in status.get(name) or ()]


def _of_container(pod: Resource, told: Resource, events: Sequence[Resource], *, is_init: bool) -> Trouble | None:
    name, state = str(told.get("name")), told.get("state") or {}
    who = f"{'The init container' if is_init else 'The container'} {name} of {_the(name_of(pod))}"
    waiting = state.get("waiting") or {}
    if (known := _WAITING.get(str(waiting.get("reason")))) is not None:
        kind, what = known
        if kind is CRASH:
            return _crashed(pod, told, events, who, is_init=is_init)
        is_image = kind in (IMAGE, IMAGE_NAME, IMAGE_ABSENT_HERE)
        mine = _of_image(events, name) if is_image else _of_run(events, name, "Failed")
        text = (_image_words(mine) if is_image else None) or waiting.get("message") or waiting.get("reason")
        image = f" {told.get('image')!r}" if is_image else ""
        return Trouble(kind, f"{who} {what}{image}: {text}", _since(pod, mine))
    ended = state.get("terminated") or {}
    if ended and not (is_init and ended.get("exitCode") == 0) and not _is_started_again(pod, name):
        since = moment(ended.get("finishedAt")) or _since(pod, ())
        what = f"{who} ended with {end_in_words(ended)}, and nothing starts it again"
        return Trouble(INIT if is_init else CRASH, what, since, _container_of(pod, told))
    # Between two tries of the kubelet it is only terminated; a first end may still be its only one.
    if ended.get("exitCode") and int(told.get("restartCount") or 0) >= 1:
        return _crashed(pod, told, events, who, is_init=is_init)
    return None


def _crashed(pod: Resource, told: Resource, events: Sequence[Resource], who: str, *, is_init: bool) -> Trouble:
    last = _end_of(told)
    times = int(told.get("restartCount") or 0) + ("terminated" in (told.get("state") or {}))
    kind = ENDED_ONCE if times < MANY_ENDS else INIT if is_init else CRASH
    started, ended = _seconds(last, "startedAt"), _seconds(last, "finishedAt")
    ran_until = ended if started and ended - started >= RAN_WELL_SECONDS else 0.0
    since = _since(pod, _of_run(events, str(told.get("name")), "BackOff"), not_before=ran_until)
    what = f"{who} ended {times} times, the last time with {end_in_words(last)}"
    return Trouble(kind, what, since, _container_of(pod, told))


def _failed(pod: Resource) -> Trouble:
    """A pod that does not come back: its containers ended, or it was evicted."""
    status = pod.get("status") or {}
    ended = sorted((told for told, _ in _statuses(pod)), key=lambda told: _seconds(_end_of(told), "finishedAt"))
    since = _since(pod, (), not_before=max((_seconds(_end_of(told), "finishedAt") for told in ended), default=0.0))
    # The first to fail is why the others ended.
    first = next((told for told in ended if _end_of(told).get("exitCode")), None)
    why = status.get("message") or status.get("reason")
    if first is not None:
        why = why or f"its container {first.get('name')} ended with {end_in_words(_end_of(first))}"
    container = None if first is None else _container_of(pod, first)
    return Trouble(CRASH, f"{name_of(pod)} has failed: {why or 'its containers ended'}", since, container)


def _is_started_again(pod: Resource, container: str) -> bool:
    """Whether the kubelet starts a container again that has ended: its own policy, which few have, before the pod's."""
    spec = pod.get("spec") or {}
    said = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    own = next((one.get("restartPolicy") for one in said if one.get("name") == container), None)
    return (own or spec.get("restartPolicy")) != "Never"


def _container_of(pod: Resource, told: Resource) -> Container:
    is_over = "terminated" in (told.get("state") or {})
    return Container(str((pod.get("metadata") or {}).get("name")), str(told.get("name")), previous=not is_over)


def end_in_words(end: Resource) -> str:
    """Say how a container ended, as its status tells: ``exitCode``, ``reason``, ``message``."""
    reason = "out of memory" if end.get("reason") == "OOMKilled" else f"exit code {end.get('exitCode', 'unknown')}"
    return reason + (f": {end['message']}" if end.get("message") else "")


def _end_of(told: Resource) -> Resource:
    """Give how a container ended, or did before it was started again."""
    state: Resource = told.get("state") or {}
    return state.get("terminated") or (told.get("lastState") or {}).get("terminated") or {}


def _of_image(events: Sequence[Resource], container: str) -> list[Resource]:
    return [event for event in events if _names(event, container) and _is_of_image(event)]


def _of_run(events: Sequence[Resource], container: str, reason: str) -> list[Resource]:
    return [
        event
        for event in events
        if event.get("reason") == reason and _names(event, container) and not _is_of_image(event)
    ]


def _names(event: Resource, container: str) -> bool:
    return f"{{{container}}}" in str((event.get("involvedObject") or {}).get("fieldPath"))


# A kubelet's own words: a pod's name may have "pull" in it.
_OF_PULL = re.compile(r"Failed to pull|pulling image|ErrImagePull|ImagePullBackOff|pull (image|access)", re.IGNORECASE)


def _is_of_image(event: Resource) -> bool:
    """Whether a kubelet tells of an image that it does not get; by the same reasons it tells of containers."""
    reason = event.get("reason")
    by_words = reason in ("Failed", "BackOff") and _OF_PULL.search(str(event.get("message"))) is not None
    return by_words or reason in ("InspectFailed", "ErrImageNeverPull")


def _image_words(events: Sequence[Resource]) -> str | None:
    """Events of a kubelet that cannot pull say far more than a container's state, which is soon only "Back-off"."""
    found = [str(event.get("message")) for event in events if event.get("reason") != "BackOff"]
    return max(found, key=len, default=None)


# What happens between a pod's node and its containers is told by events alone.
_BEFORE_CONTAINERS = {
    "FailedMount": (VOLUME, "does not get its volumes"),
    "FailedAttachVolume": (VOLUME, "does not get its volumes"),
    "FailedCreatePodSandBox": (SANDBOX, "does not get its network"),
}
_GOES_ON = ("SuccessfulAttachVolume", "Pulling", "Pulled", "Created", "Started")
# What lasts is told again: every five minutes, where a kubelet has said much of a pod already.
TOLD_AGAIN_SECONDS = 330.0
# But a volume that another node has is told once.
_TOLD_ONCE = "FailedAttachVolume"


def _before_containers(pod: Resource, events: Sequence[Resource], now: float) -> Trouble | None:
    is_over = (conditions_of(pod).get("PodReadyToStartContainers") or {}).get("status") == "True"
    if (pod.get("status") or {}).get("phase") != "Pending" or is_over:
        return None
    went_on = max((last_seen(event) for event in events if event.get("reason") in _GOES_ON), default=0.0)
    found = [event for event in events if event.get("reason") in _BEFORE_CONTAINERS and last_seen(event) > went_on]
    is_lasting = any(
        event.get("reason") == _TOLD_ONCE or last_seen(event) > now - TOLD_AGAIN_SECONDS for event in found
    )
    if not is_lasting:
        return None
    last = max(found, key=last_seen)
    kind, what = _BEFORE_CONTAINERS[str(last.get("reason"))]
    alike = [event for event in found if _BEFORE_CONTAINERS[str(event.get("reason"))][0] is kind]
    return Trouble(kind, f"{name_of(pod)} {what}: {last.get('message')}", _since(pod, alike, not_before=went_on))


def _the(name: str) -> str:
    return name[:1].lower() + name[1:]


def _since(pod: Resource, events: Sequence[Resource], *, not_before: float = 0.0) -> float | None:
    """
    From when on a pod has had a trouble: its first event, and not before the pod had its node.

    :param events: about this trouble alone
    :param not_before: when all was still well
    """
    scheduled = conditions_of(pod).get("PodScheduled") or {}
    began = [seen for event in events if (seen := first_seen(event)) is not None]
    starts = [not_before, min(began, default=0.0)]
    if scheduled.get("status") == "True":
        starts.append(_seconds(scheduled, "lastTransitionTime"))
    return max(starts) or moment((pod.get("metadata") or {}).get("creationTimestamp"))


def _seconds(told: Resource, field: str) -> float:
    return moment(told.get(field)) or 0.0
