"""Kubernetes' words in Python's spelling: ``secret_key_ref`` is ``secretKeyRef``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What Kubernetes does not spell by its own rule (core/v1 of Kubernetes 1.35, KubeRay 1.7).
UNRULY = {
    "client_ip": "clientIP",
    "cluster_ip": "clusterIP",
    "cluster_ips": "clusterIPs",
    "dataset_uuid": "datasetUUID",
    "disk_uri": "diskURI",
    "downward_api": "downwardAPI",
    "external_ips": "externalIPs",
    "host_ip": "hostIP",
    "host_ipc": "hostIPC",
    "host_ips": "hostIPs",
    "host_pid": "hostPID",
    "load_balancer_ip": "loadBalancerIP",
    "pd_id": "pdID",
    "pod_ip": "podIP",
    "pod_ips": "podIPs",
    "runtime_env_yaml": "runtimeEnvYAML",
    "scale_io": "scaleIO",
    "set_hostname_as_fqdn": "setHostnameAsFQDN",
    "storage_policy_id": "storagePolicyID",
    "target_wwns": "targetWWNs",
    "volume_id": "volumeID",
}
# What holds names of the author's own: these are never spelled otherwise.
NAMES_INSIDE = frozenset(
    {
        "annotations",
        "capacity",
        "headServiceAnnotations",
        "labels",
        "limits",
        "matchLabels",
        "nodeSelector",
        "options",
        "overhead",
        "rayStartParams",
        "requests",
        "userAnnotations",
        "volumeAttributes",
    }
)
# What holds names where its values are plain: a Service's selector and not a claim's, a group's resources and not a
# container's.
NAMES_IF_PLAIN = frozenset({"resources", "selector"})


def camel(word: str) -> str:
    """Spell one word as Kubernetes does; one that has no underscore stays."""
    if word in UNRULY:
        return UNRULY[word]
    first, *others = word.split("_")
    return first + "".join(other[:1].upper() + other[1:] for other in others)


def spelled(value: Any) -> Any:
    """
    Spell the keys of data as Kubernetes does, to any depth, but for those that are the author's own names.

    Gives copies, so that nothing of what the author wrote is changed later.
    """
    if isinstance(value, Mapping):
        return {camel(str(key)): _inside(camel(str(key)), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(item) for item in value]
    return value


def _inside(word: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return spelled(value)
    is_plain = word in NAMES_IF_PLAIN and not any(isinstance(item, (Mapping, list, tuple)) for item in value.values())
    return {str(key): item for key, item in value.items()} if word in NAMES_INSIDE or is_plain else spelled(value)
