"""The pod template of a group: what the author's fields say of its pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.kuberay.groups import GroupFields, WorkerGroup
from airflow_provider_air.clusters.kuberay.merging import NAMED_BY, merged
from airflow_provider_air.clusters.kuberay.pods import RESTRICTED, PodFields
from airflow_provider_air.clusters.kuberay.quantities import written
from airflow_provider_air.clusters.kuberay.skeleton import POD, fitting
from airflow_provider_air.clusters.kuberay.words import camel, spelled

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster

TPU = "google.com/tpu"
# What is written as it is said, where it is said.
PLAIN = (
    "affinity",
    "node_selector",
    "priority_class_name",
    "runtime_class_name",
    "scheduler_name",
    "service_account_name",
    "termination_grace_period_seconds",
    "tolerations",
    "topology_spread_constraints",
    "volumes",
)


def pod_template(
    spec: KubeRayCluster, group: GroupFields, labels: Mapping[str, str], base: Mapping[str, Any], *, container: str
) -> dict[str, Any]:
    """
    Give the pod template that the fields of a cluster and of one of its groups say.

    :param labels: of ours
    :param base: the group in the author's manifest: its first container is Ray's, whatever its name
    :param container: what Ray's container is called else
    :raises ConfigurationError: the group's ``template`` contradicts its fields
    """
    pods = combined(spec, group)
    there = base.get("template", {}).get("spec", {}).get("containers") or [{}]
    name = there[0].get("name") or container
    metadata = {"labels": {**pods.pod_labels, **labels}, "annotations": dict(pods.pod_annotations)}
    context = _contexts(pods)
    pod = {camel(field): spelled({field: getattr(pods, field)})[camel(field)] for field in PLAIN}
    pod["imagePullSecrets"] = [{"name": secret} for secret in pods.image_pull_secrets]
    pod["securityContext"] = context[0]
    said = {
        "metadata": _said(metadata),
        "spec": {**_said(pod), "containers": [_container(name, pods, group, context[1])]},
    }
    return merged(fitting(said, POD, "template"), _template(group, name), names=("the fields", "'template'"))


def combined(spec: KubeRayCluster, group: GroupFields) -> PodFields:
    """Give the fields of a group's pods: the cluster's, and the group's own before them."""
    return PodFields(
        **{
            one.name: _both(one.name, getattr(spec, one.name), getattr(group, one.name))
            for one in dataclasses.fields(PodFields)
        }
    )


def _both(name: str, of_cluster: Any, of_group: Any) -> Any:
    if name == "security_context":
        return of_group or of_cluster
    if isinstance(of_cluster, Mapping) and isinstance(of_group, Mapping):
        return {**of_cluster, **of_group}
    if isinstance(of_cluster, Sequence) and not isinstance(of_cluster, str):
        key = NAMED_BY.get(camel(name))
        taken = {_name_in(item, key) for item in of_group}
        return [*of_group, *(item for item in of_cluster if _name_in(item, key) not in taken)]
    return of_cluster if of_group is None else of_group


def _name_in(item: Any, key: str | None) -> str:
    spelt = spelled(item)
    return str(spelt.get(key, spelt)) if key and isinstance(spelt, Mapping) else str(spelt)


def restricted_container() -> dict[str, Any]:
    """Give what pod security ``restricted`` demands of each container (Kubernetes 1.35)."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **_restricted_pod()}


def _restricted_pod() -> dict[str, Any]:
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def _contexts(pods: PodFields) -> tuple[dict[str, Any], dict[str, Any]]:
    if pods.security_context == RESTRICTED:
        return {**_restricted_pod(), **spelled(pods.pod_security_context)}, restricted_container()
    return spelled(pods.pod_security_context), spelled(pods.security_context or {})


def _container(name: str, pods: PodFields, group: GroupFields, context: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "image": pods.image,
        "imagePullPolicy": pods.image_pull_policy,
        "env": [_variable(key, value) for key, value in pods.env.items()],
        "envFrom": spelled(pods.env_from),
        "volumeMounts": spelled(pods.volume_mounts),
        "securityContext": dict(context),
        "resources": _resources(group),
    }
    return {"name": name, **_said(said)}


def _variable(name: str, value: Any) -> dict[str, Any]:
    # A template, or a connection's JSON, may have made a number of it.
    return {"name": name, **({"valueFrom": spelled(value)} if isinstance(value, Mapping) else {"value": str(value)})}


def _resources(group: GroupFields) -> dict[str, Any]:
    shared = {"cpu": group.cpu, "memory": group.memory, "ephemeral-storage": group.ephemeral_storage}
    devices = {group.gpu_resource: group.gpus, TPU: group.tpus if isinstance(group, WorkerGroup) else None}
    return _said(
        {
            "limits": _amounts({**shared, **devices, **group.limits}),
            "requests": _amounts({**shared, **group.requests}),
        }
    )


def _amounts(said: Mapping[str, Any]) -> dict[str, str]:
    return {name: written(amount) for name, amount in said.items() if amount is not None}


def _template(group: GroupFields, container: str) -> dict[str, Any]:
    template: dict[str, Any] = fitting(spelled(group.template), POD, "template")
    pod = template.get("spec", {})
    if "containers" in pod:
        # One that has no name is Ray's.
        template["spec"] = {**pod, "containers": [{"name": container, **one} for one in pod["containers"]]}
    return template


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None and value not in ([], {}, ())}
