"""Manifests that tests apply themselves, beside those that the package writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.kubernetes.node.ray_image import REPOSITORY
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


def pod_of_the_tests(
    name: str, namespace: str, *command: str, env: Mapping[str, str] | None = None, shared: Sequence[str] = ()
) -> Document:
    """A pod in which ``command`` runs as it does here: the same Python, packages (Airflow, this one) and folders.

    They are this machine's, mounted under the names that they have here; Debian in the image has what Python needs
    beside itself. It is root, so that it may read them. What is written stays in the pod, but in ``shared`` folders.
    """
    folders = dict.fromkeys([sys.base_prefix, sys.prefix, str(REPOSITORY)], True) | dict.fromkeys(shared, False)
    mounts = [
        {"name": f"of-tests-{n}", "mountPath": each, "readOnly": only} for n, (each, only) in enumerate(folders.items())
    ]
    volumes = [{"name": f"of-tests-{n}", "hostPath": {"path": each}} for n, each in enumerate(folders)]
    given = {"HOME": "/tmp", "PYTHONPATH": str(REPOSITORY), "AIRFLOW_HOME": "/tmp/airflow"} | dict(env or {})
    made = pod(name, namespace, *command, volumes=volumes, securityContext={"runAsUser": 0})
    made["spec"]["containers"][0] |= {
        "volumeMounts": mounts,
        "env": [{"name": each, "value": value} for each, value in given.items()],
        "workingDir": "/tmp",
    }
    return made


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
