from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from airflow_provider_air.clusters.local.probe import HeadProbe

NOW = 1000.0
READY = {
    "/api/version": {"version": "4"},
    "/api/job_agent/jobs/air-probe/stop": 404,
    "/api/v0/nodes": {"data": {"result": {"result": [{"state": "DEAD"}, {"state": "ALIVE"}]}}},
}


class Head(ThreadingHTTPServer):
    """Answers as a head does, whose dashboard and agent listen on one port."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {}

    is_open = False

    def probe(self, token: str = "right") -> HeadProbe:
        port = self.server_address[1]
        return HeadProbe({"dashboard": port, "agent": port}, token)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = cast(Head, self.server).answers.get(urlsplit(self.path).path, 500)
        token = self.headers["Authorization"]
        if token != "Bearer right" and not (token is None and cast(Head, self.server).is_open):
            answer = 401 if token is None else 403
        self.send_response(answer if isinstance(answer, int) else 200)
        self.end_headers()
        self.wfile.write(b"no JSON" if isinstance(answer, int) else json.dumps(answer).encode())

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Keep the output of the tests clean."""


@pytest.fixture
def head() -> Iterator[Head]:
    with Head() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_head_with_dashboard_agent_and_node_lacks_nothing(head: Head) -> None:
    head.answers = READY
    assert head.probe().missing() is None
    assert "dashboard" in str(head.probe("wrong").missing())


@pytest.mark.parametrize(
    ("path", "answer", "missing"),
    [
        ("/api/version", 500, "dashboard"),
        ("/api/job_agent/jobs/air-probe/stop", 500, "agent"),
        ("/api/v0/nodes", {"data": {"result": {"result": []}}}, "node"),
        ("/api/v0/nodes", ["something else"], "node"),
    ],
)
def test_what_a_head_lacks_is_named(head: Head, path: str, answer: Any, missing: str) -> None:
    head.answers = {**READY, path: answer}
    assert missing in str(head.probe().missing())


def test_whether_strangers_are_refused_is_asked_without_the_token(head: Head) -> None:
    head.answers = READY
    assert head.probe().refuses_strangers() is True
    head.is_open = True
    assert head.probe().refuses_strangers() is False


@pytest.mark.parametrize("door", ["/api/version", "/api/job_agent/jobs/air-probe/stop"])
def test_an_error_is_no_proof_of_a_shut_door(head: Head, door: str) -> None:
    head.is_open = True
    head.answers = {**READY, "/api/version": 401, "/api/job_agent/jobs/air-probe/stop": 401, door: 503}
    assert head.probe().refuses_strangers() is None


def test_nobody_there_is_an_answer() -> None:
    with Head() as closed:
        probe = closed.probe()
    assert probe.answers() is False
    assert probe.refuses_strangers() is None
    assert "dashboard" in str(probe.missing())


@pytest.mark.parametrize(
    ("jobs", "controllers", "active_at"),
    [
        ([], [], None),
        ([{"status": "SUCCEEDED", "end_time": 5000}, {"status": "FAILED", "end_time": 7000}], [], 7.0),
        ([{"status": "SUCCEEDED", "end_time": 5000}, {"status": "RUNNING", "end_time": None}], [], NOW),
        ([{"status": "PENDING", "end_time": None}], [], NOW),
        ([{"status": "SUCCEEDED", "end_time": 5000}], [{"state": "ALIVE"}], NOW),
        ("no list", [], NOW),
    ],
)
def test_activity_is_a_live_job_or_serve_else_the_end_of_the_last_job(
    head: Head, jobs: Any, controllers: list[Any], active_at: float | None
) -> None:
    head.answers = {"/api/jobs/": jobs, "/api/v0/actors": {"data": {"result": {"result": controllers}}}}
    assert head.probe().last_activity(NOW) == active_at


def test_silence_is_no_proof_of_idleness(head: Head) -> None:
    assert head.probe().last_activity(NOW) == NOW
