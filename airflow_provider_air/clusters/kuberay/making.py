"""Creates resources, and adopts those that live and match. Runs in workers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.kinds import RAY_JOB
from airflow_provider_air.clusters.kuberay.manifest import cluster_manifest, resource_of, scaling_patch
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.option_rules import refused_fields
from airflow_provider_air.clusters.kuberay.permissions import CLUSTERS, JOBS, TOKEN, check_permissions
from airflow_provider_air.clusters.kuberay.places import Place, propagation_of, token_secret, wants_token
from airflow_provider_air.clusters.kuberay.reaching import uses_of
from airflow_provider_air.clusters.kuberay.trouble import is_provisioned
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterState
from airflow_provider_air.errors import ConfigurationError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.client import KubeClient
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
    from airflow_provider_air.contracts.runs import AttemptInfo

log = logging.getLogger(__name__)


class Making:
    """Creates and adopts; see :class:`~airflow_provider_air.clusters.kuberay.backend.KubeRayBackend`."""

    def check(self, spec: KubeRayCluster) -> None:
        """:raises ConfigurationError: the spec makes no manifest that KubeRay takes."""
        cluster_manifest(spec, "check", Marks.of(ClusterOwner("check"), spec.fingerprint()))

    def create(
        self,
        spec: KubeRayCluster,
        place: Place,
        kube: KubeClient,
        *,
        owner: ClusterOwner,
        attempt: AttemptInfo | None,
        server_now: float,
    ) -> Resource:
        """
        Create the resource; the job that it is for is named in an annotation.

        A plain create, since server-side apply would take over one that somebody else has just made.

        :param server_now: epoch seconds by the server's clock, just now
        :raises AlreadyExistsError: there is one of this name
        :raises ConfigurationError: it is refused, or the user lacks a permission
        :raises UnavailableError: whether it was created is not known
        """
        now = time.time()
        skew = server_now - now
        manifest = resource_of(spec, place.kind.name, place.name, owner, attempt, now, skew_seconds=skew)
        self._check_permissions(manifest, place, kube)
        try:
            written = kube.send(api.create(place.kind, place.namespace, manifest))
        except ConfigurationError as error:
            raise refused_fields(str(error)) or error from error
        for warning in written.warnings:
            log.warning("Kubernetes says of the %s: %s", place, warning)
        return written.resource

    def adopt(
        self,
        there: Resource,
        spec: KubeRayCluster,
        place: Place,
        kube: KubeClient,
        *,
        attempt: AttemptInfo | None,
        state: ClusterState,
    ) -> None:
        """
        See that a resource is what a spec asks for, or going; what is of no use to anybody is deleted.

        :param state: how its cluster is
        :raises ConfigurationError: it is somebody else's, or was made from another spec
        """
        if there["metadata"].get("deletionTimestamp"):
            return
        marks = Marks.read(there)
        if marks is None:
            raise ConfigurationError(
                f"There is a {place} that is not ours", hint="Choose another name, or have its owner delete it"
            )
        if not self._is_dead(there, marks, spec, state):
            self._check_match(marks, spec, place, attempt)
            self._scale(there, spec, place, kube)
            return
        log.warning("The %s is of no use any more, and is made anew", place)
        uid = there["metadata"]["uid"]
        kube.send(api.delete(place.kind, place.namespace, place.name, uid, propagation=propagation_of(there)))

    def _check_permissions(self, manifest: Resource, place: Place, kube: KubeClient) -> None:
        uses = {CLUSTERS}
        if place.kind is RAY_JOB:
            uses.add(JOBS)
        if wants_token(manifest):
            uses.add(TOKEN)
        uses.update(uses_of(place.reach, kube.server))
        # A RayJob's Secret is named after the RayCluster that KubeRay will make, where the spec names none.
        secret = token_secret(manifest) or ""
        check_permissions(kube, place.namespace, uses, secret=secret, where=f"connection {place.conn_id}")

    def _check_match(self, marks: Marks, spec: KubeRayCluster, place: Place, attempt: AttemptInfo | None) -> None:
        wanted = attempt.submission_id if attempt is not None and place.kind is RAY_JOB else marks.submission_id
        if marks.submission_id != wanted:
            raise ConfigurationError(f"The {place} was made for the job {marks.submission_id!r}, not for {wanted!r}")
        if place.kind is not RAY_JOB and marks.spec_hash != spec.fingerprint():
            raise ConfigurationError(
                f"The {place} lives and was made from another spec",
                hint="Use the spec it was made from, choose another name, or delete the cluster first",
            )

    def _scale(self, there: Resource, spec: KubeRayCluster, place: Place, kube: KubeClient) -> None:
        """Have an adopted cluster grow to what a spec asks for, where that is more than it has."""
        if place.kind is RAY_JOB or not (operations := scaling_patch(spec, there)):
            return
        log.info("The %s gets the numbers of workers of the new spec", place)
        if kube.send(api.scale(place.kind, place.namespace, place.name, operations)) is None:
            raise UnavailableError(f"The groups of the {place} were changed at the same moment")

    def _is_dead(self, there: Resource, marks: Marks, spec: KubeRayCluster, state: ClusterState) -> bool:
        """
        Whether nobody can have any use of it: its start-up has failed, or, of a RayJob, KubeRay has ended it, or
        the task wants another one by now, of which nothing has run. What was well once is left to its users.
        """
        if there["kind"] == RAY_JOB.name:
            return state is ClusterState.FAILED or marks.spec_hash != spec.fingerprint()
        return state is ClusterState.FAILED and not is_provisioned(there)
