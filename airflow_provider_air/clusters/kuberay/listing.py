"""Lists what we made in a namespace, with how old it is by the kube-apiserver's clock."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.answers import PermissionMissingError
from airflow_provider_air.clusters.kuberay.events import moment
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER, RAY_JOB, Kind
from airflow_provider_air.clusters.kuberay.marks import Marks, selector_of
from airflow_provider_air.clusters.kuberay.opening import list_dated
from airflow_provider_air.clusters.kuberay.places import Place, ref_of_listed
from airflow_provider_air.clusters.kuberay.trouble import judge
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterState, ListedCluster

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Page, Resource
    from airflow_provider_air.clusters.kuberay.client import KubeClient
    from airflow_provider_air.ray_api.requests import Call

log = logging.getLogger(__name__)


def listed(kube: KubeClient, place: Place, owner: ClusterOwner | None) -> Sequence[ListedCluster]:
    """
    Give the RayClusters and RayJobs in a namespace that we made; blocks.

    :param place: which namespace
    :param owner: only a deployment's, or a task instance's
    A Role may leave out the kind that nobody uses: then the other is all there is to see.

    :raises UnavailableError: the kube-apiserver does not answer, or the user may not list the place's kind
    """
    found, labels = [], selector_of(owner)
    for kind in (RAY_CLUSTER, RAY_JOB):
        try:
            resources, now = list_dated(kube, partial(_page, kind, place.namespace, labels))
        except PermissionMissingError as error:
            if kind == place.kind:
                raise
            log.warning("What is in namespace %s may be more than is seen: %s", place.namespace, error)
            continue
        # KubeRay copies our labels to the RayCluster that it makes for a RayJob.
        made_by_us = [one for one in resources if not one["metadata"].get("ownerReferences")]
        found += [item for one in made_by_us if (item := _item(one, place, now)) is not None]
    return [item for item in found if owner is None or _is_of(item.owner, owner)]


def _page(kind: Kind, namespace: str, labels: str, rest: str) -> Call[Page]:
    return api.list_page(kind, namespace, labels=labels, rest=rest)


def _item(resource: Resource, place: Place, now: float) -> ListedCluster | None:
    marks = Marks.read(resource)
    if marks is None:
        return None
    created_at = moment(resource["metadata"].get("creationTimestamp")) or now
    status = judge(resource, now=now)
    return ListedCluster(
        ref_of_listed(resource, place, owned=marks.scope is None),
        marks.owner,
        created_at=created_at,
        seen_at=now,
        expires_at=marks.ends_at(created_at),
        leased_until=marks.leased_until,
        is_of_run=marks.scope in (None, "dag_run"),
        going=status.message if status.state is ClusterState.DELETING else "",
    )


def _is_of(one: ClusterOwner, owner: ClusterOwner) -> bool:
    return one.deployment == owner.deployment and owner.key in (None, one.key)
