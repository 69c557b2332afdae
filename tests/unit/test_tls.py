"""Our HTTP clients trust whom the system trusts, over real TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import certifi
import pytest

from airflow_provider_air import tls
from airflow_provider_air.attachments.mlflow import server as mlflow
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.tecton import server as tecton
from airflow_provider_air.attachments.tecton.server import TectonServer
from airflow_provider_air.errors import AirError, ConfigurationError
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.requests import get_version
from airflow_provider_air.ray_api.transport import Transport


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate ``ca.pem`` of a CA that nobody knows, and what it has signed for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("authority")
    new_key = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        folder, "req", "-x509", *new_key, "-days", "2", "-subj", "/CN=Own CA", "-keyout", "ca.key", "-out", "ca.pem"
    )
    openssl(folder, "req", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "server.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "cert.pem")
    return folder


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
