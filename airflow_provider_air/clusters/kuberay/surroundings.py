"""
What is around the clusters of a namespace, for all that wait for one in an event loop: the pods of ours, and events.

Listed seldom and once for all: of a start-up that goes well the resources themselves tell.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.kinds import EVENT, POD
from airflow_provider_air.clusters.kuberay.marks import selector_of
from airflow_provider_air.clusters.kuberay.opening import list_dated
from airflow_provider_air.clusters.kuberay.trouble import ray_cluster_name
from airflow_provider_air.errors import UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.opening import Opening
    from airflow_provider_air.contracts.runs import Clock

# Two lists each time, whoever many wait.
AROUND_SECONDS = 20.0
# Most of what goes well says nothing of what does not; the nodes' autoscaler's word, which does, is no warning either.
OF_NO_USE = ("Scheduled", "Pulled", "Created", "Killing", "CreatedHeadPod", "CreatedWorkerPod", "CreatedService")
OF_USE = ",".join(f"reason!={reason}" for reason in OF_NO_USE)


@dataclass(frozen=True)
class Surroundings:
    """
    One look around in a namespace.

    :param skew_seconds: by how much the server's clock is ahead of ours
    """

    pods: Mapping[str, Sequence[Resource]] = field(default_factory=dict)
    events: Mapping[str, Sequence[Resource]] = field(default_factory=dict)
    skew_seconds: float = 0.0

    def pods_of(self, resource: Resource) -> Sequence[Resource]:
        """Give the pods of a resource's cluster."""
        return self.pods.get(ray_cluster_name(resource) or "", ())

    def events_of(self, resource: Resource, pods: Sequence[Resource]) -> Sequence[Resource]:
        """Give the events about a resource, its RayCluster, and some pods."""
        keys = [str(one["metadata"]["uid"]) for one in (resource, *pods)]
        found = [event for key in keys for event in self.events.get(key, ())]
        return [*found, *self.events.get(f"RayCluster/{ray_cluster_name(resource)}", ())]


def listed(opening: Opening, conn_id: str, namespace: str, now: float) -> Surroundings:
    """
    Look around; blocks.

    :param now: epoch seconds by our clock
    :raises UnavailableError: the kube-apiserver does not answer
    """
    with opening.client(conn_id) as kube:
        labels = selector_of(None)
        pods, server_now = list_dated(kube, lambda rest: api.list_page(POD, namespace, labels=labels, rest=rest))
        events, _ = kube.list_all(lambda rest: api.list_page(EVENT, namespace, fields=OF_USE, rest=rest))
    by_cluster, by_subject = defaultdict(list), defaultdict(list)
    for pod in pods:
        by_cluster[str((pod["metadata"].get("labels") or {}).get("ray.io/cluster"))].append(pod)
    for event in events:
        about = event.get("involvedObject") or {}
        by_subject[str(about.get("uid"))].append(event)
        if about.get("kind") == "RayCluster":
            by_subject[f"RayCluster/{about.get('name')}"].append(event)
    return Surroundings(dict(by_cluster), dict(by_subject), server_now - now)


@dataclass
class _Shared:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen_at: float = float("-inf")
    seen: Surroundings | None = None


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()


async def look_around(opening: Opening, conn_id: str, namespace: str, clock: Clock) -> Surroundings | None:
    """Give what is around, at most :data:`AROUND_SECONDS` old; None where nobody tells. In the triggerer."""
    all_of_loop = _shared.setdefault(asyncio.get_running_loop(), {})
    shared = all_of_loop.setdefault((conn_id, namespace), _Shared())
    async with shared.lock:
        now = clock.now()
        if now - shared.seen_at > AROUND_SECONDS:
            shared.seen_at = now
            try:
                shared.seen = await clock.in_thread(listed, opening, conn_id, namespace, now)
            except UnavailableError:
                shared.seen = None
        return shared.seen
