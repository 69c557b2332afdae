"""What we rely on of Ray's dashboard and agent, in raw HTTP: true of a real head and of its double."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.waiting import wait_until
from tests.clusters import local_cluster
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.ray_dashboard import FakeRayDashboard

RUNNING, STOPPED_LATER, DONE, STUCK = "contract-running", "contract-stop", "contract-done", "contract-stuck"
TASKS = """
import ray
ray.init()
work = ray.remote(num_cpus=0.5)(lambda: None)
ray.get([work.options(name="work").remote() for _ in range(3)])
open({flag!r}, "w").close()
import time; time.sleep(600)
"""
DEADLINE_SECONDS = 60.0


@dataclass
class Head:
    """A dashboard under test, real or double, with the few things that differ between them."""

    api: httpx.Client
    token: str
    log_dir: Path
    finish: Callable[[str], None]
    tasks_job_id: Callable[[], str]

    def details(self, submission_id: str) -> dict[str, Any]:
        return dict(self.api.get(f"/api/jobs/{submission_id}").raise_for_status().json())

    def submit(self, submission_id: str, entrypoint: str, **fields: Any) -> httpx.Response:
        return self.api.post("/api/jobs/", json={"submission_id": submission_id, "entrypoint": entrypoint, **fields})

    def wait(self, submission_id: str, status: str) -> dict[str, Any]:
        wait_for(lambda: self.details(submission_id)["status"] == status, f"{submission_id} to be {status}")
        return self.details(submission_id)

    def write(self, name: str, data: bytes) -> int:
        path = self.log_dir / name
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
        return path.stat().st_size

    def state_log(self, media_type: str, **query: Any) -> httpx.Response:
        query = {"node_id": self.details(RUNNING)["driver_node_id"], **query}
        return self.api.get(f"/api/v0/logs/{media_type}", params=query)

    def agent_log(self, name: str, byte_range: str | None = None, **headers: str) -> httpx.Response:
        agent = self.details(RUNNING)["driver_agent_http_address"]
        sent = httpx.Headers([*self.api.headers.items()])
        sent.update({**headers, **({"Range": byte_range} if byte_range else {})})
        return get(f"{agent}/logs/{name}", headers=sent)


def get(url: str, **options: Any) -> httpx.Response:
    """Ask with the patience that a busy machine needs."""
    return httpx.get(url, timeout=DEADLINE_SECONDS, **options)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_SECONDS} s for {what}"
        time.sleep(0.1)


def _client(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)


@pytest.fixture(scope="module")
def fake_head() -> Iterator[Head]:
    # Long enough that a look right after the submission still sees it pending.
    with FakeRayDashboard(starts_after_seconds=2.0) as fake, _client(fake.url, str(fake.token)) as api:
        fake.set_tasks("02000000", {"work": {"FINISHED": 3}})
        yield Head(
            api, str(fake.token), fake.log_dir, lambda name: fake.set_status(name, "SUCCEEDED"), lambda: "02000000"
        )


@pytest.fixture(scope="module")
def real_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with local_cluster("contract-ray-dashboard") as (ref, transport):
        # resolved: each driver's ray.init() makes the link anew, and there is none for a moment
        session = (ClusterHome.of(ref.name).ray_folder / "session_latest").resolve(strict=True)
        token, logs = str(transport.token), session / "logs"
        flag, script = (tmp_path_factory.mktemp("tasks") / name for name in ("done", "tasks.py"))
        script.write_text(TASKS.format(flag=str(flag)))

        def tasks_job_id() -> str:
            wait_for(flag.exists, "the tasks of contract-tasks to finish")
            return str(real.details("contract-tasks")["job_id"])

        with _client(transport.base_url, token) as api:
            real = Head(api, token, logs, lambda name: None, tasks_job_id)
            real.submit("contract-tasks", f"python {script}").raise_for_status()
            yield real


@pytest.fixture(scope="module", params=["fake", "ray"])
def head(request: pytest.FixtureRequest) -> Head:
    head: Head = request.getfixturevalue({"fake": "fake_head", "ray": "real_head"}[request.param])
    head.submit(RUNNING, "echo hello; sleep 600", metadata={"owner": "contract"}).raise_for_status()
    head.submit(STOPPED_LATER, "sleep 600").raise_for_status()
    head.submit(DONE, "true").raise_for_status()
    head.submit(STUCK, "true", entrypoint_num_cpus=64).raise_for_status()
    head.wait(RUNNING, "RUNNING")
    head.finish(DONE)
    return head


def test_version_names_ray_and_the_session(head: Head) -> None:
    version = head.api.get("/api/version").json()

    assert version["version"] == "4"
    assert version["ray_version"].startswith("2.")
    assert version["session_name"].startswith("session_")


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Accept", "*/*", 401),
        ("Authorization", "Bearer wrong", 403),
        ("Authorization", "{token}", 403),
        ("Authorization", "Bearer {token}", 200),
        ("X-Ray-Authorization", "Bearer {token}", 200),
    ],
)
def test_a_request_needs_the_token(head: Head, header: str, value: str, status: int) -> None:
    headers = {header: value.format(token=head.token)}
    agent = head.details(RUNNING)["driver_agent_http_address"]
    head.write("auth.txt", b"x")

    assert get(f"{head.api.base_url}/api/version", headers=headers).status_code == status
    assert get(f"{agent}/logs/auth.txt", headers=headers).status_code == status


def test_the_authentication_mode_is_public(head: Head) -> None:
    assert get(f"{head.api.base_url}/api/authentication_mode").json() == {"authentication_mode": "token"}


def test_health_is_public(head: Head) -> None:
    agent = head.details(RUNNING)["driver_agent_http_address"]

    assert get(f"{head.api.base_url}/api/gcs_healthz").status_code == 200
    assert get(f"{agent}/api/local_raylet_healthz").status_code == 200


def test_a_browser_can_read_but_not_submit(head: Head) -> None:
    browser = {"User-Agent": "Mozilla/5.0"}

    assert head.api.get("/api/version", headers=browser).status_code == 200
    assert head.api.post("/api/jobs/", json={"entrypoint": "true"}, headers=browser).status_code == 405


def test_a_submitted_job_is_pending_and_has_no_node_yet(head: Head) -> None:
    # It asks for more than there is, so that it stays where it is.
    reply = head.submit("contract-new", "sleep 600", entrypoint_num_cpus=63)
    seen = head.details("contract-new")
    head.api.post("/api/jobs/contract-new/stop")

    assert reply.json() == {"job_id": "contract-new", "submission_id": "contract-new"}
    assert (seen["status"], seen["driver_node_id"], seen["driver_agent_http_address"]) == (
        "PENDING",
        None,
        None,
    )
    assert (seen["type"], seen["job_id"], seen["metadata"], seen["runtime_env"]) == (
        "SUBMISSION",
        None,
        None,
        None,
    )


def test_job_details_have_exactly_the_documented_keys(head: Head) -> None:
    assert list(head.details(RUNNING)) == [
        *("type", "job_id", "submission_id", "driver_info", "status", "entrypoint", "message", "error_type"),
        *("start_time", "end_time", "metadata", "runtime_env", "driver_agent_http_address", "driver_node_id"),
        "driver_exit_code",
    ]
    assert head.details(RUNNING)["metadata"] == {"owner": "contract"}


def test_a_duplicate_submission_id_is_a_500_that_says_already_exists(head: Head) -> None:
    reply = head.submit(RUNNING, "true")

    assert reply.status_code == 500
    assert f"Job with submission_id {RUNNING} already exists" in reply.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"entrypoint": "true", "bogus": 1}, 400),
        ({"submission_id": "x"}, 400),
        ({"entrypoint": "true", "metadata": {"n": 1}}, 400),
        (None, 500),
    ],
)
def test_a_malformed_submission_is_refused(head: Head, body: dict[str, Any] | None, status: int) -> None:
    content = b"{nope" if body is None else json.dumps(body).encode()

    assert head.api.post("/api/jobs/", content=content).status_code == status


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "/logs"), ("POST", "/stop"), ("DELETE", "")])
def test_an_unknown_job_is_a_404(head: Head, method: str, suffix: str) -> None:
    reply = head.api.request(method, f"/api/jobs/nope{suffix}")

    assert (reply.status_code, reply.text) == (404, "Job nope does not exist")


def test_the_list_needs_its_slash_and_has_every_job(head: Head) -> None:
    assert head.api.get("/api/jobs").status_code == 404
    assert {RUNNING, STUCK, STOPPED_LATER} <= {job["submission_id"] for job in head.api.get("/api/jobs/").json()}


def test_a_running_job_that_is_stopped_becomes_stopped(head: Head) -> None:
    head.wait(STOPPED_LATER, "RUNNING")

    assert head.api.post(f"/api/jobs/{STOPPED_LATER}/stop").json() == {"stopped": True}
    seen = head.wait(STOPPED_LATER, "STOPPED")
    assert (seen["message"], seen["driver_exit_code"]) == ("Job was intentionally stopped.", None)
    # Ray says so once the job's supervisor has gone, too, which may be a moment later.
    wait_until(
        lambda: head.api.post(f"/api/jobs/{STOPPED_LATER}/stop").json() == {"stopped": False} or None,
        what="a stop of what is stopped",
        timeout_seconds=60,
    )


def test_stopping_a_finished_job_changes_nothing_and_deleting_it_forgets_it(head: Head) -> None:
    assert head.wait(DONE, "SUCCEEDED")["driver_exit_code"] == 0

    assert head.api.post(f"/api/jobs/{DONE}/stop").json() == {"stopped": False}
    assert head.details(DONE)["status"] == "SUCCEEDED"
    head.write(f"job-driver-{DONE}.log", b"")
    assert head.api.delete(f"/api/jobs/{DONE}").json() == {"deleted": True}
    assert head.api.get(f"/api/jobs/{DONE}").status_code == 404
    assert head.state_log("file", filename=f"job-driver-{DONE}.log", lines=-1).status_code == 200


def test_an_unschedulable_job_accepts_a_stop_and_stays_pending(head: Head) -> None:
    assert head.api.post(f"/api/jobs/{STUCK}/stop").json() == {"stopped": True}

    refused = head.api.delete(f"/api/jobs/{STUCK}")
    assert (refused.status_code, "non-terminal state PENDING" in refused.text) == (500, True)
    assert "waiting for resources" in head.details(STUCK)["message"]
    assert head.api.get(f"/api/jobs/{STUCK}/logs").json() == {"logs": ""}


def test_the_cluster_status_shows_what_the_stuck_job_wants(head: Head) -> None:
    def demand() -> list[Any]:
        status = head.api.get("/api/cluster_status").json()["data"]["clusterStatus"] or {}
        return list(status.get("loadMetricsReport", {}).get("resourceDemand", []))

    wait_for(lambda: [{"CPU": 64.0}, 1] in demand(), "64 CPUs in the resource demand")


def test_a_running_job_cannot_be_deleted_and_its_log_is_one_string(head: Head) -> None:
    assert head.api.delete(f"/api/jobs/{RUNNING}").status_code == 500
    assert f"Running entrypoint for job {RUNNING}" in head.api.get(f"/api/jobs/{RUNNING}/logs").json()["logs"]


def test_a_package_exists_after_it_was_put(head: Head) -> None:
    path = "/api/packages/gcs/_ray_pkg_contract.zip"

    assert head.api.get(path).status_code == 404
    assert head.api.put(path, content=b"PK").status_code == 200
    assert (head.api.get(path).status_code, head.api.get(path).content) == (200, b"")


def test_the_agent_serves_a_file_from_any_byte(head: Head) -> None:
    size = head.write("range/part.jsonl", b"one\ntwo\npartial")

    for byte_range, body, content_range in [
        ("bytes=4-", b"two\npartial", f"bytes 4-{size - 1}/{size}"),
        ("bytes=4-6", b"two", f"bytes 4-6/{size}"),
        (f"bytes={size - 1}-{size + 500}", b"l", f"bytes {size - 1}-{size - 1}/{size}"),
    ]:
        reply = head.agent_log("range/part.jsonl", byte_range)
        assert (reply.status_code, reply.content, reply.headers["Content-Range"]) == (
            206,
            body,
            content_range,
        )


def test_the_agent_answers_416_with_the_size_at_and_past_the_end(head: Head) -> None:
    size = head.write("range-end.txt", b"12345")
    head.write("empty.txt", b"")

    for name, byte_range, told in [
        ("range-end.txt", f"bytes={size}-", size),
        ("range-end.txt", f"bytes={size + 9}-", size),
        ("empty.txt", "bytes=0-", 0),
    ]:
        reply = head.agent_log(name, byte_range)
        assert (reply.status_code, reply.content, reply.headers["Content-Range"]) == (
            416,
            b"",
            f"bytes */{told}",
        )


def test_the_agent_answers_404_for_a_missing_file_and_refuses_browsers(head: Head) -> None:
    assert head.agent_log("nope.log").status_code == 404
    assert head.agent_log("nope.log", **{"User-Agent": "Mozilla/5.0"}).status_code == 403


@pytest.mark.parametrize(
    ("lines", "body"), [(-1, b"a\nb\npartial"), (1, b"partial"), (2, b"b\npartial"), (0, b"a\nb\npartial")]
)
def test_the_state_api_serves_raw_bytes_with_a_partial_last_line(head: Head, lines: int, body: bytes) -> None:
    (head.log_dir / "raw.txt").unlink(missing_ok=True)
    head.write("raw.txt", b"a\nb\npartial")
    reply = head.state_log("file", filename="raw.txt", lines=lines)

    assert (reply.status_code, reply.content) == (200, body)
    assert reply.headers["Content-Type"].startswith("text/plain")


def test_the_state_api_serves_a_file_of_many_chunks_unchanged(head: Head) -> None:
    content = b"".join(b"line %d \xc3\xa9\n" % number for number in range(30_000))
    head.write("big.txt", content)

    assert head.state_log("file", filename="big.txt", lines=-1).content == content
    assert head.state_log("file", filename="big.txt").content == b"".join(content.splitlines(True)[-1000:])


@pytest.mark.parametrize("media_type", ["file", "stream"])
def test_the_state_api_answers_500_for_what_it_cannot_find(head: Head, media_type: str) -> None:
    def refusal(name: str) -> str:
        # Ray 2.60 loses this error now and then (1 of 300 here) and answers 200 with an empty body.
        for _ in range(20):
            reply = head.state_log(media_type, filename=name, lines=-1)
            if reply.status_code == 500:
                return reply.text
            assert (reply.status_code, reply.content) == (200, b"")
        raise AssertionError(f"{name} was never refused")

    assert refusal("nope.log").startswith("A file is not found at: ")
    assert refusal("../nope.log").startswith("A file is not found at: ")
    unknown_node = head.state_log(media_type, filename="nope.log", node_id="f" * 56)
    assert unknown_node.status_code == 500
    assert unknown_node.text == f"Agent for node id: {'f' * 56} doesn't exist."
    assert head.state_log(media_type, filename="nope.log", lines="x").status_code == 500


def test_a_stream_follows_the_file_and_does_not_end(head: Head) -> None:
    head.write("follow.txt", b"first\npart")
    query = {"node_id": head.details(RUNNING)["driver_node_id"], "filename": "follow.txt", "lines": -1}
    seen = b""

    with head.api.stream("GET", "/api/v0/logs/stream", params={**query, "interval": 0.1}, timeout=15) as reply:
        chunks = reply.iter_raw()
        while len(seen) < 10:
            seen += next(chunks)
        head.write("follow.txt", b"ial\n")
        while len(seen) < 14:
            seen += next(chunks)
    assert seen == b"first\npartial\n"


def test_the_node_is_listed_alive(head: Head) -> None:
    (node,) = head.api.get("/api/v0/nodes").json()["data"]["result"]["result"]
    (summary,) = head.api.get("/nodes", params={"view": "summary"}).json()["data"]["summary"]

    assert (node["state"], node["is_head_node"], node["state_message"]) == ("ALIVE", True, None)
    assert node["node_id"] == head.details(RUNNING)["driver_node_id"] == summary["raylet"]["nodeId"]
    assert {"cpu", "cpus", "mem", "ip", "hostname"} <= summary.keys()


def test_tasks_are_counted_by_function_for_a_ray_job_id(head: Head) -> None:
    def summary(job_id: str) -> Any:
        query = {"filter_keys": "job_id", "filter_predicates": "=", "filter_values": job_id}
        result = head.api.get("/api/v0/tasks/summarize", params=query).json()["data"]["result"]["result"]
        return result["node_id_to_summary"]["cluster"]["summary"]

    job_id = head.tasks_job_id()
    finished = {"func_or_class_name": "work", "type": "NORMAL_TASK", "state_counts": {"FINISHED": 3}}
    wait_for(lambda: summary(job_id) == {"work": finished}, "three finished tasks")
    assert summary("99000000") == {}
    query = {"filter_keys": "bogus", "filter_predicates": "=", "filter_values": "1"}
    assert head.api.get("/api/v0/tasks/summarize", params=query).status_code == 500


def test_the_chaos_proxy_shows_what_the_dashboard_shows(head: Head) -> None:
    head.write("proxied.txt", b"a\n" * 100_000)
    node_id = head.details(RUNNING)["driver_node_id"]
    paths = [
        *("/api/version", "/api/authentication_mode", f"/api/jobs/{RUNNING}", "/api/jobs/nope", "/api/jobs"),
        *("/api/packages/gcs/nope.zip", f"/api/v0/logs/file?node_id={node_id}&filename=proxied.txt&lines=-1"),
    ]

    with ChaosProxy(str(head.api.base_url)) as proxy, _client(proxy.url, head.token) as proxied:
        for path in paths:
            direct, shown = head.api.get(path), proxied.get(path)
            assert (shown.status_code, shown.content) == (direct.status_code, direct.content)
            assert shown.headers["Content-Type"] == direct.headers["Content-Type"]
        assert proxied.put("/api/packages/gcs/proxied.zip", content=b"PK" * 500_000).status_code == 200
    assert head.api.get("/api/packages/gcs/proxied.zip").status_code == 200


def test_a_submission_whose_reply_the_chaos_proxy_loses_has_happened(head: Head) -> None:
    with ChaosProxy(str(head.api.base_url)) as proxy, _client(proxy.url, head.token) as proxied:
        proxy.on("POST", "^/api/jobs/$", drop_reply=True)
        body = {"submission_id": "contract-lost", "entrypoint": "sleep 600"}

        with pytest.raises(httpx.RemoteProtocolError):
            proxied.post("/api/jobs/", json=body)
        again = proxied.post("/api/jobs/", json=body)
        assert (again.status_code, "already exists" in again.text) == (500, True)
        proxied.post("/api/jobs/contract-lost/stop").raise_for_status()
