"""Two parts of one manifest become one; where both say something else, the paths are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_air.errors import ConfigurationError

# Lists whose items have a name; source: x-kubernetes-list-map-keys of the CRDs, and KubeRay's own groupName.
NAMED_BY = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumes": "name",
    "workerGroupSpecs": "groupName",
    "workerGroups": "groupName",
}
# Lists that say "all of these", in any order.
COLLECTED = frozenset({"envFrom", "tolerations", "topologySpreadConstraints"})
MOST_PATHS = 10


def merged(first: Mapping[str, Any], second: Mapping[str, Any], *, names: tuple[str, str]) -> dict[str, Any]:
    """
    Merge two parts of a manifest; neither is changed.

    Objects are merged by key, named lists by their names, what both say alike stays. None says nothing.

    :param names: how a message calls the two, such as ``("'manifest'", "the fields")``
    :raises ConfigurationError: both say something, and not the same; all paths are in the message
    """
    collisions: list[str] = []
    whole = _objects(first, second, "", collisions)
    if collisions:
        shown = ", ".join(sorted(collisions)[:MOST_PATHS])
        more = f" and {len(collisions) - MOST_PATHS} more" if len(collisions) > MOST_PATHS else ""
        raise ConfigurationError(
            f"{names[0]} and {names[1]} of a KubeRayCluster say different things at {shown}{more}",
            hint="Say each of them in one place only",
        )
    return whole


def _objects(first: Mapping[str, Any], second: Mapping[str, Any], path: str, collisions: list[str]) -> dict[str, Any]:
    whole = {key: value for key, value in first.items() if value is not None}
    for key, value in second.items():
        if value is not None:
            whole[key] = _values(whole.get(key), value, key, f"{path}.{key}" if path else key, collisions)
    return whole


def _values(first: Any, second: Any, key: str, path: str, collisions: list[str]) -> Any:
    if first is None or first == second:
        return second
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return _objects(first, second, path, collisions)
    if isinstance(first, list) and isinstance(second, list):
        if key in COLLECTED:
            return [*first, *(item for item in second if item not in first)]
        if key in NAMED_BY and _all_named([*first, *second], NAMED_BY[key]):
            return _named_lists(first, second, NAMED_BY[key], path, collisions)
    collisions.append(path)
    return first


def _all_named(items: list[Any], name: str) -> bool:
    return all(isinstance(item, Mapping) and item.get(name) is not None for item in items)


def _named_lists(first: list[Any], second: list[Any], name: str, path: str, collisions: list[str]) -> list[Any]:
    whole = {item[name]: item for item in first}
    for item in second:
        there = whole.get(item[name])
        whole[item[name]] = item if there is None else _objects(there, item, f"{path}[{item[name]}]", collisions)
    return list(whole.values())
