"""What runs that were cut off have left is taken from a real Ray cluster, a real MLflow server and a real folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow_server import mlflow_server

from airflow_provider_air import RayCleanUpOperator
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterState
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import get_job, submit_job
from airflow_provider_air.runs.marks import Mark
from airflow_provider_air.runs.names import metadata_of
from airflow_provider_air.storage.shared_folder import Folder
from airflow_provider_air.waiting import wait_until
from tests.clusters import BACKEND, delete, local_cluster, wait_for_state
from tests.fakes.task_context import Store, Supervisor, task_context

pytestmark = [pytest.mark.integration, pytest.mark.full, pytest.mark.timeout(600)]

OVER = TaskKey("clean-up", "flights", "manual__0", "train")
LIVE = replace(OVER, run_id="manual__1")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A deployment in which one DAG run is over and another is not, on a host without other clusters of ours."""
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    supervisor.dag_runs = {OVER.run_id: "failed", LIVE.run_id: "running"}
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setenv("AIRFLOW__AIR__DEPLOYMENT", OVER.deployment)
    with tempfile.TemporaryDirectory(prefix="air-", dir="/tmp") as folder:
        monkeypatch.setenv("AIR_LOCAL_HOME", folder)
        try:
            yield supervisor
        finally:
            for listed in BACKEND.list():
                delete(listed.ref)


def clean(**fields: Any) -> dict[str, Any]:
    operator = RayCleanUpOperator(task_id="clean_up", keep_clusters_seconds=0, **fields)
    report: dict[str, Any] = operator.execute(task_context(Store()))
    return report


def test_what_is_left_goes_and_what_is_wanted_stays(
    airflow: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = LocalCluster(num_cpus=1, object_store_memory_bytes=100 * 1024 * 1024)
    folder = Folder(tmp_path)
    Mark("result", "air-left", OVER).write(folder)
    folder.put("results/air-left.json", b"{}")
    with mlflow_server() as url, local_cluster("standing", num_cpus=1) as (standing, transport):
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_LEFT", f'{{"conn_type": "mlflow", "host": "{url}"}}')
        with RayClient(transport) as client:
            for key in (OVER, LIVE):
                marks = metadata_of(key, generation=1, attempt=1, try_number=1)
                client.send(submit_job(JobSubmission(key.run_id, "sleep 600", metadata=marks)))
            attempt = AttemptInfo(OVER, "air-left", "train-g1", 1, 1, "train", "standing")
            run = MlflowTracker("mlflow_left").open(AirflowConnections()).before_submit(attempt).state
            refs = {}
            for key in (OVER, LIVE):
                named = BACKEND.name_of(own, key)
                refs[key] = BACKEND.ensure(own, named, owner=ClusterOwner(key.deployment, key))

            places = {
                "clusters": [standing.to_json()],
                "tracker_conn_ids": ["mlflow_left"],
                "storages": [str(tmp_path)],
                "keep_results_days": 0,
            }
            told = clean(**places, only_tell=True)
            assert (told["would be taken"], told["taken"], told["outages"]) == (4, 0, {})
            told = clean(**places)
            assert (told["taken"], told["failed"], told["outages"]) == (4, 0, {})

            wait_for_state(refs[OVER], ClusterState.ABSENT)
            assert BACKEND.describe(refs[LIVE]).state in (ClusterState.STARTING, ClusterState.READY)
            assert BACKEND.describe(standing).state is ClusterState.READY
            wait_until(lambda: _status(client, OVER) == "STOPPED" or None, what="the job's end", timeout_seconds=60)
            assert _status(client, LIVE) in ("PENDING", "RUNNING")
            assert clean(**places)["taken"] == 0
        answer = MlflowServer(url).call("GET", "runs/get", run_id=run["run_id"])
        assert answer["run"]["info"]["status"] == "KILLED"
        assert folder.list() == []


def _status(client: RayClient, key: TaskKey) -> str:
    job = client.send(get_job(key.run_id))
    return "" if job is None else job.status.value
