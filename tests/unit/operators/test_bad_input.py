"""Bad inputs of a job's author or operator: one clear typed error each, and nothing was started."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.errors import AirError
from airflow_provider_air.operators.submit import RayStopJobOperator, RaySubmitJobOperator
from airflow_provider_air.ray_api import packages
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context

SECRET = "hunter2-do-not-show"  # the value that must not leave

LICENSE = Path(__file__).parents[3] / "LICENSE"


@dataclass
class Bad:
    """
    One wrong thing.

    :param says: what the message must hold: the field, the address, and what to do
    :param fields: of the operator
    :param connection: of ``ray_default``; ``{head}`` is the head's URL, ``{token}`` its token
    """

    name: str
    says: tuple[str, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] | None = None


def _fields(name: str, *says: str, **fields: Any) -> Bad:
    return Bad(name, says, fields)


def _connection(name: str, *says: str, **connection: Any) -> Bad:
    return Bad(name, says, connection={"host": "{head}", "password": "{token}", **connection})


BAD = [
    # Which cluster
    _fields("unknown connection", "'nowhere'", "type 'ray'", ray_conn_id="nowhere"),
    _fields("empty connection id", "'ray_conn_id'", "ray_default", ray_conn_id=""),
    _fields("blank connection id", "'ray_conn_id'", "ray_default", ray_conn_id="  "),
    _fields("connection id that is no text", "'ray_conn_id'", "5", ray_conn_id=5),
    _fields("cluster as a name", "'cluster'", "LocalCluster()", cluster="my-cluster"),
    _fields("cluster of an unknown back end", "'moon'", "Known ones", cluster={"backend": "moon", "name": "x"}),
    _fields("cluster that is another XCom", "does not name a Ray cluster", "RayCreateCluster", cluster={"rows": 3}),
    _fields("cluster spec without a connection", "'ray_conn_id'", cluster=ExistingCluster(ray_conn_id=" ")),
    _fields("cluster spec of an unknown connection", "'nowhere'", cluster=ExistingCluster(ray_conn_id="nowhere")),
    # What the connection says
    _connection("no address", "has no address", "ray_default", host=""),
    _connection("the Ray client's address", "ray://", "8265", host="ray://10.0.0.5:10001"),
    _connection("a scheme of its own", "redis://", "8265", host="redis://10.0.0.5"),
    _connection("an address of two words", "'http://ten zero'", "http://host:port", host="ten zero"),
    _connection("no host in the address", "has no host", "http://host:port", host="http://:8265"),
    _connection("a port that is no number", "port is wrong", "ray_default", host="http://127.0.0.1:dashboard"),
    _connection("a port out of range", "70000", "8265", host="127.0.0.1", port=70000),
    _connection("a user in the address", "a user or a password", "password", host="http://me:pw@127.0.0.1:8265"),
    _connection("extra that is no JSON", "no JSON", "ray_default", extra="{verify_tls: yes"),
    _connection("extra that is a list", "JSON object", "list", extra="[1, 2]"),
    _connection("TLS verification as a word", "'verify_tls'", "'no'", extra={"verify_tls": "no"}),
    _connection("CA path that is no text", "'ca_path'", "7", extra={"ca_path": 7}),
    _connection("absent CA bundle", "/nowhere/ca.pem", "'ca_path'", extra={"ca_path": "/nowhere/ca.pem"}),
    _connection("headers as text", "'headers'", "object of strings", extra={"headers": "X-Key: 1"}),
    _connection("headers of numbers", "'headers'", "object of strings", extra={"headers": {"X-Key": 1}}),
    _connection("a header with a line break", "'X-Key'", "Paste", extra={"headers": {"X-Key": "a\nb"}}),
    _connection("unknown back end", "'moon'", "Known ones", extra={"backend": "moon"}),
    _connection("cluster fields as a list", "'cluster'", "ray_default", extra={"backend": "local", "cluster": [1]}),
    _connection("unknown cluster field", "gpus", "local", extra={"backend": "local", "cluster": {"gpus": 1}}),
    _connection("wrong token", "refused the token", "password", password="wrong-token"),
    _connection("missing token", "wants a token", "password", password=""),
    _connection("token of letters that HTTP lacks", "password", "Paste", password="geh€im-token"),
    _connection("dead address", "127.0.0.1:1", "reachable", host="http://127.0.0.1:1"),
    _connection("unknown host", "nowhere.invalid", "reachable", host="http://nowhere.invalid:8265"),
    _connection("https on a plain port", "plain HTTP", "http://", host="{head_https}"),
    _connection("another service at the address", "404", "dashboard's address", host="{head}/elsewhere"),
    # What to run
    _fields("empty entrypoint", "'entrypoint'", "shell command", entrypoint=" "),
    _fields("entrypoint of no words", "'entrypoint'", "shell command", entrypoint=[]),
    _fields("entrypoint with an empty word", "Word 2 of 'entrypoint'", "Leave it out", entrypoint=["python", ""]),
    _fields("entrypoint with a word that is none", "Word 2 of 'entrypoint'", "bool", entrypoint=["python", True]),
    _fields("entrypoint with NUL", "'entrypoint'", "NUL", entrypoint="echo \0"),
    _fields("huge entrypoint", "'entrypoint'", "working_dir", entrypoint="x" * 120_000),
    _fields("absent code folder", "/nowhere/code", "'working_dir'", working_dir="/nowhere/code"),
    _fields("code folder that is a file", "working_dir", "LICENSE", ".py", working_dir=str(LICENSE)),
    _fields("empty code folder", "no files", "'working_dir'", working_dir="{empty}"),
    _fields("empty name of a code folder", "'working_dir'", "folder or a URI", working_dir=""),
    _fields("oversized code folder", "too large", "excludes", working_dir="{large}"),
    _fields("code at a scheme that Ray lacks", "ftp://", "s3", working_dir="ftp://host/code.zip"),
    _fields("remote code that is no archive", "'working_dir'", ".zip", working_dir="s3://bucket/code"),
    _fields(
        "code folder twice", "'working_dir'", "twice", working_dir="{empty}", runtime_env={"working_dir": "{empty}"}
    ),
    _fields("excludes as text", "'excludes'", "list of glob", working_dir="{code}", excludes="*.csv"),
    _fields("excludes of numbers", "'excludes'", "list of glob", working_dir="{code}", excludes=[1]),
    _fields(
        "excludes of the runtime_env as text",
        "excludes",
        "list of glob",
        working_dir="{code}",
        runtime_env={"excludes": "*.csv"},
    ),
    _fields("runtime_env as text", "'runtime_env'", "dict", runtime_env="pip: numpy"),
    _fields("runtime_env of objects", "'runtime_env'", "plain JSON", runtime_env={"pip": {1, 2}}),
    _fields("huge runtime_env", "'runtime_env'", "file", runtime_env={"env_vars": {"A": "x" * 120_000}}),
    _fields("two installers", "'runtime_env'", "pip and conda", "one", runtime_env={"pip": ["a"], "conda": "b"}),
    _fields("py_modules as text", "'py_modules'", "list", runtime_env={"py_modules": "/code"}),
    _fields("absent module folder", "/nowhere/m", "'py_modules'", runtime_env={"py_modules": ["/nowhere/m"]}),
    _fields("env_vars as a list", "'env_vars'", "str to str", runtime_env={"env_vars": ["A=1"]}),
    _fields("env_vars of numbers", "'env_vars'", "'A'", runtime_env={"env_vars": {"A": 1}}),
    _fields("env_vars of our own", "'AIR_PAYLOAD'", "reserved", runtime_env={"env_vars": {"AIR_PAYLOAD": "x"}}),
    _fields("env_vars with a bad name", "'env_vars'", "'A=B'", runtime_env={"env_vars": {"A=B": "x"}}),
    _fields("metadata as a list", "'metadata'", "dict", metadata=["team"]),
    _fields("metadata of numbers", "'metadata'", "'team'", metadata={"team": 1}),
    _fields("metadata of our own", "'air_task'", "reserved", metadata={"air_task": "x"}),
    _fields("huge metadata", "'metadata'", "file", metadata={"team": "x" * 120_000}),
    # What to reserve
    _fields("negative CPUs", "'entrypoint_num_cpus'", "-1", entrypoint_num_cpus=-1),
    _fields("CPUs as text", "'entrypoint_num_cpus'", "'two'", entrypoint_num_cpus="two"),
    _fields("GPUs that are no number", "'entrypoint_num_gpus'", "nan", entrypoint_num_gpus=float("nan")),
    _fields("GPUs without end", "'entrypoint_num_gpus'", "inf", entrypoint_num_gpus=float("inf")),
    _fields("memory with a unit", "'entrypoint_memory'", "'4Gi'", entrypoint_memory="4Gi"),
    _fields("memory of half a byte", "'entrypoint_memory'", "0.5", entrypoint_memory=0.5),
    _fields("resources as a list", "'entrypoint_resources'", "dict", entrypoint_resources=["tpu"]),
    _fields("resources of text", "entrypoint_resources['tpu']", "'one'", entrypoint_resources={"tpu": "one"}),
    _fields("labels as text", "'entrypoint_label_selector'", "dict", entrypoint_label_selector="zone=a"),
    _fields("labels of numbers", "'entrypoint_label_selector'", "'zone'", entrypoint_label_selector={"zone": 1}),
    # How to wait
    _fields("unknown on_clear", "'on_clear'", "auto, fresh or resume", on_clear="restart"),
    _fields("no time for the cluster", "'cluster_timeout_seconds'", "0", cluster_timeout_seconds=0),
    _fields("patience as text", "'unreachable_timeout_seconds'", "'1h'", unreachable_timeout_seconds="1h"),
    _fields(
        "patience without a value", "'unreachable_timeout_seconds'", "nan", unreachable_timeout_seconds=float("nan")
    ),
    _fields("a log of no length", "'log_limit_bytes'", "-5", log_limit_bytes=-5),
    _fields("no room for a job", "'max_concurrent_jobs'", "0", max_concurrent_jobs=0),
    # Secrets, where Ray would show them
    _fields("secret in the entrypoint", "'entrypoint'", "secret store", entrypoint=f"train --password {SECRET}"),
    _fields("secret in env_vars", "'runtime_env'", "secret store", runtime_env={"env_vars": {"HF": SECRET}}),
    _fields("secret in metadata", "'metadata'", "secret store", metadata={"note": SECRET}),
    _fields("secret in a remote URI", "'working_dir'", "secret store", working_dir=f"https://{SECRET}@host/code.zip"),
]


@pytest.fixture
def places(tmp_path: Path, head: FakeRayDashboard) -> dict[str, str]:
    """What the braces of the table stand for."""
    for name in ("empty", "code", "large"):
        (tmp_path / name).mkdir()
    (tmp_path / "code" / "main.py").write_text("print(1)\n")
    (tmp_path / "large" / "data.bin").write_bytes(bytes(range(256)) * 16)
    https = head.url.replace("http://", "https://")
    folders = {name: str(tmp_path / name) for name in ("empty", "code", "large")}
    return {**folders, "head": head.url, "head_https": https, "token": str(head.token)}


def _fill(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, places) for key, item in value.items()}
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace(f"{{{name}}}", place)
    return value


def assert_nothing_started(head: FakeRayDashboard) -> None:
    changes = [request for request in head.requests_to("*", ".*") if request.method != "GET"]
    assert not changes
    assert not head.jobs
    assert not head.packages


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_one_clear_error_and_nothing_started(
    bad: Bad,
    head: FakeRayDashboard,
    connect: Callable[..., None],
    places: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask_secret(SECRET)
    if "oversized" in bad.name:
        monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 100)
    if bad.connection is not None:
        connect(**_fill(bad.connection, places))
    fields = _fill({"task_id": "bad", "entrypoint": "true", **bad.fields}, places)
    store = Store()

    with pytest.raises((AirError, AirflowFailException)) as raised:
        RaySubmitJobOperator(**fields).execute(task_context(store))

    message = str(raised.value)
    assert all(words in message for words in bad.says), message
    assert SECRET not in message
    assert str(head.token) not in message
    assert_nothing_started(head)


def test_the_table_is_long_enough() -> None:
    assert len(BAD) >= 40
    assert len({bad.name for bad in BAD}) == len(BAD)


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A port that speaks TLS and nothing else, with a certificate of its own making."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve_tls, args=(server, context))
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _serve_tls(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        client.settimeout(5)
        try:
            with context.wrap_socket(client, server_side=True) as secure:
                secure.recv(1)
        except OSError:
            client.close()


@pytest.mark.parametrize(
    ("scheme", "says"),
    [("http", ("127.0.0.1", "https://")), ("https", ("certificate is not trusted", "ca_path"))],
)
def test_a_tls_port_says_what_it_wants(
    scheme: str, says: tuple[str, ...], tls_port: int, head: FakeRayDashboard, connect: Callable[..., None]
) -> None:
    connect(host=f"{scheme}://127.0.0.1:{tls_port}")

    with pytest.raises((AirError, AirflowFailException)) as raised:
        RaySubmitJobOperator(task_id="bad", entrypoint="true").execute(task_context(Store()))

    assert all(words in str(raised.value) for words in says), str(raised.value)
    assert_nothing_started(head)


def test_what_ray_itself_refuses_is_told_once_and_not_sent_again(head: FakeRayDashboard) -> None:
    refusal = "RuntimeError: Request failed with status code 400: Traceback\nValueError: no such label\n."
    head.plan("POST", "^/api/jobs/$", status=500, body=f"Traceback (most recent call last):\n{refusal}\n", times=None)

    with pytest.raises(AirflowFailException, match="no such label"):
        RaySubmitJobOperator(task_id="bad", entrypoint="true").execute(task_context(Store()))

    assert len(head.requests_to("POST", "^/api/jobs/$")) == 1


@pytest.mark.parametrize("submission_id", ["", " ", None, 7])
def test_stopping_needs_the_id_of_a_job(submission_id: Any, head: FakeRayDashboard) -> None:
    with pytest.raises(AirflowFailException, match="submission_id"):
        RayStopJobOperator(task_id="stop", submission_id=submission_id).execute(task_context(Store()))

    assert_nothing_started(head)


def test_a_ledger_of_another_version_is_not_guessed_at(head: FakeRayDashboard) -> None:
    store = Store()
    store.set("air_ledger", {"version": 9, "attempts": [{}]})

    with pytest.raises(AirError, match="air_ledger"):
        RaySubmitJobOperator(task_id="bad", entrypoint="true").execute(task_context(store))

    assert_nothing_started(head)
