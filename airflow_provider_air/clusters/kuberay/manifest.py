"""
What is sent to the kube-apiserver: a RayCluster, or the RayJob that owns one.

Built of three parts: the author's manifest, what the fields say, and defaults where neither says anything. What nobody
says is not set, so that it stays KubeRay's or somebody else's to decide.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.kuberay import rules
from airflow_provider_air.clusters.kuberay.groups import WorkerGroup, first_replicas
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.merging import merged
from airflow_provider_air.clusters.kuberay.pods import RESTRICTED
from airflow_provider_air.clusters.kuberay.quantities import written
from airflow_provider_air.clusters.kuberay.raw import read_manifest
from airflow_provider_air.clusters.kuberay.skeleton import RAY_CLUSTER, fitting
from airflow_provider_air.clusters.kuberay.templates import combined, pod_template, restricted_container
from airflow_provider_air.clusters.kuberay.words import camel, spelled
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.groups import GroupFields
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
    from airflow_provider_air.contracts.clusters import ClusterOwner
    from airflow_provider_air.contracts.runs import AttemptInfo

API_VERSION = "ray.io/v1"
# Objects that KubeRay's spec has under the fields' own names.
OPTIONS = (
    "auth_options",
    "autoscaler_options",
    "gcs_fault_tolerance_options",
    "head_service_annotations",
    "history_server_options",
    "network_policy",
    "tls_options",
    "upgrade_strategy",
)
DEFAULT_RAY_VERSION = "2.60.0"
OFFICIAL_IMAGE = "rayproject/ray"
DEFAULT_SIZE = {"cpu": "1", "memory": "4Gi"}
RAY_VERSION = re.compile(r":v?(\d+\.\d+\.\d+)(?=$|[^\d.])")
LEAST_TTL_SECONDS = 600
"""From a RayJob's end to its cluster's: less takes the log from a reader that comes back late (KubeRay 1.6)."""
SUBMISSION_SECONDS = 300.0
"""From a ready head to a job that Ray has accepted, uploads and a busy worker included."""
MOST_NUMBER = 2**31 - 1


@dataclass(frozen=True)
class Deadlines:
    """
    When KubeRay ends a RayJob that nobody ends, in whole seconds.

    :param pre_running: from its start until Ray has accepted the job; time in a queue is not counted, since a
        suspended RayJob has not started
    :param active: from its start, anew after each resumption, until it is stopped
    :param ttl_after_finished: from its end until its cluster goes
    """

    pre_running: int
    active: int
    ttl_after_finished: int = LEAST_TTL_SECONDS


def deadlines_of(
    spec: KubeRayCluster, not_after: float | None, now: float, *, starts_until: float | None = None
) -> Deadlines:
    """
    Give the deadlines of a task's own cluster: what KubeRay does if nobody of us is there any more.

    :param not_after: epoch seconds after which nothing of the task's job may run, or None
    :param starts_until: epoch seconds until which the task waits for its cluster, or None
    """
    waits_seconds = 0.0 if starts_until is None else starts_until - now
    pre_running = max(spec.startup_timeout_seconds, waits_seconds) + SUBMISSION_SECONDS
    if not_after is not None:
        # A little later than our own stop, which reads what the job left before its cluster goes.
        active = max(0.0, not_after - now) + SUBMISSION_SECONDS
    else:
        active = pre_running + (spec.deadline_seconds or spec.ttl_seconds or MOST_NUMBER)
    return Deadlines(_whole(pre_running), _whole(active))


def cluster_manifest(spec: KubeRayCluster, name: str, marks: Marks) -> dict[str, Any]:
    """
    Give the RayCluster of a spec, as it is created: with replicas.

    :raises ConfigurationError: manifest and fields contradict each other, or KubeRay would refuse it
    """
    metadata, cluster = _parts(spec, marks)
    resource = {
        "apiVersion": API_VERSION,
        "kind": "RayCluster",
        "metadata": {"name": name, **metadata},
        "spec": cluster,
    }
    rules.check_resource(resource)
    return resource


def job_manifest(spec: KubeRayCluster, name: str, marks: Marks, *, deadlines: Deadlines) -> dict[str, Any]:
    """
    Give the RayJob that owns the cluster of a spec; its job is submitted by us.

    It has no ``jobId`` yet: only without one does KubeRay wait for it, and end what waits too long (measured, 1.6.1).
    ``{"spec": {"jobId": …}}`` is patched in when Ray has accepted the job.

    :raises ConfigurationError: manifest and fields contradict each other, or KubeRay would refuse it
    """
    metadata, cluster = _parts(spec, marks)
    resource = {
        "apiVersion": API_VERSION,
        "kind": "RayJob",
        "metadata": {"name": name, **metadata},
        "spec": {
            "submissionMode": "InteractiveMode",
            "backoffLimit": 0,
            "preRunningDeadlineSeconds": _whole(deadlines.pre_running),
            "activeDeadlineSeconds": _whole(deadlines.active),
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": max(LEAST_TTL_SECONDS, _whole(deadlines.ttl_after_finished)),
            "rayClusterSpec": cluster,
        },
    }
    rules.check_resource(resource)
    return resource


def resource_of(
    spec: KubeRayCluster,
    kind: str,
    name: str,
    owner: ClusterOwner,
    attempt: AttemptInfo | None,
    now: float,
    *,
    skew_seconds: float = 0.0,
) -> dict[str, Any]:
    """
    Give what is created for somebody, with its marks.

    :param kind: ``RayCluster``, or ``RayJob`` for an attempt, which must be said then
    :param now: epoch seconds by our clock, as the attempt's moments are
    :param skew_seconds: by how much the kube-apiserver's clock is ahead of ours: the clean-up judges expiries by that
    :raises ConfigurationError: manifest and fields contradict each other, or KubeRay would refuse it
    """
    made_at = now + skew_seconds
    if kind == "RayJob":
        assert attempt is not None
        deadlines = deadlines_of(spec, attempt.not_after, now, starts_until=attempt.starts_until)
        # What KubeRay ends by itself is not to be taken away before.
        ends = made_at + deadlines.active + deadlines.ttl_after_finished
        marks = Marks.of(owner, spec.fingerprint(), ends, attempt.submission_id)
        return job_manifest(spec, name, marks, deadlines=deadlines)
    expires_at = None if spec.ttl_seconds is None else made_at + spec.ttl_seconds
    scope = spec.scope if spec.name is not None or spec.scope != "global" else None
    idle = spec.idle_timeout_seconds
    marks = Marks.of(owner, spec.fingerprint(), expires_at, scope=scope, idle_timeout_seconds=idle)
    return cluster_manifest(spec, name, marks)


def with_live_replicas(manifest: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """
    Give a RayCluster's manifest for a later apply: the replicas are those that the live one has now.

    ``workerGroupSpecs`` is one atomic list (KubeRay 1.6 and 1.7): an apply that left replicas out would set them to 0.
    """
    now = {group.get("groupName"): group for group in _groups_of(live)}
    groups = []
    for group in _groups_of(manifest):
        kept = {key: value for key, value in group.items() if key not in ("replicas", "minReplicas", "maxReplicas")}
        there = now.get(group["groupName"], group)
        for key in ("replicas", "minReplicas", "maxReplicas"):
            if there.get(key) is not None:
                kept[key] = there[key]
        groups.append(kept)
    return {**manifest, "spec": {**manifest["spec"], **({"workerGroupSpecs": groups} if groups else {})}}


def scaling_patch(spec: KubeRayCluster, live: Mapping[str, Any]) -> list[dict[str, Any]]:
    """
    Give the JSON patch (RFC 6902) that lets a live RayCluster have the workers that a spec says, where it has less.

    Never fewer: somebody else who shares the cluster may need them. Minimum and maximum; replicas only where no
    autoscaler has them. Each group is tested to be where it was seen, so
    that a change in between is a refusal (HTTP 422) and not another group's size. Empty where nothing differs. The
    groups are one atomic list, which two field managers cannot share by server-side apply.

    :raises ConfigurationError: the live cluster has no such group
    """
    places = {group.get("groupName"): index for index, group in enumerate(_groups_of(live))}
    autoscaled = bool(live.get("spec", {}).get("enableInTreeAutoscaling"))
    patch: list[dict[str, Any]] = []
    for group in spec.groups():
        if group.name not in places:
            raise ConfigurationError(
                f"The RayCluster has no group of workers {group.name!r}",
                where=str(live.get("metadata", {}).get("name")),
                hint=f"It has {', '.join(sorted(map(str, places))) or 'none'}; delete the cluster to have other ones",
            )
        path = f"/spec/workerGroupSpecs/{places[group.name]}"
        there = _groups_of(live)[places[group.name]]
        if wished := _more(group, there, autoscaled=autoscaled):
            patch.append({"op": "test", "path": f"{path}/groupName", "value": group.name})
            patch += [{"op": "add", "path": f"{path}/{key}", "value": value} for key, value in wished.items()]
    return patch


def _more(group: WorkerGroup, there: Mapping[str, Any], *, autoscaled: bool) -> dict[str, int]:
    """Give which numbers a live group lacks; an absent one is the CRDs' default."""
    least, most = there.get("minReplicas", 0), there.get("maxReplicas", MOST_NUMBER)
    wished = {"minReplicas": max(least, group.min_replicas or 0)}
    if not autoscaled:
        wished["replicas"] = max(there.get("replicas", 0), group.first_replicas())
    # Whatever is asked for must be allowed.
    wished["maxReplicas"] = max(most, group.max_replicas or 0, *wished.values())
    have = {"minReplicas": least, "maxReplicas": most, "replicas": there.get("replicas", 0)}
    return {key: value for key, value in wished.items() if value > have[key]}


def _parts(spec: KubeRayCluster, marks: Marks) -> tuple[dict[str, Any], dict[str, Any]]:
    base = read_manifest(spec.manifest, ()) or {"metadata": {}, "spec": {}}
    metadata = {"labels": spelled({"labels": spec.labels})["labels"], "annotations": dict(spec.annotations)}
    names = ("'manifest'", "the fields")
    metadata = merged(base["metadata"], metadata, names=names)
    metadata = merged(metadata, {"labels": marks.labels(), "annotations": marks.annotations()}, names=names)
    said = fitting(_said(spec, base["spec"], marks), RAY_CLUSTER["spec"], "KubeRayCluster")
    cluster = merged(base["spec"], said, names=names)
    return metadata, _with_defaults(cluster, spec)


def _said(spec: KubeRayCluster, base: Mapping[str, Any], marks: Marks) -> dict[str, Any]:
    """Give what the fields say, and nothing else."""
    said = {camel(name): spelled({name: getattr(spec, name)})[camel(name)] for name in OPTIONS}
    said = {key: value for key, value in said.items() if value}
    if spec.ray_version is not None:
        said["rayVersion"] = spec.ray_version
    if spec.enable_in_tree_autoscaling is not None or spec.is_autoscaled():
        said["enableInTreeAutoscaling"] = spec.is_autoscaled()
    said["headGroupSpec"] = _head(spec, base.get("headGroupSpec") or {}, marks)
    groups = _all_workers(spec, base, marks)
    return {**said, **({"workerGroupSpecs": groups} if groups else {})}


def _head(spec: KubeRayCluster, base: Mapping[str, Any], marks: Marks) -> dict[str, Any]:
    head = spec.head_group()
    said = {
        "serviceType": head.service_type,
        "headService": spelled(head.head_service),
        "enableIngress": head.enable_ingress,
        "ingressOptions": spelled(head.ingress_options),
    }
    return _group(said, head, pod_template(spec, head, marks.labels(), base, container="ray-head"))


def _all_workers(spec: KubeRayCluster, base: Mapping[str, Any], marks: Marks) -> list[dict[str, Any]]:
    """Give the fields' groups, and what the cluster's fields and marks say of those that only the manifest has."""
    bases = {str(group.get("groupName")): group for group in base.get("workerGroupSpecs") or ()}
    said = spec.groups()
    others = [WorkerGroup(name=name) for name in bases if name not in {group.name for group in said}]
    return [_workers(spec, group, bases.get(group.name, {}), marks) for group in [*said, *others]]


def _workers(spec: KubeRayCluster, group: WorkerGroup, base: Mapping[str, Any], marks: Marks) -> dict[str, Any]:
    said = {
        "groupName": group.name,
        "replicas": group.replicas,
        "minReplicas": group.min_replicas,
        "maxReplicas": group.max_replicas,
        "idleTimeoutSeconds": group.idle_timeout_seconds,
        "numOfHosts": group.num_of_hosts,
        "priority": group.priority,
    }
    return _group(said, group, pod_template(spec, group, marks.labels(), base, container="ray-worker"))


def _group(said: Mapping[str, Any], group: GroupFields, template: Mapping[str, Any]) -> dict[str, Any]:
    more = {
        "resources": {name: written(amount) for name, amount in group.resources.items()},
        "labels": dict(group.labels),
        "rayStartParams": {name: str(value) for name, value in group.ray_start_params.items()},
    }
    return {**{key: value for key, value in {**said, **more}.items() if value not in (None, {})}, "template": template}


def _with_defaults(cluster: dict[str, Any], spec: KubeRayCluster) -> dict[str, Any]:
    """Fill in what nobody says and what must be said; ``cluster`` is ours to change."""
    version = cluster.setdefault("rayVersion", _version_of(cluster))
    if version is None:
        del cluster["rayVersion"]
    cluster.setdefault("authOptions", {}).setdefault("mode", "token")
    for group in _all_groups(cluster):
        _fill_container(group["template"]["spec"]["containers"][0], version)
    _restrict(cluster, spec)
    for group in cluster.get("workerGroupSpecs", ()):
        group.setdefault("replicas", first_replicas(group.get("minReplicas"), group.get("maxReplicas")))
    if cluster.get("enableInTreeAutoscaling"):
        options = cluster.setdefault("autoscalerOptions", {})
        if not _has_variable(cluster["headGroupSpec"], "RAY_enable_autoscaler_v2"):
            options.setdefault("version", "v2")
        if combined(spec, spec.head_group()).security_context == RESTRICTED:
            options.setdefault("securityContext", restricted_container())
    return cluster


def _restrict(cluster: Mapping[str, Any], spec: KubeRayCluster) -> None:
    """Give each container what pod security ``restricted`` demands of all, where the fields ask for that."""
    said = {group.name: group for group in spec.groups()}
    workers = [(said.get(one["groupName"], WorkerGroup()), one) for one in cluster.get("workerGroupSpecs", ())]
    for fields, group in [(spec.head_group(), cluster["headGroupSpec"]), *workers]:
        if combined(spec, fields).security_context == RESTRICTED:
            pod = group["template"]["spec"]
            for container in [*pod["containers"], *pod.get("initContainers", ())]:
                own = container.get("securityContext", {})
                # With these Kubernetes refuses what restricted demands.
                if not own.get("privileged") and "SYS_ADMIN" not in (own.get("capabilities") or {}).get("add", ()):
                    container["securityContext"] = {**restricted_container(), **own}


def _fill_container(container: dict[str, Any], version: str | None) -> None:
    resources = container.setdefault("resources", {})
    limits, requests = resources.setdefault("limits", {}), resources.setdefault("requests", {})
    for name, amount in DEFAULT_SIZE.items():
        if name not in limits and name not in requests:
            limits[name] = requests[name] = amount
    for name in [name for name, amounts in resources.items() if not amounts]:
        del resources[name]
    container.setdefault(
        "image",
        official_image(version, with_gpus=any(_is_gpu(name) and str(amount) != "0" for name, amount in limits.items())),
    )


def _is_gpu(resource: str) -> bool:
    """Whether it is a GPU, or a part of one, such as ``nvidia.com/mig-1g.5gb``."""
    return resource.endswith("gpu") or resource.startswith("nvidia.com/")


def official_image(version: str | None, *, with_gpus: bool) -> str:
    """Name Ray's own image for this process's Python, so that functions travel to the same one."""
    tag = f"{version or DEFAULT_RAY_VERSION}-py{sys.version_info.major}{sys.version_info.minor}"
    return f"{OFFICIAL_IMAGE}:{tag}{'-gpu' if with_gpus else ''}"


def _version_of(cluster: Mapping[str, Any]) -> str | None:
    image = cluster["headGroupSpec"]["template"]["spec"]["containers"][0].get("image")
    if image is None:
        return DEFAULT_RAY_VERSION
    found = RAY_VERSION.search(str(image))
    return found and found[1]


def _has_variable(group: Mapping[str, Any], name: str) -> bool:
    env = group["template"]["spec"]["containers"][0].get("env") or ()
    return any(variable.get("name") == name for variable in env)


def _all_groups(cluster: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", ())]


def _groups_of(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(resource.get("spec", {}).get("workerGroupSpecs") or ())


def _whole(seconds: float) -> int:
    return max(1, min(MOST_NUMBER, round(seconds)))
