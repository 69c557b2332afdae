"""What an author gives as ``storage=`` is opened by its connection, and jobs get no more than they may."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.hooks.storage import job_access, open_storage
from airflow_provider_air.storage.gcs import GcsStorage
from airflow_provider_air.storage.s3 import S3Storage
from airflow_provider_air.storage.shared_folder import SharedFolder
from tests.object_stores import ROLE, STATIC_SECRET, aws_connection, s3_client, s3_server

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with s3_server() as url:
        s3_client(url).create_bucket(Bucket="models")
        yield url


@pytest.fixture(autouse=True)
def connections(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KEYS", aws_connection(url))
    monkeypatch.setenv("AIRFLOW_CONN_ROLE", aws_connection(url, role_arn=ROLE))


def session(conn_id: str, **more: Any) -> S3Storage:
    return S3Storage(conn_id, "s3://models/runs", credentials="session", **more)


@pytest.mark.parametrize("conn_id", ["keys", "role"])
def test_a_bucket_is_opened_by_its_connection(conn_id: str) -> None:
    storage = open_storage(S3Storage(conn_id, "s3://models/runs"))

    storage.probe()

    assert storage.uri("a") == "s3://models/runs/a"


def test_a_path_is_a_shared_folder() -> None:
    assert isinstance(open_storage("/shared"), SharedFolder)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (S3Storage("keys", "s3://nobodys"), "There is no bucket 'nobodys'"),
        (S3Storage("keys", "/models/runs"), "must be s3://bucket/prefix, not '/models/runs'"),
        (S3Storage("keys", "s3://models/../other"), "stays below its root"),
        (S3Storage("keys", "s3://models", credentials="mine"), "must be ambient or session, not 'mine'"),
        (S3Storage("absent", "s3://models"), "There is no Airflow connection 'absent'"),
        (GcsStorage("absent", "gs://models"), "There is no Airflow connection 'absent'"),
        (GcsStorage("absent", "s3://models"), "must be gs://bucket/prefix"),
        (7, "'storage' must be a storage, a path or a URI, not 7"),
    ],
    ids=["absent bucket", "no scheme", "climbs", "credentials", "no aws", "no google", "scheme", "number"],
)
def test_bad_input_is_one_clear_error(storage: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_storage(storage).probe()


def test_a_dead_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DEAD", aws_connection("http://127.0.0.1:9"))
    with pytest.raises(Exception, match=r"S3 does not answer.*127\.0\.0\.1:9.*s3://models"):
        open_storage(S3Storage("dead", "s3://models")).probe()


def test_by_default_a_job_gets_addresses_and_no_credentials(url: str) -> None:
    access = job_access(S3Storage("keys", "s3://models"), lifetime=None)

    assert access.env_vars == {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": url}
    assert access.secrets == {}


def test_a_session_hands_over_what_expires_after_the_job() -> None:
    access = job_access(session("role"), lifetime=timedelta(minutes=30))

    assert set(access.secrets) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert STATIC_SECRET not in access.secrets.values()
    assert not any(value in repr(access) for value in access.secrets.values())


@pytest.mark.parametrize("lifetime", [None, HOUR, timedelta(days=1)])
def test_a_job_that_may_outlive_its_credentials_is_refused(lifetime: timedelta | None) -> None:
    with pytest.raises(ConfigurationError, match=r"end in \d+ minutes.*execution_timeout"):
        job_access(session("role"), lifetime=lifetime)


def test_keys_that_never_expire_are_handed_over_only_on_request() -> None:
    with pytest.raises(ConfigurationError, match="allow_static_credentials"):
        job_access(session("keys"), lifetime=HOUR)

    access = job_access(session("keys", allow_static_credentials=True), lifetime=None)

    assert access.secrets["AWS_SECRET_ACCESS_KEY"] == STATIC_SECRET


def test_a_spec_holds_no_secret(url: str) -> None:
    spec = session("role")
    open_storage(spec)
    assert STATIC_SECRET not in f"{spec!r}{asdict(spec)}"
