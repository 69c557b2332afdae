"""What kind of value stands where in a RayCluster that an author wrote, as far as we add to it or check it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.clusters.kuberay.quantities import whole
from airflow_provider_air.errors import ConfigurationError

# By key: an object's parts, or by ANY those of all its keys; in a list: those of each item; else the type of a single
# value.
ANY = "*"
_TEXTS: dict[str, Any] = {ANY: str}
_METADATA: dict[str, Any] = {"labels": _TEXTS, "annotations": _TEXTS}
_CONTAINER: dict[str, Any] = {
    "name": str,
    "image": str,
    "env": [{"name": str}],
    "envFrom": [{}],
    "ports": [{"containerPort": int}],
    "resources": {"limits": {}, "requests": {}},
    "securityContext": {"capabilities": {"add": [str]}},
    "volumeMounts": [{"name": str, "mountPath": str}],
}
POD: dict[str, Any] = {
    "metadata": _METADATA,
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "imagePullSecrets": [{"name": str}],
        "securityContext": {},
        "tolerations": [{}],
        "topologySpreadConstraints": [{}],
        "volumes": [{"name": str}],
    },
}
_GROUP: dict[str, Any] = {
    "groupName": str,
    "template": POD,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "numOfHosts": int,
    "idleTimeoutSeconds": int,
    "priority": int,
    "labels": _TEXTS,
    "resources": {},
    "rayStartParams": {},
}
_NETWORK_RULES: dict[str, Any] = {"groupName": str, "ingressRules": [{}], "egressRules": [{}]}
RAY_CLUSTER: dict[str, Any] = {
    "metadata": _METADATA,
    "spec": {
        "headGroupSpec": _GROUP,
        "workerGroupSpecs": [_GROUP],
        "authOptions": {},
        "autoscalerOptions": {"idleTimeoutSeconds": int, **_CONTAINER},
        "gcsFaultToleranceOptions": {"storage": {}},
        "headServiceAnnotations": _TEXTS,
        "historyServerOptions": {"collectorOptions": _CONTAINER},
        "networkPolicy": {"head": _NETWORK_RULES, "worker": _NETWORK_RULES, "workerGroups": [_NETWORK_RULES]},
        "rayVersion": str,
        "tlsOptions": {},
        "upgradeStrategy": {},
    },
}
_KINDS = {str: "text: write it in quotes", int: "a whole number"}


def fitting(said: Any, skeleton: Any, where: str) -> Any:
    """
    Give a part of a manifest without its nulls, which Kubernetes takes for absent; a whole number may be a text.

    :param where: names the part, for the message
    :raises ConfigurationError: something is of another kind, or nothing that JSON has
    """
    if isinstance(said, Mapping):
        _expect(isinstance(skeleton, dict) or skeleton is None, where, skeleton, said)
        known = skeleton or {}
        there = {key: item for key, item in said.items() if item is not None}
        return {key: fitting(item, known.get(key, known.get(ANY)), f"{where}.{key}") for key, item in there.items()}
    if isinstance(said, (list, tuple)):
        _expect(isinstance(skeleton, list) or skeleton is None, where, skeleton, said)
        return [fitting(item, skeleton and skeleton[0], f"{where}[{at}]") for at, item in enumerate(said)]
    if skeleton is int:
        # What a template wrote.
        said = whole(said)
    is_of_kind = isinstance(skeleton, type) and isinstance(said, skeleton) and not isinstance(said, bool)
    _expect(skeleton is None or is_of_kind, where, skeleton, said)
    is_json = isinstance(said, (str, int)) or said is None or (isinstance(said, float) and math.isfinite(said))
    if not is_json:
        raise ConfigurationError(f"{where} is a {type(said).__name__}, which JSON does not have: write it as text")
    return said


def _expect(is_so: bool, where: str, skeleton: Any, said: Any) -> None:
    if not is_so:
        what = "an object" if isinstance(skeleton, dict) else "a list" if isinstance(skeleton, list) else None
        raise ConfigurationError(f"{where} must be {what or _KINDS[skeleton]}, and is {type(said).__name__}")
