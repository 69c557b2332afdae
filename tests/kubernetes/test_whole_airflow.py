"""A whole Airflow over KubeRay, where it has nothing but the kube-apiserver, and in a pod."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from airflow_provider_air.clusters.kuberay import permissions
from tests.e2e.conftest import migrated_db
from tests.kubernetes import manifests, whole_airflow
from tests.kubernetes.bench import SMALL, USER, Bench, bind
from tests.kubernetes.node.node import Node

__all__ = ["migrated_db"]

# An Airflow starts, and three clusters.
pytestmark = [pytest.mark.e2e, pytest.mark.full, pytest.mark.timeout(2400)]

OWN, GROWN = "own_clusters", "grown_cluster"
LAST_SECONDS = 2100
ENDED = ("Succeeded", "Failed")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A folder that Airflow and Ray's pods share, whoever they are there, with what the DAGs read."""
    folder = tmp_path / "runs"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "numbers").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"number": list(range(100))}), folder / "numbers" / "all.parquet")
    return folder


def arguments(kube: Node, kubernetes: dict[str, Any], storage: Path, migrated_db: Path) -> str:
    """Say what the Airflow has: a connection to Kubernetes, and two by which tasks have their clusters there."""
    roomy = {**SMALL, "memory": "3Gi", "requests": {"cpu": "200m", "memory": "1Gi"}}
    own = {
        "image": kube.ray_image,
        "workers": 0,
        "head": roomy,
        "volumes": [{"name": "runs", "host_path": {"path": str(storage), "type": "Directory"}}],
        "volume_mounts": [{"name": "runs", "mount_path": str(storage)}],
    }
    growing = {
        **own,
        "workers": None,
        "head": {**roomy, "resources": {"CPU": 0}},
        "worker_groups": [{**roomy, "name": "grown", "resources": {"CPU": 2}, "min_replicas": 0, "max_replicas": 1}],
    }
    connections = {
        "kubernetes_default": {"conn_type": "kubernetes", "extra": kubernetes},
        "ray_default": {"conn_type": "ray", "extra": {"backend": "kuberay", "cluster": own}},
        "ray_growing": {"conn_type": "ray", "extra": {"backend": "kuberay", "cluster": growing}},
    }
    template = str(migrated_db) if migrated_db.exists() else None
    conf = {"storage": str(storage)}
    return json.dumps({"dag_ids": [OWN, GROWN], "conf": conf, "connections": connections, "template_db": template})


def judge(told: dict[str, Any], storage: Path) -> None:
    """See that all tasks did what they should, on pods."""
    own, grown = (told["runs"][dag_id] for dag_id in (OWN, GROWN))
    logs = "\n".join(
        f"{name}: {task['state']}\n{task['log'][-4000:]}" for run in (own, grown) for name, task in run["tasks"].items()
    )
    assert (own["state"], grown["state"]) == ("success", "success"), logs
    assert told["network"] != os.readlink("/proc/self/ns/net")

    tasks = own["tasks"]
    assert re.search(r"^ran on \S+-head-\S+$", tasks["job"]["log"], re.MULTILINE), logs
    assert tasks["train"]["result"]["best_metrics"] == {"epoch": 2, "loss": pytest.approx(1 / 3)}
    assert "loss=0.333" in tasks["train"]["log"], logs
    # For the cluster, and for the job's end.
    assert all(task["deferrals"] >= 2 for task in tasks.values()), tasks

    tasks = grown["tasks"]
    # There was none when the training asked for it.
    assert re.search(r"trained on \S+-grown-worker-\S+", tasks["ray.train"]["log"]), logs
    products = pyarrow.parquet.read_table(storage / "products").to_pydict()
    assert sorted(products["product"]) == [3 * number for number in range(100)]
    assert tasks["ray.predict"]["result"]["rows_written"] == 100
    assert tasks["ray.deploy"]["result"]["status"] == "RUNNING"
    assert tasks["ray.deploy"]["result"]["deployments"]["Greeter"]["replicas"] == 1


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
    judge(json.loads(done.stdout.splitlines()[-1]), storage)
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
    judge(json.loads(printed.splitlines()[-1]), storage)
    Bench(kube, namespace).assert_nothing_is_left()
