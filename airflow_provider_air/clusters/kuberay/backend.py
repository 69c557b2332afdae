"""Ray clusters on Kubernetes as a back end: RayClusters, and a RayJob for each attempt of a task that has its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.answers import AlreadyExistsError, ConflictError
from airflow_provider_air.clusters.kuberay.client import PATIENCE_SECONDS
from airflow_provider_air.clusters.kuberay.events import moment
from airflow_provider_air.clusters.kuberay.following import Following
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER, RAY_JOB
from airflow_provider_air.clusters.kuberay.listing import listed
from airflow_provider_air.clusters.kuberay.looking import Looking
from airflow_provider_air.clusters.kuberay.making import Making
from airflow_provider_air.clusters.kuberay.marks import LEASED_UNTIL, Marks, expiry
from airflow_provider_air.clusters.kuberay.names import name_of_global, resource_name
from airflow_provider_air.clusters.kuberay.opening import Opening, dated
from airflow_provider_air.clusters.kuberay.places import Place, propagation_of, ref_of, url_of
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.clusters.kuberay.trouble import cluster_status_of
from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.client import KubeClient
    from airflow_provider_air.contracts.clusters import ClusterSpec, ClusterStatus, ListedCluster
    from airflow_provider_air.contracts.connections import Connections
    from airflow_provider_air.contracts.jobs import JobBackend, JobRequest
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import AttemptInfo, Clock
    from airflow_provider_air.contracts.serving import ServeBackend
    from airflow_provider_air.ray_api.transport import Transport

log = logging.getLogger(__name__)

DEFAULT_CONN_ID = "kubernetes_default"
# Within a signal handler: connecting and answering may take so long each.
KILL_STEP_SECONDS = 1.5
# So long nobody has looked at it: what the operator refuses has no status either, and never gets one.
NEW_SECONDS = 10.0
# KubeRay writes the status of a starting cluster again and again.
CONFLICTS = 5


class KubeRayBackend:
    """
    Have Ray clusters on Kubernetes, by KubeRay's operator (1.6 and later), which must be there.

    :param connections: gives the :class:`~airflow_provider_air.contracts.connections.KubernetesAccess` of an id
    """

    has_fixed_size: ClassVar[bool] = False

    def __init__(self, connections: Connections) -> None:
        self._opening = Opening(connections)
        self._looking = Looking(self._opening)
        self._making = Making()

    def name_of(self, spec: KubeRayCluster, key: TaskKey, attempt: AttemptInfo | None = None) -> ClusterRef:
        """
        Name the resource: a RayCluster by the spec's name or scope, else a RayJob for the attempt.

        Where the spec names no namespace, the connection is read for it.

        :raises ConfigurationError: the spec or the connection is wrong
        """
        spec.validate()
        kind, name = resource_name(spec, key, attempt)
        owned = spec.name is None and spec.scope == "global"
        return ref_of(spec, kind, name, self._namespace(spec), owned=owned)

    def check(self, target: ClusterSpec | ClusterRef, request: JobRequest) -> None:
        """
        Refuse a spec that makes no manifest which KubeRay takes; what an image has is known there alone.

        :raises ConfigurationError: it makes none
        """
        if isinstance(target, KubeRayCluster):
            self._making.check(target)

    def ensure(
        self, spec: KubeRayCluster, ref: ClusterRef, *, owner: ClusterOwner, attempt: AttemptInfo | None = None
    ) -> ClusterRef:
        """
        Adopt the resource of this name if it lives and matches, else create it.

        One that is being deleted is not adopted, and one whose start-up has failed is deleted first: then the answer
        names that one, so that :meth:`describe` tells when it is gone, whoever takes its name.

        :raises ConfigurationError: a live one has another spec or is not ours, the spec is refused, or the connection's
            user lacks a permission
        :raises UnavailableError: the kube-apiserver does not answer; whether it took the wish is not known
        """
        spec.validate()
        place = Place.of(replace(ref, uid=""))
        with self._opening.client(place.conn_id) as kube:
            wanted = dated(api.get(place.kind, place.namespace, place.name))
            there, now = kube.send(wanted)
            if there is None:
                try:
                    there = self._making.create(spec, place, kube, owner=owner, attempt=attempt, server_now=now)
                except AlreadyExistsError:
                    # Somebody else was quicker, or a reply of ours was lost.
                    there, now = kube.send(wanted)
            if there is not None:
                self._adopt(there, now, spec, place, kube, attempt)
        return replace(ref, uid="" if there is None else there["metadata"]["uid"])

    def _adopt(
        self,
        there: Resource,
        now: float,
        spec: KubeRayCluster,
        place: Place,
        kube: KubeClient,
        attempt: AttemptInfo | None,
    ) -> None:
        made = moment(there["metadata"].get("creationTimestamp"))
        is_new = not there.get("status") and made is not None and now - made < NEW_SECONDS
        state = ClusterState.STARTING if is_new else self._looking.judged(place, there, now, kube).state
        self._making.adopt(there, spec, place, kube, attempt=attempt, state=state)

    def find(self, spec: KubeRayCluster) -> ClusterRef:
        """:raises ConfigurationError: the spec has no name, or one within a DAG or its run."""
        return ref_of(spec, RAY_CLUSTER.name, name_of_global(spec), self._namespace(spec), owned=False)

    def list(
        self, owner: ClusterOwner | None = None, where: ClusterSpec | ClusterRef | None = None
    ) -> Sequence[ListedCluster]:
        """
        Give what we made in a namespace.

        :param where: by default, what the connection ``kubernetes_default`` leads to; none, where there is no such one
        :raises UnavailableError: the kube-apiserver does not answer
        """
        place = self._place_of(where)
        if place is None:
            return ()
        # Who lists does so once: nobody asks again for it.
        with self._opening.client(place.conn_id, patience_seconds=PATIENCE_SECONDS) as kube:
            return listed(kube, place, owner)

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        """
        Report the state now; READY means that Ray answers.

        :raises UnavailableError: the kube-apiserver does not answer, or does not let us in now
        """
        return self._looking.describe(Place.of(ref))

    def watch(self, ref: ClusterRef, clock: Clock) -> AsyncGenerator[ClusterStatus]:
        """Follow it by one watch for all that wait for what is in this namespace."""
        return Following(self._opening, self._looking, Place.of(ref), clock).statuses()

    def extend(self, ref: ClusterRef, seconds: float) -> None:
        """Write down until when somebody counts on it; nothing where it is absent, or not ours."""
        place = Place.of(ref)
        with self._opening.client(place.conn_id) as kube:
            for last in (False,) * (CONFLICTS - 1) + (True,):
                try:
                    self._extend_once(place, seconds, kube)
                    return
                except ConflictError:
                    if last:
                        raise

    def _extend_once(self, place: Place, seconds: float, kube: KubeClient) -> None:
        # By the server's clock, which the clean-up judges it by.
        resource, now = kube.send(dated(api.get(place.kind, place.namespace, place.name)))
        marks = Marks.read(resource) if resource is not None and place.is_meant(resource) else None
        until = now + seconds
        if resource is None or marks is None or (marks.leased_until or 0.0) >= until:
            return
        metadata = resource["metadata"]
        # With its version, so that of two that count on it at once the longer one stays.
        changes = {
            "metadata": {"annotations": {LEASED_UNTIL: expiry(until)}, "resourceVersion": metadata["resourceVersion"]}
        }
        kube.send(api.patch(place.kind, place.namespace, place.name, changes, uid=metadata["uid"]))

    def delete(self, ref: ClusterRef) -> None:
        """
        Ask that it goes with its pods, by its UID; what is not ours stays.

        :raises UnavailableError: the kube-apiserver does not answer
        """
        place = Place.of(ref)
        with self._opening.client(place.conn_id) as kube:
            resource = kube.send(api.get(place.kind, place.namespace, place.name))
            if resource is None or not place.is_meant(resource) or resource["metadata"].get("deletionTimestamp"):
                return
            if Marks.read(resource) is None:
                log.info("The %s is not ours, and stays", place)
                return
            uid = resource["metadata"]["uid"]
            propagation = propagation_of(resource)
            kube.send(api.delete(place.kind, place.namespace, place.name, uid, propagation=propagation))

    def prepare_delete(self, ref: ClusterRef) -> Callable[[], None]:
        """
        Give the deletion of a task's own, whose name nobody else gives: one request, at most 3 s.

        :raises AirError: the connection cannot be read now
        """
        place = Place.of(ref)
        access = self._opening.access(place.conn_id)
        access.server()
        call = api.delete(
            place.kind,
            place.namespace,
            place.name,
            place.uid or None,
            timeout_seconds=KILL_STEP_SECONDS,
        )

        def delete() -> None:
            with self._opening.client(place.conn_id) as kube:
                kube.send(call)

        return delete

    def facts(self, ref: ClusterRef) -> Mapping[str, Any]:
        """Give what Kubernetes knows of it."""
        place = Place.of(ref)
        resource = self._get(place)
        if resource is None:
            return {}
        status, marks = cluster_status_of(resource), Marks.read(resource)
        return {
            "kind": place.kind.name,
            "namespace": place.namespace,
            "uid": resource["metadata"]["uid"],
            "deployment": marks.owner.deployment if marks else "",
            "created_at": resource["metadata"].get("creationTimestamp", ""),
            "workers": f"{status.get('readyWorkerReplicas', 0)} of {status.get('desiredWorkerReplicas', 0)} ready",
            "head_service": (status.get("head") or {}).get("serviceName", ""),
        }

    def open_transport(self, ref: ClusterRef) -> Transport:
        """
        Give how Ray is reached, and its token, read from its Secret at each use.

        :raises ConfigurationError: the connection is absent or leads nowhere
        :raises ClusterNotReadyError: there is no head yet, or no more
        :raises UnavailableError: the kube-apiserver does not answer
        """
        place = Place.of(ref)
        with self._opening.client(place.conn_id) as kube:
            resource = kube.send(api.get(place.kind, place.namespace, place.name))
            if resource is None or not place.is_meant(resource):
                raise ClusterNotReadyError(
                    f"There is no {place} (any more)", hint="It was deleted, expired or was never created"
                )
            return self._looking.transport(place, resource, kube)

    def jobs(self, ref: ClusterRef) -> JobBackend:
        """Give its Jobs API; of a RayJob's cluster, KubeRay is told which job it is."""
        place = Place.of(ref)
        return JobsApi(
            ref,
            self.open_transport,
            lambda ref: url_of(place.dashboard_url, place),
            partial(self._tell_job, place),
            grafana_url=lambda ref: url_of(place.grafana_url, place),
        )

    def serving(self, ref: ClusterRef) -> ServeBackend:
        """Give its Serve, by REST and driver jobs."""
        place = Place.of(ref)
        return ServeRest(
            ref,
            self.open_transport,
            lambda ref: url_of(place.dashboard_url, place),
            lambda ref: url_of(place.serve_url, place),
            partial(self._tell_job, place),
            grafana_url=lambda ref: url_of(place.grafana_url, place),
        )

    def _tell_job(self, place: Place, submission_id: str) -> None:
        """
        Let a RayJob know that Ray has its job: from now on KubeRay counts its time, and no longer the start-up's.

        :raises UnavailableError: it could not be told; it can be again
        """
        if place.kind is not RAY_JOB:
            return
        with self._opening.client(place.conn_id) as kube:
            changes = {"spec": {"jobId": submission_id}}
            told = kube.send(api.patch(place.kind, place.namespace, place.name, changes, uid=place.uid or None))
        if told is None:
            raise UnavailableError(f"The {place} is gone, and its job goes with it", where=submission_id)

    def _get(self, place: Place) -> Resource | None:
        with self._opening.client(place.conn_id) as kube:
            resource = kube.send(api.get(place.kind, place.namespace, place.name))
        return resource if place.is_meant(resource) else None

    def _namespace(self, spec: KubeRayCluster) -> str:
        if spec.namespace:
            return spec.namespace
        return self._opening.server(spec.kubernetes_conn_id).namespace or "default"

    def _place_of(self, where: ClusterSpec | ClusterRef | None) -> Place | None:
        if isinstance(where, ClusterRef):
            return Place.of(where)
        spec = where if isinstance(where, KubeRayCluster) else KubeRayCluster()
        try:
            namespace = self._namespace(spec)
        except ConfigurationError:
            if where is not None:
                raise
            return None
        return Place(spec.kubernetes_conn_id, namespace, RAY_CLUSTER, "", reach=spec.reach)
