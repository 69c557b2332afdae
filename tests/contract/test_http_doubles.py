"""The doubles break what they are told to break, when they are told, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.ray_dashboard import FakeRayDashboard

REPOSITORY = Path(__file__).parents[2]
LOST = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.fixture
def head() -> Iterator[FakeRayDashboard]:
    with FakeRayDashboard() as head:
        yield head


@pytest.fixture
def proxy(head: FakeRayDashboard) -> Iterator[ChaosProxy]:
    with ChaosProxy(head.url) as proxy:
        yield proxy


def api(url: str, token: str | None = "fake-ray-token", **options: Any) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, **options)


def job(name: str) -> dict[str, str]:
    return {"submission_id": name, "entrypoint": "true"}


def test_the_fake_answers_planned_statuses_and_then_the_truth(head: FakeRayDashboard) -> None:
    head.plan("GET", "^/api/version$", times=2, status=503)

    with api(head.url) as client:
        assert [client.get("/api/version").status_code for _ in range(3)] == [503, 503, 200]
        assert client.get("/api/jobs/").status_code == 200


def test_the_fake_loses_a_reply_after_it_has_acted(head: FakeRayDashboard) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True, act_first=True)

    with api(head.url) as client:
        with pytest.raises(LOST):
            client.post("/api/jobs/", json=job("a"))
        assert client.get("/api/jobs/a").status_code == 200
    assert [r.status for r in head.requests_to("POST", "^/api/jobs/$")] == [0]


def test_the_fake_drops_a_request_it_never_acts_on(head: FakeRayDashboard) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True)

    with api(head.url) as client:
        with pytest.raises(LOST):
            client.post("/api/jobs/", json=job("a"))
        assert client.get("/api/jobs/a").status_code == 404


def test_a_restarted_head_has_a_new_session_and_no_jobs(head: FakeRayDashboard) -> None:
    head.add_job("a", log="hello\n")
    session = head.session_name

    head.restart_head()

    with api(head.url) as client:
        assert client.get("/api/version").json()["session_name"] == head.session_name != session
        assert client.get("/api/jobs/a").status_code == 404


def test_the_agent_goes_and_comes_back_at_its_address(head: FakeRayDashboard) -> None:
    head.append_file("records.jsonl", "{}\n")
    with api(head.agent_url) as agent:
        head.agent_off()
        with pytest.raises(httpx.ConnectError):
            agent.get("/logs/records.jsonl")
        head.agent_on()
        assert agent.get("/logs/records.jsonl").content == b"{}\n"


def test_a_dead_node_keeps_its_jobs_running_and_takes_the_logs_along(head: FakeRayDashboard) -> None:
    head.add_job("a", log="hello\n")
    head.kill_node("gone")

    query: dict[str, str | int | float] = {
        "node_id": head.node_id,
        "filename": "job-driver-a.log",
        "lines": -1,
    }
    with api(head.url) as client:
        (node,) = client.get("/api/v0/nodes").json()["data"]["result"]["result"]
        assert (node["state"], node["state_message"]) == ("DEAD", "gone")
        assert client.get("/api/v0/logs/file", params=query).status_code == 500
        assert client.get("/api/jobs/a").json()["status"] == "RUNNING"


def test_what_was_asked_is_on_record_with_its_bytes(head: FakeRayDashboard) -> None:
    with api(head.url) as client:
        client.put("/api/packages/gcs/p.zip", content=b"12345")
        listed = client.get("/api/jobs/", params={"x": "1"})

    (put,), (get,) = head.requests_to("PUT", "packages"), head.requests_to("GET", "jobs")
    assert (put.body_bytes, put.status, put.path) == (5, 200, "/api/packages/gcs/p.zip")
    assert (get.query, get.reply_bytes) == ({"x": "1"}, len(listed.content))
    assert head.packages == {"p.zip": b"12345"}


def test_the_proxy_passes_bodies_headers_ranges_and_statuses_through(head: FakeRayDashboard, proxy: ChaosProxy) -> None:
    content = b"line\n" * 100_000
    head.append_file("big.txt", content)
    query: dict[str, str | int | float] = {"node_id": head.node_id, "filename": "big.txt", "lines": -1}

    with api(proxy.url) as client, ChaosProxy(head.agent_url) as agent, api(agent.url) as agent_client:
        assert client.get("/api/v0/logs/file", params=query).content == content
        assert client.put("/api/packages/gcs/p.zip", content=content).status_code == 200
        part = agent_client.get("/logs/big.txt", headers={"Range": "bytes=5-9"})
        end = agent_client.get("/logs/big.txt", headers={"Range": f"bytes={len(content)}-"})
    assert head.packages["p.zip"] == content
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (
        206,
        b"line\n",
        "bytes 5-9/500000",
    )
    assert (end.status_code, end.headers["Content-Range"]) == (416, "bytes */500000")
    assert httpx.get(f"{proxy.url}/api/version").status_code == 401


def test_the_proxy_streams_while_the_upstream_still_writes(head: FakeRayDashboard, proxy: ChaosProxy) -> None:
    head.append_file("follow.txt", "one\n")
    query: dict[str, str | int | float] = {
        "node_id": head.node_id,
        "filename": "follow.txt",
        "lines": -1,
        "interval": 0.05,
    }

    with api(proxy.url) as client, client.stream("GET", "/api/v0/logs/stream", params=query) as reply:
        chunks = reply.iter_raw()
        assert next(chunks) == b"one\n"
        head.append_file("follow.txt", "two\n")
        assert next(chunks) == b"two\n"


def test_a_reply_is_lost_after_the_dashboard_has_acted(head: FakeRayDashboard, proxy: ChaosProxy) -> None:
    seen: list[bool] = []
    rule = proxy.on("POST", "^/api/jobs/$", after=lambda: seen.append("a" in head.jobs), drop_reply=True)

    with api(proxy.url) as client:
        with pytest.raises(LOST):
            client.post("/api/jobs/", json=job("a"))
        assert client.get("/api/jobs/a").status_code == 200
    assert (seen, rule.hits, rule.failure) == ([True], 1, None)
    assert [r.status for r in proxy.requests_to("POST", "jobs")] == [0]


def test_a_request_is_held_until_released_and_others_pass(head: FakeRayDashboard, proxy: ChaosProxy) -> None:
    rule = proxy.on("POST", "^/api/jobs/$", hold=True)

    with ThreadPoolExecutor(1) as pool, api(proxy.url, timeout=30) as client:
        posted = pool.submit(client.post, "/api/jobs/", json=job("a"))
        rule.wait_reached()
        assert client.get("/api/jobs/").json() == []
        rule.release()
        assert posted.result(30).status_code == 200
    rule.wait_forwarded(1)


def test_a_client_that_dies_before_the_reply_does_not_undo_its_request(
    head: FakeRayDashboard, proxy: ChaosProxy
) -> None:
    gone = threading.Event()
    rule = proxy.on("POST", "^/api/jobs/$", before=lambda: gone.wait(30))

    with api(proxy.url, timeout=httpx.Timeout(5, read=0.3)) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/api/jobs/", json=job("a"))
    gone.set()
    rule.wait_forwarded(30)
    assert "a" in head.jobs


def test_statuses_and_drops_count_down_and_rules_can_be_cancelled(proxy: ChaosProxy) -> None:
    proxy.on("GET", "/api/version", status=500)
    outage = proxy.on("*", ".*", times=None, drop=True)

    with api(proxy.url) as client:
        assert client.get("/api/version").status_code == 500
        for _ in range(3):
            with pytest.raises(LOST):
                client.get("/api/version")
        outage.cancel()
        assert client.get("/api/version").status_code == 200
    assert (outage.hits, proxy.count("GET", "/api/version")) == (3, 5)


def test_a_dead_upstream_looks_dead_and_its_successor_answers(head: FakeRayDashboard, proxy: ChaosProxy) -> None:
    with api(proxy.url) as client, FakeRayDashboard() as successor:
        head.stop()
        with pytest.raises(LOST):
            client.get("/api/version")
        proxy.upstream = successor.url
        assert client.get("/api/version").json()["session_name"] == successor.session_name


def test_the_replay_process_serves_many_jobs_and_obeys_its_control_port() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fakes.ray_dashboard",
        "--jobs",
        "50",
        "--log-interval-seconds",
        "0.5",
    ]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            with (
                api(ready["url"], ready["token"]) as client,
                httpx.Client(base_url=ready["control_url"]) as control,
            ):
                assert {j["status"] for j in client.get("/api/jobs/").json()} == {"RUNNING"}
                control.post("/finish/replay-0007").raise_for_status()
                assert client.get("/api/jobs/replay-0007").json()["status"] == "SUCCEEDED"
                assert control.get("/stats").json()["requests"] == 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
