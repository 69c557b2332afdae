"""What a manifest says, read as the operator reads it: its groups, Ray's containers and their variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

AUTOSCALER_V2 = "RAY_enable_autoscaler_v2"


def groups_of(cluster: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Give the groups of a RayCluster's spec, the head first, with how a message names each."""
    workers = cluster.get("workerGroupSpecs") or ()
    return [("the head", cluster["headGroupSpec"]), *((f"group {group.get('groupName')}", group) for group in workers)]


def containers_of(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Give a group's containers; the first is Ray's."""
    return list(group.get("template", {}).get("spec", {}).get("containers") or ())


def variables_of(group: Mapping[str, Any]) -> dict[str, Any]:
    """Give the variables of a group's Ray container; None for the value of one that is read from elsewhere."""
    containers = containers_of(group)
    said = (containers[0].get("env") or ()) if containers else ()
    return {variable.get("name"): variable.get("value") for variable in said}


def is_true(value: Any) -> bool:
    """Tell whether a variable switches something on."""
    return value in ("1", "true")


def is_autoscaled(cluster: Mapping[str, Any]) -> bool:
    """Tell whether Ray adds and removes workers."""
    return bool(cluster.get("enableInTreeAutoscaling"))


def is_autoscaler_v2(cluster: Mapping[str, Any]) -> bool:
    """Tell whether the operator takes the autoscaler for v2; a default of Ray's does not count there."""
    said = (cluster.get("autoscalerOptions") or {}).get("version")
    return said == "v2" or is_true(variables_of(cluster["headGroupSpec"]).get(AUTOSCALER_V2))


def version_of(text: Any) -> tuple[int, ...] | None:
    """Read a version as Kubernetes' ParseGeneric does: its leading numbers; None where it has none."""
    found = re.match(r"\s*v?(\d+(?:\.\d+)+)", str(text))
    return tuple(int(part) for part in found[1].split(".")) if found else None
