"""Our HTTP clients trust whom the system trusts, over real TLS."""

from __future__ import annotations

import asyncio
import io
import json
import os
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest

from airflow_provider_air import tls
from airflow_provider_air.attachments.mlflow import server as mlflow
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.tecton import server as tecton
from airflow_provider_air.attachments.tecton.features import TectonFeatures
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.attachments.wandb.tracker import WandbTracker
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.drivers.online.tecton import TectonOnline
from airflow_provider_air.drivers.trackers.wandb_sync.server import Server, ServerAway, trusted
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.hooks.wandb import WandbHook
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.requests import get_version
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.job import prepare
from tests.fakes.attachment import FakeConnections
from tests.fakes.mlflow import FakeMlflow
from tests.unit.conftest import openssl


@pytest.fixture
def url(authority: Path) -> Iterator[str]:
    """A server with a certificate of that CA."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"ray_version": "2.60.0", "experiments": []}).encode())

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Who does not trust us hangs up."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "cert.pem", authority / "key.pem")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def by_ray(url: str) -> None:
    with RayClient(Transport(url), patience_seconds=0) as client:
        client.send(get_version())


def by_ray_in_the_triggerer(url: str) -> None:
    async def ask() -> None:
        async with AsyncRayClient(Transport(url), patience_seconds=0) as client:
            await client.send(get_version())

    asyncio.run(ask())


def by_mlflow(url: str) -> None:
    MlflowServer(url).call("GET", "experiments/search")


def by_tecton(url: str) -> None:
    TectonServer(url, "key").check_feature_service("prod", "delays")


CLIENTS = [by_ray, by_ray_in_the_triggerer, by_mlflow, by_tecton]


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing names CAs, and nobody waits for who is not trusted."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    for module in (mlflow, tecton):
        monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_ca_of_the_systems_is_trusted(
    ask: Callable[[str], None], url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))

    ask(url)


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_folder_of_cas_is_trusted(
    ask: Callable[[str], None], url: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    openssl(tmp_path, "rehash", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    ask(url)


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_ca_that_the_system_does_not_know_is_not_trusted(ask: Callable[[str], None], url: str) -> None:
    with pytest.raises(AirError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(url)


@pytest.mark.parametrize("ask", CLIENTS)
def test_who_names_an_empty_place_trusts_nobody(
    ask: Callable[[str], None], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    assert tls.context_for("https://a", True).cert_store_stats()["x509_ca"] == 0
    with pytest.raises(AirError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(url)


def test_where_the_system_has_none_pythons_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can take the system's away."""
    nowhere = ssl.DefaultVerifyPaths("", str(tmp_path), "", "", "", "")
    with monkeypatch.context() as patch:
        patch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
        patch.setattr(ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context = tls._system_context()

    bundle = ssl.create_default_context(cafile=certifi.where())
    assert context.cert_store_stats() == bundle.cert_store_stats()


def test_one_context_serves_all_clients() -> None:
    assert tls.context_for("https://a", True) is tls.context_for("https://b", True)
    assert tls.context_for("https://a", True) is not tls.context_for("https://a", False)


def test_a_bundle_of_ones_own_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ca_path"):
        MlflowServer("https://127.0.0.1:1", verify=str(tmp_path / "absent.pem"))


# Trackers and feature stores by a connection's own settings: on the worker, and in the job


def connected(monkeypatch: pytest.MonkeyPatch, kind: str, url: str, **extra: Any) -> Any:
    """Open a connection of this test's environment."""
    fields = {"conn_type": kind, "host": url, "password": "k" * 40, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps(fields))
    return AirflowConnections().open(kind, "site")


def asks(kind: str, opened: Any) -> None:
    """Ask once, and raise where it is not trusted."""
    if kind == "mlflow":
        opened.call("GET", "experiments/search")
    elif kind == "tecton":
        opened.check_feature_service("prod", "delays")
    else:
        answered, said = WandbHook("site").test_connection()
        if not answered and "does not answer" in said:
            raise ConfigurationError(said)


@pytest.mark.parametrize("kind", ["mlflow", "tecton", "wandb"])
def test_a_connection_names_its_own_ca_or_trusts_anybody(
    kind: str, url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(kind, connected(monkeypatch, kind, url, ca_path=str(authority / "ca.pem")))
    asks(kind, connected(monkeypatch, kind, url, verify_tls=False))
    with pytest.raises(AirError):
        asks(kind, connected(monkeypatch, kind, url))


INFO = AttemptInfo(TaskKey("here", "flights", "manual__1", "train"), "air-1", "run", 1, 1, "train", "c")


def added_by(kind: str, opened: Any) -> Any:
    """Give what a job, or an application, gets."""
    if kind == "mlflow":
        return MlflowTracker().open(FakeConnections(mlflow=opened)).before_submit(INFO)
    if kind == "wandb":
        return WandbTracker().open(FakeConnections(wandb=opened)).before_submit(INFO)
    return TectonFeatures("prod", "delays").open(FakeConnections(tecton=opened)).before_submit(INFO)


@pytest.fixture
def mlflow_answers() -> Iterator[str]:
    with FakeMlflow() as server:
        yield server.url


@pytest.mark.parametrize(
    ("kind", "file", "insecure"),
    [
        ("mlflow", "MLFLOW_TRACKING_SERVER_CERT_PATH", {"MLFLOW_TRACKING_INSECURE_TLS": "true"}),
        ("wandb", "RAY_AIRFLOW_WANDB_CA", {"WANDB_INSECURE_DISABLE_SSL": "true"}),
        ("tecton", None, {"TECTON_VERIFY_TLS": "false"}),
    ],
)
def test_the_job_trusts_whom_the_connection_trusts(
    kind: str,
    file: str | None,
    insecure: dict[str, str],
    authority: Path,
    mlflow_answers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = (authority / "ca.pem").read_bytes()
    by_file = added_by(kind, connected(monkeypatch, kind, mlflow_answers, ca_path=str(authority / "ca.pem")))
    by_none = added_by(kind, connected(monkeypatch, kind, mlflow_answers, verify_tls=False))
    plainly = added_by(kind, connected(monkeypatch, kind, mlflow_answers))

    assert by_file.files == ({file: bundle} if file else {})
    assert by_file.application_env.get("TECTON_CA") == (None if file else bundle.decode())
    assert insecure.items() <= {**by_none.env_vars, **by_none.application_env}.items()
    assert (by_none.files, plainly.files) == ({}, {})
    assert not insecure.keys() & {*plainly.env_vars, *plainly.application_env, *by_file.env_vars}


def test_a_file_lies_where_its_variable_says_in_every_process_of_the_job(tmp_path: Path) -> None:
    request = JobRequest("x", payload={}, files={"MLFLOW_TRACKING_SERVER_CERT_PATH": b"a bundle"})
    job = prepare(request, "air-1", metadata={}, not_after=None)
    hook = job.submission.runtime_env["worker_process_setup_hook"]
    with zipfile.ZipFile(io.BytesIO(job.packages[-1].data)) as package:
        package.extractall(tmp_path)
    look = "import os, sys; path = os.environ['MLFLOW_TRACKING_SERVER_CERT_PATH']; print(open(path).read())"
    command = [sys.executable, "-c", f"import {hook.rpartition('.')[0]} as m; m.load(); {look}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "a bundle"
    assert job.submission.runtime_env["env_vars"]["AIR_SECRETS"] == hook


def test_replicas_get_no_bundle_of_all_cas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.pem").write_bytes(Path(certifi.where()).read_bytes())
    opened = connected(monkeypatch, "tecton", "https://127.0.0.1:1", ca_path=str(tmp_path / "all.pem"))

    with pytest.raises(ConfigurationError, match="replicas get 16384 at most"):
        added_by("tecton", opened)


def test_online_features_trust_what_the_application_was_told(
    url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> str:
        with pytest.raises(RuntimeError) as raised:
            TectonOnline(url, "prod", "delays", "key")
        return str(raised.value)

    assert "does not answer" in ask()
    monkeypatch.setenv("TECTON_CA", (authority / "ca.pem").read_text())
    assert "Tecton names no features" in ask(), "it was understood, and has none"
    monkeypatch.setenv("TECTON_CA", "")
    monkeypatch.setenv("TECTON_VERIFY_TLS", "false")
    assert "Tecton names no features" in ask()


def test_the_driver_asks_wandb_as_the_connection_says(
    url: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> str:
        with pytest.raises((ServerAway, ConfigurationProblem)) as raised:
            Server(url, "k" * 40).check_key()
        return str(raised.value)

    assert "does not answer" in ask()
    monkeypatch.setenv("RAY_AIRFLOW_WANDB_CA", str(authority / "ca.pem"))
    assert "refuses the API key" in ask(), "it was reached"
    with trusted():
        assert os.environ["SSL_CERT_FILE"] == str(authority / "ca.pem")
    assert "SSL_CERT_FILE" not in os.environ
    monkeypatch.delenv("RAY_AIRFLOW_WANDB_CA")
    monkeypatch.setenv("WANDB_INSECURE_DISABLE_SSL", "true")
    assert "refuses the API key" in ask()


@pytest.mark.parametrize("kind", ["mlflow", "tecton"])
def test_a_proxy_of_the_environment_is_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeMlflow() as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        opened = connected(monkeypatch, kind, "http://behind.invalid")
        # As a proxy it knows MLflow's calls alone: that it was asked is all that counts.
        if kind == "mlflow":
            asks(kind, opened)
            assert proxy.calls == ["experiments/search"]
        else:
            with pytest.raises(AirError, match="404"):
                asks(kind, opened)
        monkeypatch.setenv("NO_PROXY", "behind.invalid")
        with pytest.raises(AirError, match="does not answer"):
            asks(kind, connected(monkeypatch, kind, "http://behind.invalid"))
