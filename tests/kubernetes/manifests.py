"""Manifests that tests apply themselves, beside those that the package writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.kubernetes.node.ray_image import name as ray_image

Document = dict[str, Any]


def pod(name: str, namespace: str, *command: str, **spec: Any) -> Document:
    """A pod that runs one command in the Ray image and ends with it."""
    container = {"name": "main", "image": ray_image(), "command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]} | spec,
    }


def ray_cluster(name: str, namespace: str, *, workers: int = 0, **spec: Any) -> Document:
    """A RayCluster with token authentication whose pods fit two at a time on a machine of two cores."""
    groups = [{"groupName": "workers", "replicas": workers, "rayStartParams": {}, "template": ray_pod("ray-worker")}]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "rayVersion": ray_image().rpartition(":")[2],
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"rayStartParams": {"num-cpus": "1"}, "template": ray_pod("ray-head")},
            "workerGroupSpecs": groups if workers else [],
        }
        | spec,
    }


def ray_pod(container: str, requests: Mapping[str, str] | None = None) -> Document:
    """The template of a Ray node's pod, with what it asks for (300 millicores, 1 GiB)."""
    wanted = dict(requests or {"cpu": "300m", "memory": "1Gi"})
    resources = {"requests": wanted, "limits": {"cpu": "2", "memory": "2Gi"}}
    main = {"name": container, "image": ray_image(), "resources": resources}
    return {"spec": {"terminationGracePeriodSeconds": 5, "containers": [main]}}
