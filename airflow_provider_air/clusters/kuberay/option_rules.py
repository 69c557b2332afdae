"""
What KubeRay's operator refuses of the options that came with 1.7, and which fields an older one has not.

Source: ``validation.go`` of KubeRay 1.7.0; the fields by comparing its CRDs with those of 1.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_air.clusters.kuberay.checks import DNS_1123_LABEL
from airflow_provider_air.clusters.kuberay.containers import (
    containers_of,
    groups_of,
    is_autoscaler_v2,
    variables_of,
    version_of,
)
from airflow_provider_air.errors import ConfigurationError

TLS_VARIABLES = ("RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT")
TLS_VOLUME, TLS_PATH = "ray-tls", "/etc/ray/tls"
GCS_VARIABLES = ("RAY_gcs_storage", "RAY_gcs_storage_path")
GCS_VOLUME, GCS_PATH = "gcs-storage", "/data/gcs"
REDIS_FIELDS = ("redisAddress", "redisUsername", "redisPassword", "externalStorageNamespace")
COLLECTOR = "ray-history-collector"
START_COMMAND = "KUBERAY_GEN_AUTOSCALER_START_CMD"
RAY_OF_PRIORITY = (2, 56, 0)
NEW_IN_1_7 = (
    "autoscalerOptions.args",
    "autoscalerOptions.command",
    "gcsFaultToleranceOptions.backend",
    "gcsFaultToleranceOptions.storage",
    "headGroupSpec.ingressOptions",
    "historyServerOptions",
    "networkPolicy",
    "tlsOptions",
    "workerGroupSpecs.priority",
)
"""Fields that the CRDs of 1.6.1 do not have."""
UNKNOWN_FIELD = re.compile(r'unknown field "([^"]+)"|\.(spec\.\S+): field not declared in schema')


def problems_of(cluster: Mapping[str, Any]) -> Iterator[str]:
    """Give a sentence for each reason why the operator would refuse a RayCluster's spec."""
    yield from _gcs_backend(cluster)
    yield from _network_policy(cluster)
    yield from _tls(cluster)
    yield from _history(cluster)
    yield from _priority(cluster)
    if any(item.get("name") == START_COMMAND for item in (cluster.get("autoscalerOptions") or {}).get("env") or ()):
        yield f"autoscalerOptions.env has {START_COMMAND}, which KubeRay sets"


def refused_fields(message: str) -> ConfigurationError | None:
    """
    Say what the kube-apiserver's strict field validation has refused; None where the message is about something else.

    The CRDs that are installed decide which fields there are; no version has to be known.

    :param message: of its answer: HTTP 400 to a creation, and 500 to a server-side apply (Kubernetes 1.35), which is
        no outage
    """
    unknown = [found[1] or found[2] for found in UNKNOWN_FIELD.finditer(message)]
    if not unknown:
        return None
    newer = [path for path in unknown if _without_places(path).endswith(NEW_IN_1_7)]
    paths = ", ".join(unknown)
    if newer:
        hint = f"{', '.join(newer)} came with KubeRay 1.7: install it, its CRDs first, or leave the field out"
    else:
        hint = "Mind the spelling; a field of a newer KubeRay needs its operator and CRDs"
    return ConfigurationError(f"The KubeRay of this Kubernetes has no field {paths}", hint=hint)


def _without_places(path: str) -> str:
    return re.sub(r"\[[^]]*\]", "", path)


def _gcs_backend(cluster: Mapping[str, Any]) -> Iterator[str]:
    options = cluster.get("gcsFaultToleranceOptions")
    if options is None:
        return
    if (options.get("backend") or "redis") == "rocksdb":
        yield from _rocksdb(options, cluster["headGroupSpec"])
        return
    if options.get("storage"):
        yield "gcsFaultToleranceOptions.storage is for the backend 'rocksdb' alone"
    if not options.get("redisAddress"):
        yield "gcsFaultToleranceOptions needs redisAddress, or the backend 'rocksdb'"


def _rocksdb(options: Mapping[str, Any], head: Mapping[str, Any]) -> Iterator[str]:
    storage = options.get("storage") or {}
    for name in REDIS_FIELDS:
        if options.get(name):
            yield f"gcsFaultToleranceOptions.{name} is not for the backend 'rocksdb'"
    if storage.get("claimName") and any(storage.get(name) for name in ("size", "storageClassName", "accessModes")):
        yield "gcsFaultToleranceOptions.storage has claimName and how to make another claim: use only one of them"
    yield from _taken(head, "the head", GCS_VARIABLES, (GCS_VOLUME, GCS_PATH), "the backend 'rocksdb'")
    if any(volume.get("name") == GCS_VOLUME for volume in head["template"]["spec"].get("volumes") or ()):
        yield f"the head has a volume {GCS_VOLUME}, which KubeRay makes for the backend 'rocksdb'"


def _taken(
    group: Mapping[str, Any], where: str, variables: tuple[str, ...], mount: tuple[str, str], why: str
) -> Iterator[str]:
    """Tell what a Ray container has that KubeRay sets itself."""
    for name in variables:
        if name in variables_of(group):
            yield f"{where} has the variable {name}, which KubeRay sets for {why}"
    for container in containers_of(group)[:1]:
        for item in container.get("volumeMounts") or ():
            if item.get("name") == mount[0] or item.get("mountPath") == mount[1]:
                yield f"{where} has the mount {item.get('name')}, which KubeRay makes at {mount[1]} for {why}"


def _network_policy(cluster: Mapping[str, Any]) -> Iterator[str]:
    policy = cluster.get("networkPolicy")
    if policy is None:
        return
    mode = policy.get("mode") or "DenyAll"
    names = {str(group.get("groupName")) for group in cluster.get("workerGroupSpecs") or ()}
    parts = {f"networkPolicy.{name}": policy.get(name) or {} for name in ("head", "worker")}
    for group in policy.get("workerGroups") or ():
        parts[f"networkPolicy.workerGroups[{group.get('groupName')}]"] = group
        if group.get("groupName") not in names:
            yield f"networkPolicy.workerGroups has {group.get('groupName')!r}, and there is no such group"
    for where, rules in parts.items():
        for free, field in (("DenyAllEgress", "ingressRules"), ("DenyAllIngress", "egressRules")):
            if mode == free and rules.get(field):
                yield f"{where}.{field} say nothing with mode {mode}"
    yield from _policy_names(names)


def _policy_names(names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        if DNS_1123_LABEL.fullmatch(name) is None:
            yield f"with networkPolicy a group's name has lower-case letters, digits and '-' alone: {name!r}"


def _tls(cluster: Mapping[str, Any]) -> Iterator[str]:
    if not (cluster.get("tlsOptions") or {}).get("enabled"):
        return
    options = cluster.get("autoscalerOptions") or {}
    autoscaler = {"env": options.get("env"), "volumeMounts": options.get("volumeMounts")}
    groups = [*groups_of(cluster), ("the autoscaler", {"template": {"spec": {"containers": [autoscaler]}}})]
    for where, group in groups:
        yield from _taken(group, where, TLS_VARIABLES, (TLS_VOLUME, TLS_PATH), "tlsOptions")


def _history(cluster: Mapping[str, Any]) -> Iterator[str]:
    options = cluster.get("historyServerOptions")
    if options is None:
        return
    collector = options.get("collectorOptions") or {}
    if not collector.get("image"):
        yield "historyServerOptions needs collectorOptions.image"
    env = {item.get("name"): item for item in collector.get("env") or ()}
    if not env.get("STORAGE_BACKEND", {}).get("value"):
        yield "historyServerOptions.collectorOptions.env needs STORAGE_BACKEND"
    for where, group in groups_of(cluster):
        if any(container.get("name") == COLLECTOR for container in containers_of(group)):
            yield f"{where} has a container {COLLECTOR}, which KubeRay makes"


def _priority(cluster: Mapping[str, Any]) -> Iterator[str]:
    for where, group in groups_of(cluster)[1:]:
        if not group.get("priority"):
            continue
        if (version_of(cluster.get("rayVersion")) or ()) < RAY_OF_PRIORITY:
            yield f"{where} has a priority, which needs Ray {'.'.join(map(str, RAY_OF_PRIORITY))} or later"
        if not is_autoscaler_v2(cluster):
            yield f"{where} has a priority, which only the autoscaler v2 knows: set enableInTreeAutoscaling"
