"""
Pods that had ended and that KubeRay replaced, as its events about the RayCluster tell. Pure.

Where nothing starts a container again (``restartPolicy: Never``, which KubeRay sets for the autoscaler v2), each try is
a new pod, which knows nothing of those before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from airflow_provider_air.clusters.kuberay.events import Resource, first_seen, last_seen, times_of
from airflow_provider_air.clusters.kuberay.symptoms import (
    CRASH,
    ENDED_ONCE,
    HEAD,
    MANY_ENDS,
    RAN_WELL_SECONDS,
    Container,
    Trouble,
    end_in_words,
    is_ready,
    node_type_of,
)

# By the node type, KubeRay's reason and how a message begins.
_ENDED = {HEAD: ("DeletedHeadPod", "The head's pod ended"), "worker": ("DeletedWorkerPod", "Pods of workers ended")}
# What a scale-down says for the same reasons has none of these words (raycluster_controller.go of 1.6.1); the last two
# are of groups with several hosts.
_OF_AN_END = re.compile(r"Pod status: |is a terminal state|unable to restart")
_END = re.compile(r"ExitCode:(?P<exitCode>-?\d+),.*?Reason:(?P<reason>\w*)", re.DOTALL)


def of_replaced(events: Iterable[Resource], pods: Sequence[Resource], *, workers: int, now: float) -> Iterator[Trouble]:
    """
    Tell that the head, or workers, end again and again.

    :param events: about the RayCluster
    :param pods: of the cluster
    :param workers: how many of them are to be workers': of many one ends now and then, and no event tells of which
        group it was
    :param now: epoch seconds by the API server's clock
    """
    ends = [event for event in events if _OF_AN_END.search(str(event.get("message")))]
    for node_type, (reason, ended) in _ENDED.items():
        found = _latest([event for event in ends if event.get("reason") == reason], now)
        there, wanted = [pod for pod in pods if node_type_of(pod) == node_type], 1 if node_type == HEAD else workers
        if not found or sum(map(is_ready, there)) >= wanted:
            continue
        times = sum(map(times_of, found))
        end = _END.search(str(found[0].get("message")))
        how = f", the last time with {end_in_words(end.groupdict())}" if end else ""
        yield Trouble(
            CRASH if times >= MANY_ENDS * wanted else ENDED_ONCE,
            f"{ended} {times} times{how}; KubeRay makes a new one each time",
            min((at for event in found if (at := first_seen(event)) is not None), default=None),
            _newest_try([pod for pod in there if not is_ready(pod)]),
        )


def _latest(ends: Sequence[Resource], now: float) -> list[Resource]:
    """Give the ends that follow each other, the last one first: what was before a pod ran for long counts no more."""
    found: list[Resource] = []
    for event in sorted(ends, key=last_seen, reverse=True):
        if now - last_seen(event) >= RAN_WELL_SECONDS:
            break
        found.append(event)
        now = min(now, first_seen(event) or now)
    return found


def _newest_try(pods: Sequence[Resource]) -> Container | None:
    """Give Ray's container of the newest pod, where it runs or ran: those before are gone with their last lines."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)[:1]:
        names = [one.get("name") for one in (pod.get("spec") or {}).get("containers") or ()][:1]
        for told in (pod.get("status") or {}).get("containerStatuses") or ():
            if told.get("name") in names and "waiting" not in (told.get("state") or {}):
                return Container(str(pod["metadata"].get("name")), str(told["name"]))
    return None
