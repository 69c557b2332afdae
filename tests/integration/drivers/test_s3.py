"""A training whose checkpoints live in a bucket resumes from there, with credentials that nobody else sees."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.storage import JobAccess
from airflow_provider_air.errors import JobFailedError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.failures import failure_of_end
from airflow_provider_air.storage.s3 import S3Storage
from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import train
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from tests.fakes.chaos_proxy import ChaosProxy
from tests.integration.drivers.conftest import DriverJob, Submit
from tests.object_stores import ROLE, aws_connection, s3_client, s3_server

pytestmark = pytest.mark.integration
STORAGE = S3Storage("store", "s3://models/runs", credentials="session")


EXPIRED = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"


@pytest.fixture(scope="module")
def store() -> Iterator[ChaosProxy]:
    """The bucket's server, as the jobs reach it."""
    with s3_server() as url, ChaosProxy(url) as proxy, pytest.MonkeyPatch.context() as patch:
        s3_client(url).create_bucket(Bucket="models")
        patch.setenv("AIRFLOW_CONN_STORE", aws_connection(proxy.url, role_arn=ROLE))
        yield proxy


@pytest.fixture(scope="module")
def access(store: ChaosProxy) -> JobAccess:
    return STORAGE.open(AirflowConnections()).access(lifetime=timedelta(minutes=20))


@pytest.mark.full  # how an expiry is told is in the unit tests, that a retry resumes in e2e test_workloads.py
def test_a_training_whose_credentials_expire_says_so_and_resumes_from_the_bucket_with_new_ones(
    access: JobAccess, store: ChaosProxy, head: Transport, submit: Submit, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    spec = TrainSpec(
        "loops:epochs", train_loop_config={"epochs": 6, "checkpoint_every": 2, "hold_at": 5, "gate": str(gate)}
    )

    def start() -> DriverJob:
        payload = spec.payload(run_name="run", storage_path="s3://models/runs", fixed_size=True)
        return submit(train.ENTRYPOINT, payload, env_vars=access.env_vars, secrets=access.secrets)

    first = start()
    wait_until(lambda: first.of_kind("checkpoint")[1:] or None, what="two checkpoints", timeout_seconds=420)
    expired = store.on("*", "", times=None, status=400, body=EXPIRED)
    gate.touch()
    error = failure_of_end("ended", first.submission_id, first.ended().details(), "", first.records())
    assert isinstance(error, JobFailedError)
    assert "credentials seem to have expired: a retry gets new ones" in str(error)
    expired.cancel()
    result = TrainResult.from_value(start().succeeded())

    assert (result.resumed_from or "").startswith("s3://models/runs/run/checkpoint_")
    assert [row["metrics"]["epoch"] for row in result.history] == list(range(6))
    kept = STORAGE.open(AirflowConnections()).list("run")
    assert {f"s3://models/runs/{file.path.rpartition('/')[0]}" for file in kept} >= {
        checkpoint["uri"] for checkpoint in result.checkpoints
    }
    jobs = httpx.get(head.base_url + "/api/jobs/", headers=head.request_headers(), timeout=60).text
    assert "AWS_ENDPOINT_URL_S3" in jobs
    assert [name for name, value in access.secrets.items() if value in jobs] == []


def test_a_bucket_that_only_the_cluster_finds_absent_costs_no_workers(access: JobAccess, submit: Submit) -> None:
    payload = TrainSpec("loops:epochs").payload(run_name="run", storage_path="s3://nobodys/runs", fixed_size=True)

    job = submit(train.ENTRYPOINT, payload, env_vars=access.env_vars, secrets=access.secrets)

    assert "storage_path: this cluster cannot write to s3://nobodys/runs" in job.problem()
    assert job.of_kind("progress") == []
