"""What kind of value stands where in a RayCluster that an author wrote, as far as what we add to it must know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.errors import ConfigurationError

# By key: an object's parts; in a list: those of each item; else the type of a single value.
_CONTAINER: dict[str, Any] = {
    "name": str,
    "image": str,
    "env": [{"name": str}],
    "resources": {"limits": {}, "requests": {}},
    "securityContext": {},
}
POD: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {"containers": [_CONTAINER], "initContainers": [_CONTAINER], "securityContext": {}, "volumes": [{}]},
}
_GROUP: dict[str, Any] = {
    "groupName": str,
    "template": POD,
    "replicas": int,
    "minReplicas": int,
    "maxReplicas": int,
    "numOfHosts": int,
    "idleTimeoutSeconds": int,
    "rayStartParams": {},
}
RAY_CLUSTER: dict[str, Any] = {
    "metadata": {"labels": {}, "annotations": {}},
    "spec": {
        "headGroupSpec": _GROUP,
        "workerGroupSpecs": [_GROUP],
        "authOptions": {},
        "autoscalerOptions": {},
        "rayVersion": str,
    },
}
_KINDS = {str: "text: write it in quotes", int: "a whole number"}


def fitting(said: Any, skeleton: Any, where: str) -> Any:
    """
    Give a part of a manifest without its nulls, which Kubernetes takes for absent.

    :param where: names the part, for the message
    :raises ConfigurationError: something is of another kind, or nothing that JSON has
    """
    if isinstance(said, Mapping):
        _expect(isinstance(skeleton, dict) or skeleton is None, where, skeleton, said)
        known = skeleton or {}
        return {key: fitting(item, known.get(key), f"{where}.{key}") for key, item in said.items() if item is not None}
    if isinstance(said, (list, tuple)):
        _expect(isinstance(skeleton, list) or skeleton is None, where, skeleton, said)
        return [fitting(item, skeleton and skeleton[0], f"{where}[{at}]") for at, item in enumerate(said)]
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
