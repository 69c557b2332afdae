"""A storage is looked at when a job is due, and never stands between a job that is there and its result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.operators.driven import RayDrivenOperator
from airflow_provider_air.runs.plan import BuildInfo
from airflow_provider_air.storage.gcs import GcsStorage
from airflow_provider_air.storage.s3 import S3Storage
from tests.deferrals import event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.object_stores import ROLE, aws_connection, s3_client, s3_server
from tests.unit.operators.test_submit import posts


class Driven(RayDrivenOperator):
    """The least that a workload's operator is."""

    def build_job(self, context: Any, info: BuildInfo) -> JobRequest:
        return self.driver_job("python drive.py", {"payload.json": json.dumps(self.storage_path(info)).encode()})


def driven(storage: Any, **fields: Any) -> Any:
    timeout = timedelta(minutes=30)
    return Driven(task_id="train", storage=storage, working_dir=None, **{"execution_timeout": timeout, **fields})


SESSION = S3Storage("store", "s3://models/runs", credentials="session")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_server() as url:
        s3_client(url).create_bucket(Bucket="models")
        yield url


@pytest.fixture(autouse=True)
def store_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", aws_connection(url, role_arn=ROLE))


def started(store: Store) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        driven(SESSION).execute(task_context(store))
    return raised.value


def succeed(head: FakeRayDashboard) -> None:
    (name,) = head.jobs
    write_records(head, name, {"kind": "result", "value": encode(7)}, {"kind": "end", "status": "succeeded"})
    head.set_status(name, "SUCCEEDED")


@pytest.fixture
def lost_store(monkeypatch: pytest.MonkeyPatch) -> Any:
    """From its call on, the store's connection leads nowhere."""
    return lambda: monkeypatch.setenv("AIRFLOW_CONN_STORE", aws_connection("http://127.0.0.1:9", role_arn=ROLE))


def test_a_job_is_told_where_and_gets_its_credentials_out_of_sight(
    head: FakeRayDashboard, store: Store, url: str
) -> None:
    started(store)

    (job,) = head.jobs.values()
    shown = json.dumps(job.runtime_env)
    assert url in shown
    assert "AWS_SESSION_TOKEN" not in shown
    assert "AWS_SECRET_ACCESS_KEY" not in shown


def test_a_job_that_has_succeeded_is_collected_without_its_storage(
    head: FakeRayDashboard, store: Store, lost_store: Any
) -> None:
    pause = started(store)
    succeed(head)
    lost_store()

    assert resume(driven(SESSION), task_context(store), pause, event_of(pause.trigger)) == 7


def test_a_retry_collects_what_has_succeeded_meanwhile_without_its_storage(
    head: FakeRayDashboard, store: Store, lost_store: Any
) -> None:
    started(store)
    succeed(head)
    lost_store()

    assert driven(SESSION).execute(task_context(store, try_number=2)) == 7
    assert posts(head) == [200]


def test_a_retry_adopts_a_running_job_without_its_storage(
    head: FakeRayDashboard, store: Store, lost_store: Any
) -> None:
    started(store)
    lost_store()

    with pytest.raises(TaskDeferred):
        driven(SESSION).execute(task_context(store, try_number=2))
    assert posts(head) == [200]


@pytest.mark.parametrize(
    ("storage", "fields", "message"),
    [
        (S3Storage("store", "s3://nobodys"), {}, "There is no bucket 'nobodys'"),
        (S3Storage("store", "s3://models", credentials="sesion"), {}, "must be ambient or session, not 'sesion'"),
        (SESSION, {"execution_timeout": None}, "no execution_timeout"),
        (GcsStorage("absent", "gs://models", credentials="key"), {}, "must be ambient or session, not 'key'"),
        (S3Storage("absent", "s3://models"), {}, "There is no Airflow connection 'absent'"),
        ("/nowhere/at/all", {}, "does not exist"),
        (7, {}, "'storage' must be a storage"),
    ],
    ids=["bucket", "credentials", "lifetime", "credentials on Google", "connection", "folder", "number"],
)
def test_what_cannot_work_is_one_error_and_starts_nothing(
    head: FakeRayDashboard, store: Store, storage: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        driven(storage, **fields).execute(task_context(store))

    assert posts(head) == []


class Uncaring(Driven):
    """A workload that keeps nothing by itself, such as batch inference: it never asks for the path."""

    def build_job(self, context: Any, info: BuildInfo) -> JobRequest:
        return self.driver_job("python drive.py", {"payload.json": b"{}"})


def test_a_workload_that_does_not_ask_for_the_path_is_checked_as_well(head: FakeRayDashboard, store: Store) -> None:
    task = Uncaring(task_id="train", storage=S3Storage("store", "s3://nobodys"))
    with pytest.raises(AirflowFailException, match="There is no bucket 'nobodys'"):
        task.execute(task_context(store))

    assert posts(head) == []


def test_a_job_knows_where_a_large_result_goes(head: FakeRayDashboard, store: Store) -> None:
    started(store)

    (job,) = head.jobs.values()
    assert (job.runtime_env or {})["env_vars"]["AIR_STORAGE"] == "s3://models/runs"


@pytest.mark.parametrize("attempts", [1, 2])
def test_code_that_is_too_large_for_ray_is_in_the_bucket_before_its_job_is_submitted(
    head: FakeRayDashboard, store: Store, url: str, large_code: Path, attempts: int
) -> None:
    for number in range(1, attempts + 1):
        task = Driven(task_id="train", storage=S3Storage("store", "s3://models/runs"), working_dir=str(large_code))
        with pytest.raises(TaskDeferred):
            task.execute(task_context(store, try_number=number))
        head.set_status(list(head.jobs)[-1], "FAILED")

    places = {(job.runtime_env or {})["working_dir"] for job in head.jobs.values()}
    (place,) = places
    found = s3_client(url).head_object(Bucket="models", Key=place.removeprefix("s3://models/"))
    assert found["ContentLength"] > 400_000
