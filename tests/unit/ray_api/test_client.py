"""Both clients send, and send again, by the same rules; what breaks has a name and a way out."""

from __future__ import annotations

import asyncio
import pickle
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    UnavailableError,
)
from airflow_provider_air.ray_api import sending
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import Answer, Call, get_job, get_version, list_jobs, stop_job, submit_job
from airflow_provider_air.ray_api.transport import Transport
from tests.fakes.ray_dashboard import FakeRayDashboard

Send = Callable[..., Any]


def _send(transport: Transport, call: Call[Any], patience_seconds: float = 15.0) -> Any:
    with RayClient(transport, patience_seconds=patience_seconds) as client:
        return client.send(call)


def _asend(transport: Transport, call: Call[Any], patience_seconds: float = 15.0) -> Any:
    async def run() -> Any:
        async with AsyncRayClient(transport, patience_seconds=patience_seconds) as client:
            return await client.send(call)

    return asyncio.run(run())


@pytest.fixture(params=[_send, _asend], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    shell: Send = request.param
    return shell


def test_an_answer_comes_back_as_a_value(send: Send, transport: Transport) -> None:
    assert send(transport, get_version()).ray_version.startswith("2.")


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"status": 429}, {"drop": True}], ids=["500", "503", "429", "closed"]
)
def test_transient_failures_are_sent_again(
    send: Send, head: FakeRayDashboard, transport: Transport, fault: dict[str, Any]
) -> None:
    head.plan("GET", "^/api/version$", times=2, **fault)

    assert send(transport, get_version()).ray_version
    assert len(head.requests_to("GET", "^/api/version$")) == 3


def test_patience_ends(send: Send, head: FakeRayDashboard, transport: Transport) -> None:
    head.plan("GET", "^/api/version$", times=None, status=503)

    with pytest.raises(UnavailableError, match="503"):
        send(transport, get_version(), 3.0)
    assert len(head.requests_to("GET", "^/api/version$")) >= 2


def test_no_patience_means_one_request(send: Send, head: FakeRayDashboard, transport: Transport) -> None:
    head.plan("GET", "^/api/version$", times=None, status=503)

    with pytest.raises(UnavailableError):
        send(transport, get_version(), 0.0)
    assert len(head.requests_to("GET", "^/api/version$")) == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": True}], ids=["503", "closed"])
def test_a_submission_is_never_sent_again_by_itself(
    send: Send, head: FakeRayDashboard, transport: Transport, fault: dict[str, Any]
) -> None:
    head.plan("POST", "^/api/jobs/$", **fault)

    with pytest.raises(UnavailableError):
        send(transport, submit_job(JobSubmission("a", "true")))
    assert len(head.requests_to("POST", "^/api/jobs/$")) == 1


def test_a_stop_is_sent_again(send: Send, head: FakeRayDashboard, transport: Transport) -> None:
    head.add_job("a")
    head.plan("POST", "/stop$", status=503)

    assert send(transport, stop_job("a")) is True


@pytest.mark.parametrize(("token", "says"), [("wrong", "refused the token"), (None, "wants a token")])
def test_a_token_problem_is_told_at_once(send: Send, head: FakeRayDashboard, token: str | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        send(Transport(head.url, token=token), get_job("a"))
    assert len(head.requests_to("*", ".*")) == 1


def test_the_token_gets_through_a_proxy_that_eats_authorization(send: Send, head: FakeRayDashboard) -> None:
    transport = Transport(head.url, token=head.token, headers={"Authorization": ""})

    assert send(transport, get_version()).ray_version


def test_a_dead_port_says_where(send: Send) -> None:
    with pytest.raises(ClusterUnreachableError, match=r"http://127\.0\.0\.1:1\b.*reachable"):
        send(Transport("http://127.0.0.1:1"), get_version(), 0.0)


def test_no_answer_in_time_says_how_long(send: Send, head: FakeRayDashboard, transport: Transport) -> None:
    head.plan("POST", "/stop$", delay_seconds=30.0)
    head.add_job("a")

    with pytest.raises(ClusterUnreachableError, match=r"within 0\.2 s"):
        send(transport, stop_job("a", timeout_seconds=0.2), 0.0)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:8265"])
def test_what_is_no_http_address_is_the_authors_to_fix(send: Send, url: str) -> None:
    with pytest.raises(ConfigurationError, match="http://"):
        send(Transport(url), get_version(), 0.0)


def test_https_on_a_plain_port_says_so(send: Send, head: FakeRayDashboard) -> None:
    with pytest.raises(ConfigurationError, match="plain HTTP"):
        send(Transport(head.url.replace("http:", "https:")), get_version(), 0.0)


def test_a_header_that_cannot_be_sent_does_not_show_the_token(send: Send, head: FakeRayDashboard) -> None:
    with pytest.raises(ConfigurationError, match="header") as raised:
        send(Transport(head.url, token="hunter2\nX-Evil: 1"), get_version(), 0.0)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"no certificate"], ids=["absent", "garbage"])
def test_a_ca_bundle_that_cannot_be_read_names_its_path(send: Send, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="ca_path") as raised:
        send(Transport("https://127.0.0.1:1", verify=str(path)), get_version())
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("verify", [True, False])
def test_a_client_certificate_that_cannot_be_read_names_its_path(send: Send, tmp_path: Path, verify: bool) -> None:
    path = str(tmp_path / "client.pem")
    transport = Transport("https://127.0.0.1:1", verify=verify, client_certificate=(path, path))

    with pytest.raises(ConfigurationError, match="client certificate") as raised:
        send(transport, get_version())
    assert path in str(raised.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def strict_server(certificate: tuple[str, str]) -> Iterator[str]:
    """A server that lets in who shows its own certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"ray_version": "2.60.0"}')

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.load_verify_locations(certificate[0])
    context.verify_mode = ssl.CERT_REQUIRED
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("trusts", [True, False])
def test_a_server_that_wants_a_certificate_gets_it(
    send: Send, strict_server: str, certificate: tuple[str, str], trusts: bool
) -> None:
    verify = certificate[0] if trusts else False
    plain = Transport(strict_server, verify=verify)
    shown = Transport(strict_server, verify=verify, client_certificate=certificate)

    assert send(shown, get_version()).ray_version == "2.60.0"
    # The alert that says why may be overtaken by the end of the connection.
    with pytest.raises(AirError, match=r"client certificate|No connection"):
        send(plain, get_version(), 0.0)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_that_never_answers_ends_within_the_calls_time(send: Send, silent_port: int) -> None:
    started = time.monotonic()

    with pytest.raises(ClusterUnreachableError):
        send(Transport(f"http://127.0.0.1:{silent_port}"), stop_job("a", timeout_seconds=0.3), 0.0)
    assert time.monotonic() - started < 30


def test_proxies_of_the_environment_are_not_used(
    send: Send, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    assert send(transport, get_version()).ray_version


async def test_a_client_that_was_replaced_fails_as_unavailable(transport: Transport) -> None:
    client = AsyncRayClient(transport, patience_seconds=0)
    await client.aclose()

    with pytest.raises(UnavailableError):
        await client.send(get_version())
    with pytest.raises(UnavailableError):
        async with client.stream(get_version()):
            pass


def test_the_transport_does_not_show_its_secrets() -> None:
    shown = repr(Transport("http://a", token="hunter2", headers={"X-Key": "sesame"}))

    assert "hunter2" not in shown
    assert "sesame" not in shown


def test_errors_of_the_client_travel_between_processes() -> None:
    with pytest.raises(AirError) as raised:
        _send(Transport("http://127.0.0.1:1"), get_version(), 0.0)

    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again), again.where) == (type(raised.value), str(raised.value), raised.value.where)


def test_a_long_list_is_read_beside_the_event_loop(head: FakeRayDashboard, transport: Transport) -> None:
    readers: list[threading.Thread] = []

    def noted(call: Call[Any]) -> Call[Any]:
        def read(answer: Answer) -> Any:
            readers.append(threading.current_thread())
            return call.read(answer)

        return replace(call, read=read)

    async def ask() -> tuple[Any, Any]:
        async with AsyncRayClient(transport) as client:
            return await client.send(noted(get_version())), await client.send(noted(list_jobs()))

    for number in range(300):
        head.add_job(f"job-{number}", metadata={"note": "x" * 500})
    _, jobs = asyncio.run(ask())

    assert len(jobs) == 300
    # What is short is read where it came: a thread would cost more than it.
    assert [reader is threading.current_thread() for reader in readers] == [True, False]


def test_who_is_not_let_in_at_all_is_told_so_in_time_with_what_to_do(
    send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops what comes: here by a queue that is full."""
    monkeypatch.setattr(sending, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        transport = Transport(f"http://127.0.0.1:{server.getsockname()[1]}")
        try:
            with pytest.raises(ClusterUnreachableError, match=r"(?s)No connection: none within 0\.2 s.*reachable"):
                send(transport, get_version(), 0.0)
        finally:
            for each in waiting:
                each.close()
