"""A worker's kill: whose act it was decides whether the job is stopped, or left to the next try."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.connections import task_states
from airflow_provider_air.errors import JobStoppedError, UnavailableError
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests.deferrals import deferred
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context

DEADLINE_SECONDS = 30.0
LAST_TRY = 3
# Airflow kills a task hard 5 s after its signal.
HANDLER_SECONDS = 4.0


@contextmanager
def api_server(answers: Callable[[], int]) -> Iterator[str]:
    """Airflow's api-server, as far as it answers to anybody; gives where it listens for workers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "healthy"}).encode()
            self.send_response(answers() if self.path == "/execution/health" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/execution/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hang() -> int:
    time.sleep(5)
    return 200


AWAY: dict[str, Callable[[], int] | None] = {"nobody": None, "a gateway": lambda: 503, "silence": hang}


@pytest.fixture
def airflow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Say how the api-server answers; without a parameter, well."""
    answers = getattr(request, "param", lambda: 200)
    if answers is None:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:1/execution/")
        yield
        return
    with api_server(answers) as url:
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
        yield


def operator(**fields: Any) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(**{"task_id": "train", "entrypoint": "python train.py", **fields})


def waiting(store: Store, try_number: int = 1) -> RaySubmitJobOperator:
    """Give an operator whose job runs."""
    task = operator()
    deferred(task, task_context(store, try_number=try_number))
    return task


def ledger(store: Store) -> list[dict[str, Any]]:
    return list(store.get(LEDGER_KEY)["attempts"])


def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


def stops(head: FakeRayDashboard) -> int:
    return len(head.requests_to("POST", "/stop$"))


def killed(task: RaySubmitJobOperator) -> float:
    """Have Airflow's signal handler call it; gives the seconds that it took."""
    started = time.monotonic()
    task.on_kill()
    return time.monotonic() - started


def unreadable(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, how: str, *, answer_seconds: float = 0.5
) -> None:
    """The line to the supervisor does not give the state: it refuses, or it is in the middle of another request."""
    # Then all of this time is taken.
    monkeypatch.setattr(task_states, "ANSWER_SECONDS", answer_seconds)
    line = threading.Lock()
    if how == "busy":
        line.acquire()

    def send(message: Any) -> Any:
        with line:
            raise RuntimeError("the api-server refuses the token")

    monkeypatch.setattr(supervisor, "send", send)


@pytest.mark.parametrize("state", ["failed", "success", "restarting", "skipped", "removed", None])
def test_a_person_s_kill_stops(head: FakeRayDashboard, store: Store, supervisor: Supervisor, state: Any) -> None:
    task = waiting(store)
    supervisor.state = state

    killed(task)

    assert stops(head) == 1


def test_a_job_that_was_taken_is_stopped_though_its_cluster_could_not_be_found_just_then(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor
) -> None:
    right = JobsApi.prepare_stop

    def away(jobs: JobsApi, submission_id: str) -> Callable[[], None]:
        if head.jobs:
            raise UnavailableError("the cluster's secret cannot be read now")
        return right(jobs, submission_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobsApi, "prepare_stop", away)
        task = waiting(store)
    supervisor.state = "failed"
    killed(task)

    assert stops(head) == 1


@pytest.mark.parametrize("state", ["running", "scheduled", "queued", "up_for_retry", "deferred"])
def test_where_a_try_goes_on_nobody_has_stopped_it(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, state: str
) -> None:
    """Its host was frozen until another try had the task, or its worker shuts down."""
    task = waiting(store)
    supervisor.state = state

    killed(task)

    assert stops(head) == 0
    assert [job.status for job in head.jobs.values()] != ["STOPPED"]


@pytest.mark.parametrize("how", ["refused", "busy"])
def test_in_doubt_it_stops(
    head: FakeRayDashboard,
    store: Store,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    airflow: None,
    how: str,
) -> None:
    task = waiting(store)
    unreadable(supervisor, monkeypatch, how, answer_seconds=2.0)

    killed(task)

    assert stops(head) == 1


@pytest.mark.parametrize("how", ["refused", "busy"])
@pytest.mark.parametrize("airflow", AWAY.values(), ids=AWAY, indirect=True)
def test_where_the_api_server_is_away_the_next_try_goes_on(
    head: FakeRayDashboard,
    store: Store,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    airflow: None,
    how: str,
) -> None:
    task = waiting(store)
    unreadable(supervisor, monkeypatch, how)

    assert killed(task) < HANDLER_SECONDS
    assert stops(head) == 0


@pytest.mark.parametrize("airflow", AWAY.values(), ids=AWAY, indirect=True)
def test_the_last_try_is_stopped_whoever_did_it(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, airflow: None
) -> None:
    task = waiting(store, LAST_TRY)
    supervisor.state = "running"

    killed(task)

    assert stops(head) == 1


def test_the_handler_ends_in_time_whoever_is_slow(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, airflow: None
) -> None:
    task = waiting(store)
    unreadable(supervisor, monkeypatch, "busy")
    head.plan("POST", "/stop$", delay_seconds=20)

    assert killed(task) < HANDLER_SECONDS


def test_a_task_whose_time_is_over_asks_nobody(head: FakeRayDashboard, store: Store, supervisor: Supervisor) -> None:
    """Airflow calls ``on_kill`` behind its alarm, too; the task is running then."""
    task = operator(execution_timeout=timedelta(seconds=30), deferrable=False)
    head.plan("POST", "/stop$", status=503, body="no", times=1)

    def alarm(*args: Any) -> None:
        raise AirflowTaskTimeout("Timeout")

    supervisor.state = "running"
    run = Alarmed(task, alarm)
    with pytest.raises(AirflowTaskTimeout):
        run.execute(task_context(store))
    supervisor.asked.clear()
    before = stops(head)
    task.on_kill()

    # The alarm has stopped it, at the second go.
    assert [job.status for job in head.jobs.values()] == ["STOPPED"]
    assert not supervisor.asked
    assert stops(head) == before


class Alarmed:
    """Runs an operator whose alarm rings as soon as it waits."""

    def __init__(self, task: RaySubmitJobOperator, alarm: Callable[..., None]) -> None:
        self.task, self.alarm = task, alarm

    def execute(self, context: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("airflow_provider_air.runs.watch.Watch.event", self.alarm)
            return self.task.execute(context)


def test_on_kill_before_anything_was_started_does_nothing(head: FakeRayDashboard) -> None:
    operator().on_kill()

    assert not head.requests_to("*", ".*")


def test_on_kill_with_a_dead_cluster_does_not_raise(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor
) -> None:
    task = waiting(store)
    supervisor.state = "failed"
    head.stop()

    task.on_kill()


@pytest.mark.parametrize("wait", [True, False])
def test_a_kill_while_the_job_is_on_its_way_stops_it(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, wait: bool
) -> None:
    task = operator(wait=wait)
    supervisor.state = "failed"
    head.plan("POST", "^/api/jobs/$", delay_seconds=3.0)

    def kill() -> None:
        wait_for(lambda: head.requests_to("POST", "^/api/jobs/$"), "the submission")
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()

    with pytest.raises(JobStoppedError):
        task.execute(task_context(store))
    killer.join(DEADLINE_SECONDS)

    wait_for(lambda: [job.status for job in head.jobs.values()] == ["STOPPED"], "the job to be stopped")


def test_a_kill_before_the_job_is_on_its_way_keeps_it_from_being_sent(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor
) -> None:
    task = operator()
    supervisor.state = "failed"
    head.plan("GET", "^/api/version$", delay_seconds=3.0)

    def kill() -> None:
        wait_for(lambda: store.rows and ledger(store), "the intent")
        task.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()

    with pytest.raises(JobStoppedError):
        task.execute(task_context(store))
    killer.join(DEADLINE_SECONDS)

    assert head.jobs == {}


@pytest.mark.parametrize("has_adopted", [False, True])
def test_a_kill_before_there_is_anything_to_stop_starts_nothing_and_stops_what_is_there(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, has_adopted: bool
) -> None:
    """Airflow goes on after its signal handler, for up to five seconds."""
    if has_adopted:
        waiting(store)
    task, read = operator(), Store.get
    supervisor.state = "failed"

    def killed_meanwhile(self: Store, *args: Any) -> Any:
        task.on_kill()
        return read(self, *args)

    monkeypatch.setattr(Store, "get", killed_meanwhile)

    with pytest.raises(JobStoppedError):
        task.execute(task_context(store, try_number=2 if has_adopted else 1))

    assert [job.status for job in head.jobs.values()] == ["STOPPED"] * has_adopted
