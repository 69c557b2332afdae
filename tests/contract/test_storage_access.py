"""What an author gives as ``storage=`` is opened by its connection, and jobs get no more than they may."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import boto3
import httpx
import pyarrow.fs
import pytest

from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.storage import JobAccess, Storage
from airflow_provider_air.drivers.data import files
from airflow_provider_air.drivers.wire import names
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.gcs import GcsStorage
from airflow_provider_air.storage.registry import spec_of
from airflow_provider_air.storage.s3 import S3Storage
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.google_tokens import GoogleTokens
from tests.object_stores import (
    REGION,
    ROLE,
    STATIC_KEY,
    STATIC_SECRET,
    aws_connection,
    gcs_client,
    gcs_server,
    s3_client,
    s3_server,
)

HOUR = timedelta(hours=1)
KEYS = {"aws_access_key_id": STATIC_KEY, "aws_secret_access_key": STATIC_SECRET}
NUMBERS = itertools.count()


def open_storage(value: Any) -> Storage:
    return spec_of(value).open(AirflowConnections())


def job_access(value: Any, *, lifetime: timedelta | None) -> JobAccess:
    return open_storage(value).access(lifetime=lifetime)


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


@pytest.fixture
def strict(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that asks who is there, and an ``aws`` connection ``guest`` of a user who may do nothing."""
    iam = boto3.client("iam", endpoint_url=url, region_name=REGION, **KEYS)
    name = f"guest-{next(NUMBERS)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"login": key["AccessKeyId"], "password": key["SecretAccessKey"]}
    for conn_id, extra in {"guest": {}, "guest_role": {"role_arn": ROLE}}.items():
        connection = json.loads(aws_connection(url, **extra)) | keys
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
    httpx.post(f"{url}/moto-api/reset-auth", content="0").raise_for_status()
    yield
    httpx.post(f"{url}/moto-api/reset-auth", content="inf").raise_for_status()


@pytest.mark.parametrize(
    ("conn_id", "message"),
    [
        ("guest", "S3 denies access.*s3://models.*Allow list, read and write there"),
        ("keys", "S3 rejects the credentials.*Correct the aws connection"),
        ("guest_role", "AWS refuses the connection.*not authorized.*Correct its keys or its role"),
    ],
    ids=["no right", "unknown key", "role denied"],
)
def test_who_may_not_is_told_so(strict: None, conn_id: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_storage(S3Storage(conn_id, "s3://models")).probe()


def test_a_role_that_may_not_be_assumed_gives_a_job_nothing(strict: None) -> None:
    with pytest.raises(ConfigurationError, match="AWS refuses the connection"):
        job_access(session("guest_role"), lifetime=HOUR)


def test_a_role_that_nobody_can_be_asked_for_may_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DEAD", aws_connection("http://127.0.0.1:9", role_arn=ROLE))
    with pytest.raises(UnavailableError, match="AWS does not answer"):
        job_access(session("dead"), lifetime=HOUR)


def answer(status: int, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()
    return b"HTTP/1.1 %d Told\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body


@contextlib.contextmanager
def store_that_says(reply: bytes) -> Iterator[str]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                if line.lower() == b"expect: 100-continue":
                    length = 0
            self.rfile.read(length)
            self.wfile.write(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "kind", "message"),
    [
        (400, "ExpiredToken", UnavailableError, "S3 failed: ExpiredToken: so it is"),
        (403, "SignatureDoesNotMatch", ConfigurationError, "S3 rejects the credentials: so it is"),
        (400, "AuthorizationHeaderMalformed", ConfigurationError, "S3 refuses.*Correct the bucket or its region"),
        (409, "OperationAborted", UnavailableError, "S3 failed: OperationAborted"),
    ],
)
def test_what_a_retry_cannot_mend_is_told_from_what_it_may(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str, kind: type[Exception], message: str
) -> None:
    with store_that_says(answer(status, code)) as url:
        monkeypatch.setenv("AIRFLOW_CONN_ODD", aws_connection(url))
        with pytest.raises(kind, match=message):
            open_storage(S3Storage("odd", "s3://models")).probe()


def test_the_cluster_itself_finds_out_about_its_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the driver does before it asks for any compute; an identity of its own may be denied where ours is not."""
    keys = {"AWS_ACCESS_KEY_ID": STATIC_KEY, "AWS_SECRET_ACCESS_KEY": STATIC_SECRET}
    for name, value in {**keys, "AWS_ENDPOINT_URL_S3": url, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)

    files.must_take_files("s3://models/by-the-cluster", "storage_path")
    with pytest.raises(ConfigurationProblem, match=r"storage_path: this cluster cannot write to s3://nobodys/runs"):
        files.must_take_files("s3://nobodys/runs", "storage_path")

    assert open_storage(S3Storage("keys", "s3://models/by-the-cluster")).list() == []


def test_a_bucket_that_denies_the_cluster_is_named(strict: None, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = json.loads(os.environ["AIRFLOW_CONN_GUEST"])
    keys = {"AWS_ACCESS_KEY_ID": guest["login"], "AWS_SECRET_ACCESS_KEY": guest["password"]}
    for name, value in {**keys, "AWS_ENDPOINT_URL_S3": url, "AWS_DEFAULT_REGION": REGION}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationProblem, match=r"storage_path: this cluster cannot write to s3://models.*DENIED"):
        files.must_take_files("s3://models/runs", "storage_path")


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


@pytest.fixture(scope="module")
def tokens() -> Iterator[GoogleTokens]:
    with GoogleTokens() as tokens:
        yield tokens


@pytest.fixture
def google(tokens: GoogleTokens, monkeypatch: pytest.MonkeyPatch) -> GoogleTokens:
    """The ``google_cloud_platform`` connection ``google`` and what gives it tokens."""
    tokens.seconds, tokens.status = 3600, 200
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE", tokens.connection())
    return tokens


GCS_SESSION = GcsStorage("google", "gs://models/runs", credentials="session")


def test_on_google_a_job_gets_nothing_by_default(google: GoogleTokens) -> None:
    asked = len(google.given)

    assert job_access(GcsStorage("google", "gs://models"), lifetime=None) == JobAccess()
    assert len(google.given) == asked


def test_on_google_a_session_hands_over_a_token_and_never_the_key(google: GoogleTokens) -> None:
    before = time.time()
    access = job_access(GCS_SESSION, lifetime=timedelta(minutes=50))

    assert access.env_vars == {}
    assert set(access.secrets) == {names.GCS_TOKEN, names.GCS_TOKEN_EXPIRES}
    assert access.secrets[names.GCS_TOKEN] == google.given[-1]
    assert 3590 < float(access.secrets[names.GCS_TOKEN_EXPIRES]) - before < 3660
    assert google.given[-1] not in f"{access!r}{GCS_SESSION!r}{asdict(GCS_SESSION)}"


@pytest.mark.parametrize("lifetime", [None, timedelta(minutes=56), timedelta(days=1)])
def test_a_job_that_may_outlive_its_token_is_refused(google: GoogleTokens, lifetime: timedelta | None) -> None:
    with pytest.raises(ConfigurationError, match=r"end in (59|60) minutes.*execution_timeout.*impersonation_chain"):
        job_access(GCS_SESSION, lifetime=lifetime)


@pytest.mark.parametrize(
    ("connection", "status", "kind", "message"),
    [
        ({}, 400, UnavailableError, "Google does not answer.*If it stays, correct its key or its identity"),
        ({}, 503, UnavailableError, "Google does not answer"),
        ({"keyfile_dict": "{"}, 200, ConfigurationError, "does not lead into Google: Invalid key JSON"),
        ({"keyfile_dict": '{"private_key": "x"}'}, 200, ConfigurationError, "Correct its key"),
        ({"keyfile_dict": None, "is_anonymous": True}, 200, ConfigurationError, "no token"),
    ],
    ids=["refused", "down", "no JSON", "no key", "anonymous"],
)
def test_a_connection_without_a_token_is_one_clear_error(
    google: GoogleTokens,
    monkeypatch: pytest.MonkeyPatch,
    connection: dict[str, Any],
    status: int,
    kind: type[Exception],
    message: str,
) -> None:
    google.status = status
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE", google.connection(**connection))
    with pytest.raises(kind, match=message):
        job_access(GCS_SESSION, lifetime=HOUR / 2)


def test_a_token_that_nobody_can_be_asked_for_may_come_later(
    google: GoogleTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GOOGLE", google.connection().replace(google.url, "http://127.0.0.1:9"))
    with pytest.raises(UnavailableError, match="Google does not answer"):
        job_access(GCS_SESSION, lifetime=HOUR / 2)


@pytest.fixture(scope="module")
def gcs() -> Iterator[ChaosProxy]:
    """A GCS emulator behind a proxy that writes down who asks."""
    with gcs_server() as address, ChaosProxy(address) as proxy:
        gcs_client(address).create_bucket("models")
        yield proxy


@pytest.fixture
def token(google: GoogleTokens, gcs: ChaosProxy, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a job's processes have in their environment."""
    for name, value in job_access(GCS_SESSION, lifetime=HOUR / 2).secrets.items():
        monkeypatch.setenv(name, value)
    gcs.call(gcs.requests.clear)
    return google.given[-1]


def askers(gcs: ChaosProxy) -> set[str]:
    return {request.authorization for request in gcs.requests_to("*", "")}


@pytest.mark.parametrize("how", ["environment", "query"])
def test_what_a_driver_opens_it_opens_by_the_token(
    token: str, gcs: ChaosProxy, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    query = ""
    if how == "environment":
        monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", gcs.url)
    else:
        query = f"?endpoint_override={gcs.url.removeprefix('http://')}&scheme=http"
    folder = f"gs://models/by {how}".replace(" ", "%20")

    filesystem, path = files.open_uri(f"{folder}/a{query}", "uri")
    files.write(filesystem, path, b"x")
    files.must_exist(f"{folder}/a{query}", "uri")
    files.must_take_files(f"{folder}{query}", "uri")

    assert path == f"models/by {how}/a"
    assert files.read(*files.open_uri(f"{folder}/a{query}", "uri")) == b"x"
    assert files.names(f"{folder}{query}") == ["a"]
    assert files.for_ray(f"{folder}{query}") == (f"models/by {how}", filesystem)
    assert files.for_ray_data(f"{folder}{query}") == (f"gs://models/by {how}", filesystem)
    assert askers(gcs) == {f"Bearer {token}"}


def test_what_is_pickled_has_no_token_and_is_opened_by_that_of_its_reader(
    token: str, gcs: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ray does with what it sends to workers, and Tune with what a later attempt restores."""
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", gcs.url)
    filesystem, path = files.open_uri("gs://models/pickled", "uri")

    kept = pickle.dumps(filesystem)
    monkeypatch.setenv(names.GCS_TOKEN, "of-the-reader")
    files.write(pickle.loads(kept), path, b"x")
    copied = pickle.loads(kept)

    assert token.encode() not in kept
    assert copied != filesystem
    assert askers(gcs) == {"Bearer of-the-reader"}
    monkeypatch.delenv(names.GCS_TOKEN)
    assert type(pickle.loads(kept)) is pyarrow.fs.GcsFileSystem


def test_a_token_is_for_google_alone(token: str) -> None:
    for uri in ("/shared/runs", "s3://models/runs", "gs://anonymous@models/runs"):
        assert files.for_ray(uri) == (uri, None)
        assert files.for_ray_data(uri) == (uri, None)


@pytest.mark.parametrize("uri", ["gs:///runs", "gs://models/a b", "gs://models?nope=1"])
def test_a_malformed_uri_is_named(token: str, uri: str) -> None:
    with pytest.raises(ConfigurationProblem, match=r"output.uri: .* is no usable URI"):
        files.open_uri(uri, "output.uri")


def test_a_reader_that_takes_no_filesystem_is_not_left_to_another_identity(
    token: str, gcs: ChaosProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_air.drivers.data import datasets

    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", gcs.url)
    files.write(*files.open_uri("gs://models/data", "uri"), b"x")
    spec = {"uri": "gs://models/data", "format": "textwrap:dedent"}
    with pytest.raises(ConfigurationProblem, match=r"train.format: textwrap:dedent takes no filesystem="):
        datasets.read_one(spec, "train")


def test_a_spec_holds_no_secret(url: str) -> None:
    spec = session("role")
    open_storage(spec)
    assert STATIC_SECRET not in f"{spec!r}{asdict(spec)}"
