"""A whole Airflow over KubeRay, where it has nothing but the kube-apiserver, and in a pod."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import permissions
from tests.e2e.conftest import migrated_db
from tests.kubernetes import manifests, whole_airflow
from tests.kubernetes.bench import SMALL, USER, Bench, bind
from tests.kubernetes.node.node import Node

__all__ = ["migrated_db"]

# An Airflow starts, and two clusters.
pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(1800)]

DAG_ID = "own_clusters"
LAST_SECONDS = 1400
ENDED = ("Succeeded", "Failed")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder that Airflow and Ray's pods share, whoever they are there."""
    folder = tmp_path / "runs"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def arguments(kube: Node, kubernetes: dict[str, Any], storage: Path, migrated_db: Path) -> str:
    """Say what the Airflow has: both connections, the second of which leads every task to KubeRay."""
    cluster = {
        "image": kube.ray_image,
        "workers": 0,
        "head": {**SMALL, "memory": "3Gi", "requests": {"cpu": "200m", "memory": "1Gi"}},
        "volumes": [{"name": "runs", "host_path": {"path": str(storage), "type": "Directory"}}],
        "volume_mounts": [{"name": "runs", "mount_path": str(storage)}],
    }
    connections = {
        "kubernetes_default": {"conn_type": "kubernetes", "extra": kubernetes},
        "ray_default": {"conn_type": "ray", "extra": {"backend": "kuberay", "cluster": cluster}},
    }
    template = str(migrated_db) if migrated_db.exists() else None
    conf = {"storage": str(storage)}
    return json.dumps({"dag_id": DAG_ID, "conf": conf, "connections": connections, "template_db": template})


def judge(told: dict[str, Any]) -> None:
    """See that both tasks did what they should, on pods, while they had no worker."""
    tasks = told["tasks"]
    logs = "\n".join(f"{name}: {task['state']}\n{task['log'][-4000:]}" for name, task in tasks.items())
    assert told["state"] == "success", logs
    assert re.search(r"^ran on \S+-head-\S+$", tasks["job"]["log"], re.MULTILINE), logs
    assert tasks["train"]["result"]["best_metrics"] == {"epoch": 2, "loss": pytest.approx(1 / 3)}
    assert "loss=0.333" in tasks["train"]["log"], logs
    # For the cluster, and for the job's end.
    assert all(task["deferrals"] >= 2 for task in tasks.values()), tasks
    assert told["network"] != os.readlink("/proc/self/ns/net")


def test_an_airflow_that_reaches_the_kube_apiserver_alone_needs_nothing_but_the_documented_role(
    kube: Node, namespace: str, storage: Path, migrated_db: Path
) -> None:
    bind(kube, namespace)
    kubernetes = {"kube_config_path": str(kube.credentials.kubeconfig(USER)), "namespace": namespace}
    given = arguments(kube, kubernetes, storage, migrated_db)
    command = kube.outside(sys.executable, "-m", whole_airflow.__name__, given)
    environment = os.environ | {"PYTHONPATH": whole_airflow.PYTHONPATH}

    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=LAST_SECONDS, check=False
    )

    assert done.returncode == 0, done.stderr[-6000:]
    judge(json.loads(done.stdout.splitlines()[-1]))
    Bench(kube, namespace).assert_nothing_is_left()


def test_an_airflow_in_a_pod_has_its_accounts_token_and_needs_no_proxy(
    kube: Node, namespace: str, storage: Path, migrated_db: Path
) -> None:
    """Within the Kubernetes cluster Ray is reached by its Service's name, so the Role has no rule about proxies."""
    uses = (permissions.CLUSTERS, permissions.JOBS, permissions.TOKEN)
    bind(kube, namespace, account="default", rules=permissions.role(namespace, uses=uses)["rules"])
    given = arguments(kube, {"in_cluster": True, "namespace": namespace}, storage, migrated_db)
    command = (sys.executable, "-m", whole_airflow.__name__, given)
    environment = {"PYTHONPATH": whole_airflow.PYTHONPATH}

    made = manifests.pod_of_the_tests("whole-airflow", namespace, *command, env=environment, shared=[str(storage)])
    kube.admin.apply(made)
    pod = kube.admin.wait(
        "pods", "whole-airflow", namespace, seconds=LAST_SECONDS, until=lambda seen: seen["status"]["phase"] in ENDED
    )

    printed = kube.admin.log("whole-airflow", namespace)
    assert pod["status"]["phase"] == "Succeeded", printed[-6000:]
    judge(json.loads(printed.splitlines()[-1]))
    Bench(kube, namespace).assert_nothing_is_left()
