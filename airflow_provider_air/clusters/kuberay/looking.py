"""
Looks at a cluster: at its resource, at what is around it where that is due, and whether Ray answers.

Runs in workers, and in threads of the triggerer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.kinds import EVENT, POD, RAY_CLUSTER, RAY_JOB
from airflow_provider_air.clusters.kuberay.opening import dated
from airflow_provider_air.clusters.kuberay.places import Place, head_service, token_secret
from airflow_provider_air.clusters.kuberay.reaching import transport_of
from airflow_provider_air.clusters.kuberay.surroundings import OF_USE
from airflow_provider_air.clusters.kuberay.trouble import awaited_pods, judge, ray_cluster_name, worst_of
from airflow_provider_air.contracts.clusters import ClusterState, ClusterStatus
from airflow_provider_air.drivers.wire.texts import shortened, unstyled
from airflow_provider_air.errors import AirError, ClusterNotReadyError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.requests import get_version

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.client import KubeClient
    from airflow_provider_air.clusters.kuberay.opening import Opening
    from airflow_provider_air.ray_api.requests import Call
    from airflow_provider_air.ray_api.transport import Transport

TOKEN_KEY = "auth_token"  # noqa: S105  # the name of a key
# Of a container that has failed.
LAST_LINES = 20
MOST_CHARACTERS = 6000
# Of so many pods the events are asked for one by one, else for those of all pods of the namespace at once.
MOST_PODS = 3
NOT_ASKED = "it is ready just now"
NO_MORE = (ClusterState.ABSENT, ClusterState.DELETING)


class Looking:
    """Looks at clusters; see :class:`~airflow_provider_air.clusters.kuberay.backend.KubeRayBackend`."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def describe(self, place: Place) -> ClusterStatus:
        """
        Report the state now; READY means that Ray answers.

        :raises UnavailableError: the kube-apiserver does not answer, or does not let us in now
        """
        with self._opening.client(place.conn_id) as kube:
            resource, now = kube.send(dated(api.get(place.kind, place.namespace, place.name)))
            if resource is None or not place.is_meant(resource):
                return judge(None, now=now)
            status, silence = judge(resource, now=now), ""
            if status.state is ClusterState.READY:
                try:
                    return replace(status, incarnation=self._session_of(place, resource, kube))
                except AirError as error:
                    silence = str(error)
            return self._judged_around(place, resource, status, now, kube, silence=silence or NOT_ASKED)

    def judged(self, place: Place, resource: Resource, now: float, kube: KubeClient) -> ClusterStatus:
        """
        Judge a resource that was read just now, by what is around it; Ray is not asked.

        :param now: epoch seconds by the server's clock
        :raises UnavailableError: the kube-apiserver does not answer
        """
        status = judge(resource, now=now)
        if status.state is ClusterState.READY:
            return status
        return self._judged_around(place, resource, status, now, kube, silence="")

    def _judged_around(
        self, place: Place, resource: Resource, status: ClusterStatus, now: float, kube: KubeClient, *, silence: str
    ) -> ClusterStatus:
        if status.state in NO_MORE or status.queued:
            return status
        pods = self._pods_of(place, resource, kube)
        events = self._events_of(place, resource, pods, kube)
        status = judge(resource, pods, events, now=now)
        if status.state is ClusterState.READY and silence:
            text = shortened(f"its pods are ready, and Ray does not answer: {silence}", MOST_CHARACTERS)
            return ClusterStatus(ClusterState.STARTING, text)
        if status.state is ClusterState.FAILED:
            words = self._last_words(place, resource, pods, events, now, kube)
            status = replace(status, message=shortened(status.message + words, MOST_CHARACTERS))
        return status

    def transport(self, place: Place, resource: Resource, kube: KubeClient) -> Transport:
        """
        Give how the Ray of a live resource is reached.

        :raises ClusterNotReadyError: KubeRay has not made what leads there, or it is gone
        :raises UnavailableError: the kube-apiserver does not answer
        """
        cluster, service = ray_cluster_name(resource), head_service(resource)
        if service is None and cluster is not None and place.kind is RAY_JOB:
            whole = kube.send(api.get(RAY_CLUSTER, place.namespace, cluster))
            service = None if whole is None else head_service(whole)
        if cluster is None or service is None:
            raise ClusterNotReadyError(f"The {place} has no head yet, or no more")
        token = None
        if (secret := token_secret(resource)) is not None:
            token = kube.send(api.get_secret(place.namespace, secret, TOKEN_KEY))
            if token is None:
                raise ClusterNotReadyError(
                    f"The Secret {place.namespace}/{secret} with Ray's token is not there",
                    hint="KubeRay makes it together with the cluster; where it was deleted, a new head is needed",
                )
        access = self._opening.access(place.conn_id)
        return transport_of(access, place.namespace, cluster=cluster, service=service, token=token, reach=place.reach)

    def _session_of(self, place: Place, resource: Resource, kube: KubeClient) -> str:
        with RayClient(self.transport(place, resource, kube), patience_seconds=0) as client:
            return client.send(get_version()).session_name

    def _pods_of(self, place: Place, resource: Resource, kube: KubeClient) -> Sequence[Resource]:
        cluster = ray_cluster_name(resource)
        if cluster is None:
            return ()
        return kube.list_all(lambda rest: api.list_pods(place.namespace, cluster, rest=rest))[0]

    def _events_of(
        self, place: Place, resource: Resource, pods: Sequence[Resource], kube: KubeClient
    ) -> Sequence[Resource]:
        about = [_of_uid(resource)]
        if place.kind is RAY_JOB and (cluster := ray_cluster_name(resource)) is not None:
            about.append(f"involvedObject.kind={RAY_CLUSTER.name},involvedObject.name={cluster}")
        awaited = awaited_pods(resource, pods)
        of_all = f"involvedObject.kind={POD.name},{OF_USE}"
        about += [of_all] if len(awaited) > MOST_PODS else map(_of_uid, awaited)
        found: list[Resource] = []
        for fields in about:
            found += kube.list_all(partial(_events, place.namespace, fields))[0]
        return found

    def _last_words(
        self,
        place: Place,
        resource: Resource,
        pods: Sequence[Resource],
        events: Sequence[Resource],
        now: float,
        kube: KubeClient,
    ) -> str:
        """Give the last lines of what has failed; a convenience."""
        trouble = worst_of(resource, pods, events, now=now)
        if trouble is None or trouble.container is None:
            return ""
        one = trouble.container
        try:
            call = api.pod_log(place.namespace, one.pod, one.name, lines=LAST_LINES, previous=one.previous)
            text = unstyled(kube.send(call)).strip()
        except AirError as error:
            return f"; its last lines cannot be read: {error}"
        return f"; the last lines of {one.name}:\n{text}" if text else ""


def _of_uid(resource: Mapping[str, Any]) -> str:
    return f"involvedObject.uid={resource['metadata']['uid']}"


def _events(namespace: str, fields: str, rest: str) -> Call[api.Page]:
    return api.list_page(EVENT, namespace, fields=fields, rest=rest)
