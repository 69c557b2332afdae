"""RaySubmitJobOperator's life over a real HTTP dashboard: once, adopted, collected, stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError, TaskDeferralTimeout, TaskDeferred

from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.drivers.wire.values import TAG, encode
from airflow_provider_air.errors import (
    ClusterUnreachableError,
    DeadlineExceededError,
    JobFailedError,
    JobInfrastructureError,
    JobLostError,
    JobStoppedError,
    ProtocolError,
    ResultLostError,
    UnavailableError,
)
from airflow_provider_air.hooks.results import load_result
from airflow_provider_air.operators.submit import RayStopJobOperator, RaySubmitJobOperator
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.sensors.job import RayJobSensor
from airflow_provider_air.triggers.run import RayRunTrigger
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.conftest import Connect

DEADLINE_SECONDS = 30.0


def operator(**fields: Any) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(**{"task_id": "train", "entrypoint": "python train.py", **fields})


def posts(head: FakeRayDashboard) -> list[int]:
    return [request.status for request in head.requests_to("POST", "^/api/jobs/$")]


def ledger(store: Store) -> list[dict[str, Any]]:
    return list(store.get(LEDGER_KEY)["attempts"])


def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


class Ender:
    """Ends the head's next job as soon as it was submitted."""

    def __init__(self, head: FakeRayDashboard, end: Callable[[str], None]) -> None:
        self._thread = threading.Thread(target=self._run, args=(head, end))
        self._thread.start()

    def _run(self, head: FakeRayDashboard, end: Callable[[str], None]) -> None:
        wait_for(lambda: any(job.status == "RUNNING" for job in list(head.jobs.values())), "a running job")
        end(next(name for name, job in list(head.jobs.items()) if job.status == "RUNNING"))

    def join(self) -> None:
        self._thread.join(DEADLINE_SECONDS)


@pytest.fixture
def on_job(head: FakeRayDashboard) -> Iterator[Callable[[Callable[[str], None]], None]]:
    """Say what happens to the job that the test will submit."""
    enders: list[Ender] = []
    yield lambda end: enders.append(Ender(head, end))
    for ender in enders:
        ender.join()


def waits_for(pause: TaskDeferred) -> str:
    """Give the id of the job that a deferred task waits for."""
    assert isinstance(pause.trigger, RayRunTrigger)
    return str(pause.trigger.step["attempt"]["submission_id"])


# Once


def test_a_job_is_submitted_once_and_its_id_is_the_result(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    result = operator(deferrable=False).execute(task_context(store))

    assert posts(head) == [200]
    assert list(head.jobs) == [result]
    assert [item["phase"] for item in ledger(store)] == ["SUCCEEDED"]


def test_deferring_gives_the_worker_slot_back_and_comes_home_with_the_result(
    head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    context = task_context(store)
    pause = deferred(operator(), context)
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    assert isinstance(pause.trigger, RayRunTrigger)
    assert resume(operator(), context, pause, event_of(pause.trigger)) == next(iter(head.jobs))
    assert posts(head) == [200]


def test_the_id_is_in_the_ledger_before_the_cluster_hears_of_it(
    head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.0)
    head.plan("POST", "^/api/jobs/$", status=503, body="no", times=None)

    with pytest.raises(UnavailableError):
        operator().execute(task_context(store))

    assert [item["phase"] for item in ledger(store)] == ["intended"]


def test_a_refused_job_is_written_down_as_none_since_no_retry_will_come(head: FakeRayDashboard, store: Store) -> None:
    head.plan("POST", "^/api/jobs/$", status=400, body="no", times=None)

    with pytest.raises(AirflowFailException):
        operator().execute(task_context(store))

    assert [item["phase"] for item in ledger(store)] == ["LOST"]
    assert head.jobs == {}


def test_links_and_the_submission_id_are_pushed_before_the_wait(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    deferred(operator(), context)

    name = next(iter(head.jobs))
    xcoms = {key: value for key, value in context["ti"].xcoms.items() if key != "progress"}
    assert xcoms == {
        "submission_id": name,
        "ray_dashboard_url": head.url,
        "ray_job_url": f"{head.url}/#/jobs/{name}",
    }


def test_the_job_carries_what_finds_it_again(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(metadata={"team": "a"}), task_context(store, map_index=3))

    metadata = next(iter(head.jobs.values())).metadata or {}
    assert metadata["team"] == "a"
    assert metadata["air_task"] == "flights/manual__1/train[3]"
    assert (metadata["air_generation"], metadata["air_attempt"], metadata["air_try"]) == ("1", "1", "1")


def test_a_lost_reply_submits_once(head: FakeRayDashboard, store: Store) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True, act_first=True)

    deferred(operator(), task_context(store))

    assert posts(head) == [0]
    assert len(head.jobs) == 1


def test_a_lost_reply_and_a_lost_question_submit_once(head: FakeRayDashboard, store: Store) -> None:
    head.plan("POST", "^/api/jobs/$", drop=True, act_first=True)
    head.plan("GET", "^/api/jobs/air-", status=503, times=2)

    deferred(operator(), task_context(store))

    assert len(head.jobs) == 1
    assert [item["phase"] for item in ledger(store)] == ["submitted"]


def test_500s_for_a_while_are_sat_out(head: FakeRayDashboard, store: Store) -> None:
    head.plan("POST", "^/api/jobs/$", status=500, body="the agent is starting", times=2)
    head.plan("GET", "^/api/packages", status=503, times=2)

    deferred(operator(records=True), task_context(store))

    assert posts(head) == [500, 500, 200]
    assert len(head.jobs) == 1


def test_no_certainty_about_the_submission_fails_the_try_and_the_next_one_goes_on(
    head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.1)
    fault = head.plan("POST", "^/api/jobs/$", drop=True, times=None)
    with pytest.raises(ClusterUnreachableError):
        operator().execute(task_context(store))
    fault.cancel()

    deferred(operator(), task_context(store, try_number=2))

    assert [item["submission_id"] for item in ledger(store)] == list(head.jobs)


# When to defer


def test_a_short_job_ends_without_a_deferral(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    result = operator(deferrable=True, deferral_grace_seconds=60).execute(task_context(store))

    assert list(head.jobs) == [result]
    assert [item["phase"] for item in ledger(store)] == ["SUCCEEDED"]


def test_a_long_job_defers_after_the_grace_and_comes_back_no_sooner_than_its_worker_has_left(
    head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS", "33")
    began = time.time()

    pause = deferred(operator(deferral_grace_seconds=1.0), task_context(store))

    waited = time.time() - began
    assert waited >= 1.0
    assert isinstance(pause.trigger, RayRunTrigger)
    assert pause.trigger.not_before == pytest.approx(time.time() + 33, abs=2)
    assert json.loads(json.dumps(pause.trigger.serialize()[1]))["not_before"] == pause.trigger.not_before


def test_the_grace_is_the_deployments_unless_the_operator_has_its_own(
    head: FakeRayDashboard, store: Store, on_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_GRACE_SECONDS", "60")
    deferred(operator(deferral_grace_seconds=0), task_context(Store(), task_id="own"))
    head.jobs.clear()
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    assert operator().execute(task_context(store)) in head.jobs


def test_what_a_worker_showed_before_it_deferred_is_not_shown_again(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = task_context(store)
    pause = deferred(operator(deferral_grace_seconds=1.0), context)

    assert supervisor.xcoms["progress"]["clean"] is True
    assert supervisor.xcoms["progress"]["submission_id"] == waits_for(pause)


def test_whether_to_defer_is_airflows_setting_by_default() -> None:
    """It is read once, and True in this process: see ``tests/conftest.py``."""
    assert operator().deferrable is True
    script = (
        "from airflow_provider_air import RayCreateClusterOperator, RayServeSensor, RaySubmitJobOperator;"
        "made = [RaySubmitJobOperator(task_id='a', entrypoint='true'),"
        "RayCreateClusterOperator(task_id='b', cluster=None), RayServeSensor(task_id='c', application='x')];"
        "print([each.deferrable for each in made])"
    )
    environment = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "False"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[False, False, False]"


# Again


def test_a_retry_adopts_the_running_job(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(), task_context(store))
    pause = deferred(operator(), task_context(store, try_number=2))

    assert posts(head) == [200]
    assert waits_for(pause) == next(iter(head.jobs))


def test_a_retry_collects_a_job_that_succeeded_meanwhile(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(), task_context(store))
    name = next(iter(head.jobs))
    head.set_status(name, "SUCCEEDED")

    assert operator().execute(task_context(store, try_number=2)) == name
    assert posts(head) == [200]


@pytest.mark.parametrize("status", ["FAILED", "STOPPED"])
def test_a_retry_after_a_bad_end_submits_a_new_attempt(head: FakeRayDashboard, store: Store, status: str) -> None:
    deferred(operator(), task_context(store))
    head.set_status(next(iter(head.jobs)), status)

    deferred(operator(), task_context(store, try_number=2))

    assert len(head.jobs) == 2
    assert [(item["number"], item["phase"]) for item in ledger(store)] == [(1, status), (2, "submitted")]


def test_a_job_that_was_seen_and_is_gone_is_lost_and_submitted_anew(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(), task_context(store))
    head.restart_head()

    deferred(operator(), task_context(store, try_number=2))

    assert [item["phase"] for item in ledger(store)] == ["LOST", "submitted"]


def test_a_clear_while_deferred_stops_the_old_job_before_the_new_one_starts(
    head: FakeRayDashboard, store: Store
) -> None:
    deferred(operator(), task_context(store))
    old = next(iter(head.jobs))

    deferred(operator(), task_context(store, try_number=2, max_tries=3))

    assert head.jobs[old].status == "STOPPED"
    assert [(item["generation"], item["phase"]) for item in ledger(store)] == [(1, "STOPPED"), (2, "submitted")]


def test_a_clear_of_another_task_of_the_run_is_no_clear_of_this_one(head: FakeRayDashboard, store: Store) -> None:
    """The run's clear number grows with every clear of any of its tasks, also while this one runs or has succeeded."""
    deferred(operator(), task_context(store))
    (name,) = head.jobs

    assert waits_for(deferred(operator(), task_context(store, try_number=2, clear_number=1))) == name
    head.set_status(name, "SUCCEEDED")
    assert operator().execute(task_context(store, try_number=2, clear_number=2)) == name
    assert operator().execute(task_context(store, try_number=2, clear_number=3)) == name

    assert posts(head) == [200]
    assert store.get(LEDGER_KEY)["generation"] == 1


def test_a_cleared_task_whose_old_cluster_is_gone_runs_on_another_one(
    head: FakeRayDashboard, store: Store, connect: Connect
) -> None:
    connect("gone", host=head.url, password=head.token)
    deferred(operator(ray_conn_id="gone"), task_context(store))
    (old,) = head.jobs
    connect("gone", host="http://127.0.0.1:1")

    pause = deferred(operator(), task_context(store, try_number=2, max_tries=3))

    assert [(item["generation"], item["phase"]) for item in ledger(store)] == [(1, "ABANDONED"), (2, "submitted")]
    assert waits_for(pause) != old


def test_a_retry_does_not_abandon_what_may_still_run(head: FakeRayDashboard, store: Store, connect: Connect) -> None:
    connect("gone", host=head.url, password=head.token)
    deferred(operator(ray_conn_id="gone"), task_context(store))
    connect("gone", host="http://127.0.0.1:1")

    with pytest.raises(ClusterUnreachableError):
        operator().execute(task_context(store, try_number=2))

    assert [item["phase"] for item in ledger(store)] == ["submitted"]
    assert posts(head) == [200]


def test_a_clear_after_success_runs_again(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(), task_context(store))
    head.set_status(next(iter(head.jobs)), "SUCCEEDED")
    operator().execute(task_context(store, try_number=2))

    deferred(operator(), task_context(store, try_number=3, max_tries=4))

    assert len(head.jobs) == 2
    assert store.get(LEDGER_KEY)["run_generation"] == 2


@pytest.mark.parametrize("status", ["SUCCEEDED", "RUNNING"])
def test_a_clear_runs_again_where_edited_retries_leave_max_tries_as_it_was(
    head: FakeRayDashboard, store: Store, status: str
) -> None:
    deferred(operator(), task_context(store, max_tries=1, retries=1))
    (name,) = head.jobs
    head.set_status(name, status)

    # Airflow writes max_tries anew: try 1, and no retries.
    pause = deferred(operator(), task_context(store, try_number=2, max_tries=1, retries=0, clear_number=1))

    assert waits_for(pause) != name
    assert head.jobs[name].status != "RUNNING"
    assert store.get(LEDGER_KEY)["generation"] == 2


def test_a_stray_of_this_task_is_stopped_when_the_ledger_has_expired(head: FakeRayDashboard) -> None:
    deferred(operator(), task_context(Store()))
    stray = next(iter(head.jobs))

    deferred(operator(), task_context(Store(), try_number=2))

    assert head.jobs[stray].status == "STOPPED"
    assert len(head.jobs) == 2


def test_another_tasks_jobs_are_left_alone(head: FakeRayDashboard) -> None:
    deferred(operator(), task_context(Store(), task_id="other"))
    other = next(iter(head.jobs))

    deferred(operator(), task_context(Store(), try_number=2))

    assert head.jobs[other].status != "STOPPED"


# Ends


def test_a_failed_job_says_why(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    message = "Job entrypoint command failed with exit code 3, last available logs:\nTraceback\nValueError: bad\n"
    on_job(lambda name: head.set_status(name, "FAILED", message=message, exit_code=3))

    with pytest.raises(JobFailedError, match="ValueError: bad") as raised:
        operator(deferrable=False).execute(task_context(store))

    assert (raised.value.exit_code, raised.value.error_type) == (3, "JOB_ENTRYPOINT_COMMAND_ERROR")
    assert raised.value.last_lines.endswith("ValueError: bad")
    assert [item["phase"] for item in ledger(store)] == ["FAILED"]


def test_rays_own_trouble_is_told_from_the_users(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(lambda name: head.set_status(name, "FAILED", message="died", error_type="JOB_SUPERVISOR_ACTOR_DIED"))

    with pytest.raises(JobInfrastructureError, match="JOB_SUPERVISOR_ACTOR_DIED"):
        operator(deferrable=False).execute(task_context(store))


def test_a_job_that_somebody_stopped_is_a_failure(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(lambda name: head.set_status(name, "STOPPED"))

    with pytest.raises(JobStoppedError):
        operator(deferrable=False).execute(task_context(store))


def test_a_head_that_lost_the_job_while_it_ran_is_a_lost_job(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(lambda name: head.restart_head())

    with pytest.raises(JobLostError):
        operator(deferrable=False).execute(task_context(store))

    assert [item["phase"] for item in ledger(store)] == ["LOST"]


def run_through(task: RaySubmitJobOperator, context: Any) -> Any:
    """Run the operator, and its trigger where it defers."""
    try:
        return task.execute(context)
    except TaskDeferred as pause:
        return resume(task, context, pause, event_of(pause.trigger))


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_deadline_stops_the_job(head: FakeRayDashboard, store: Store, deferrable: bool) -> None:
    task = operator(execution_timeout=timedelta(seconds=1), deferrable=deferrable)

    with pytest.raises(DeadlineExceededError, match="execution_timeout"):
        run_through(task, task_context(store))

    assert [job.status for job in head.jobs.values()] == ["STOPPED"]
    assert [item["phase"] for item in ledger(store)] == ["STOPPED"]


def test_the_entrypoint_refuses_to_start_after_the_deadline(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(execution_timeout=timedelta(seconds=900)), task_context(store))

    entrypoint = next(iter(head.jobs.values())).entrypoint
    assert entrypoint.startswith('if [ "$(date +%s)" -gt ')
    assert entrypoint.endswith("; python train.py")


def test_what_cannot_be_stopped_is_stopped_again_by_the_next_try(head: FakeRayDashboard, store: Store) -> None:
    task = operator(entrypoint_num_cpus=64, execution_timeout=timedelta(seconds=1), deferrable=False)
    with pytest.raises(DeadlineExceededError):
        task.execute(task_context(store))
    stuck = next(iter(head.jobs))
    assert ledger(store)[0]["stop_pending"] is True
    before = len(head.requests_to("POST", f"/{stuck}/stop$"))

    deferred(operator(), task_context(store, try_number=2))

    assert len(head.requests_to("POST", f"/{stuck}/stop$")) > before
    assert len(head.jobs) == 2


# Records


def test_the_reported_result_becomes_the_xcom(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    def end(name: str) -> None:
        result = {"kind": "result", "value": encode({"rmse": 1.5, "shape": (1, 2)})}
        write_records(head, name, result, {"kind": "end", "status": "succeeded"})
        head.set_status(name, "SUCCEEDED")

    on_job(end)

    assert operator(records=True, deferrable=False).execute(task_context(store)) == {"rmse": 1.5, "shape": (1, 2)}


def test_a_result_is_collected_again_without_asking_anybody(
    head: FakeRayDashboard, store: Store, on_job: Any, connect: Connect
) -> None:
    """Its worker died between the job's end and Airflow's knowing of it; meanwhile the cluster is gone."""

    def end(name: str) -> None:
        result = {"kind": "result", "value": encode({"rmse": float("nan"), "shape": (1, 2), "blob": b"x" * 200_000})}
        write_records(head, name, result, {"kind": "end", "status": "succeeded"})
        head.set_status(name, "SUCCEEDED")

    on_job(end)
    first = operator(records=True, deferrable=False).execute(task_context(store))
    connect(host="http://127.0.0.1:1")
    head.requests.clear()

    again = operator(records=True).execute(task_context(store, try_number=2))

    assert again["shape"] == first["shape"] == (1, 2)
    assert again["blob"] == first["blob"]
    assert again["rmse"] is None
    assert load_result(again)["blob"] == b"x" * 200_000
    assert not head.requests
    # What the state store takes (Airflow 3.3): 64 KB an entry.
    assert max(map(len, store.rows.values())) <= 64 * 1024


def test_a_result_that_is_gone_is_made_again(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    def end(name: str) -> None:
        write_records(head, name, {"kind": "result", "value": 7}, {"kind": "end", "status": "succeeded"})
        head.set_status(name, "SUCCEEDED")

    on_job(end)
    operator(records=True, deferrable=False).execute(task_context(store))
    del store.rows["air_result"]
    head.restart_head()

    deferred(operator(records=True), task_context(store, try_number=2))

    assert [item["phase"] for item in ledger(store)] == ["RESULT_LOST", "submitted"]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"kind": "result", "value": 1}],
        [{"kind": "end", "status": "succeeded"}],
        [{"kind": "result", "value": 1}, {"kind": "end", "status": "failed"}],
        [{"kind": "nonsense"}],
        [{"kind": "result", "value": {TAG: "pickle", "value": ""}}, {"kind": "end", "status": "succeeded"}],
    ],
    ids=["none", "no end", "no result", "failed", "garbage", "unreadable"],
)
def test_a_success_without_its_result_is_lost_and_the_next_try_runs_again(
    head: FakeRayDashboard, store: Store, on_job: Any, records: list[dict[str, Any]]
) -> None:
    def end(name: str) -> None:
        write_records(head, name, *records)
        head.set_status(name, "SUCCEEDED")

    on_job(end)
    with pytest.raises(ResultLostError):
        operator(records=True, deferrable=False).execute(task_context(store))
    assert [item["phase"] for item in ledger(store)] == ["RESULT_LOST"]

    deferred(operator(records=True), task_context(store, try_number=2))
    assert len(head.jobs) == 2


def test_a_refusal_while_a_success_is_collected_is_no_mistake_of_the_author(
    head: FakeRayDashboard, store: Store
) -> None:
    task, context = operator(records=True), task_context(store)
    pause = deferred(task, context)
    (name,) = head.jobs
    write_records(head, name, {"kind": "result", "value": 7}, {"kind": "end", "status": "succeeded"})
    head.set_status(name, "SUCCEEDED")
    told = event_of(pause.trigger)
    right, head.token = head.token, "rotated"
    with pytest.raises(ClusterUnreachableError, match="refuses us now"):
        resume(task, context, pause, told)

    head.token = right
    assert operator(records=True).execute(task_context(store, try_number=2)) == 7
    assert len(head.jobs) == 1


def test_a_job_that_refuses_its_configuration_is_not_retried(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    def end(name: str) -> None:
        error = {"type": "ConfigurationProblem", "message": "column 'y' is missing"}
        write_records(head, name, {"kind": "end", "status": "failed", "error": error})
        head.set_status(name, "FAILED", message="failed with exit code 64", exit_code=64)

    on_job(end)

    with pytest.raises(AirflowFailException, match="column 'y' is missing"):
        operator(records=True, deferrable=False).execute(task_context(store))


def test_a_failed_job_without_readable_records_still_says_why(
    head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    def end(name: str) -> None:
        head.append_file(records_name(name), b"\xff no record\n")
        head.set_status(name, "FAILED", message="boom", exit_code=1)

    on_job(end)

    with pytest.raises(JobFailedError, match="boom"):
        operator(records=True, deferrable=False).execute(task_context(store))


# Events


@pytest.mark.parametrize(
    "change",
    [
        {"submission_id": "other"},
        {"what": "nonsense"},
        {"what": None},
        {"outcome": "nonsense"},
        {"outcome": None},
        {"outcome": "ended", "job": None},
        {"job": {"status": "SUCCEEDED"}},
        {"job": {"submission_id": "other", "status": "SUCCEEDED"}},
        {"job": {"submission_id": "{id}", "status": "GREAT"}},
        {"job": "SUCCEEDED"},
        {"job": ["SUCCEEDED"]},
    ],
)
def test_a_malformed_event_is_never_a_success(head: FakeRayDashboard, store: Store, change: dict[str, Any]) -> None:
    context = task_context(store)
    pause = deferred(operator(), context)
    name = next(iter(head.jobs))
    whole = {"version": 1, "what": "end", "submission_id": name, "outcome": "ended", "message": "", "job": None}
    text = json.dumps(whole | change)

    with pytest.raises(ProtocolError):
        resume(operator(), context, pause, json.loads(text.replace("{id}", name)))


@pytest.mark.parametrize("event", [None, "ended", [], {}, 1])
def test_an_event_that_is_none_is_never_a_success(head: FakeRayDashboard, store: Store, event: Any) -> None:
    context = task_context(store)
    pause = deferred(operator(), context)

    with pytest.raises(ProtocolError):
        resume(operator(), context, pause, event)


def test_an_unreachable_cluster_leaves_the_job_to_be_adopted(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    pause = deferred(operator(), context)
    name = next(iter(head.jobs))
    told = {"outcome": "unreachable", "message": "no answer", "job": None}
    event = {"version": 1, "what": "end", "submission_id": name, **told}

    with pytest.raises(ClusterUnreachableError, match="no answer"):
        resume(operator(), context, pause, event)

    pause = deferred(operator(), task_context(store, try_number=2))
    assert waits_for(pause) == name


# Stops


def broken(context: Any, reason: str, **fields: Any) -> Exception:
    """Come back from a deferral whose trigger gave no event."""
    with pytest.raises((TaskDeferralError, TaskDeferralTimeout)) as raised:
        operator(**fields).resume_execution(TRIGGER_FAIL_REPR, {"error": reason, "traceback": None}, context)
    return raised.value


@pytest.mark.parametrize(
    ("reason", "error"), [("Trigger timeout", TaskDeferralTimeout), ("Trigger failure", TaskDeferralError)]
)
def test_a_broken_deferral_of_the_last_try_stops_the_job(
    head: FakeRayDashboard, store: Store, reason: str, error: type[Exception]
) -> None:
    context = task_context(store, try_number=3)
    deferred(operator(), context)

    assert type(broken(context, reason)) is error
    assert [job.status for job in head.jobs.values()] == ["STOPPED"]
    assert [item["phase"] for item in ledger(store)] == ["STOPPED"]


def test_a_broken_deferral_leaves_the_job_to_the_next_try(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    deferred(operator(), context)

    broken(context, "Trigger failure")

    (name,) = head.jobs
    assert head.jobs[name].status != "STOPPED"
    assert [item["phase"] for item in ledger(store)] == ["submitted"]
    assert waits_for(deferred(operator(), task_context(store, try_number=2))) == name
    assert posts(head) == [200]


def test_a_broken_deferral_past_the_deadline_stops_the_job(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    timeout = timedelta(seconds=1)
    deferred(operator(execution_timeout=timeout), context)
    time.sleep(1.1)

    broken(context, "Trigger timeout", execution_timeout=timeout)

    assert [job.status for job in head.jobs.values()] == ["STOPPED"]


def test_the_last_try_leaves_nothing_running_whatever_ends_it(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store, try_number=3)
    pause = deferred(operator(), context)
    told = {"outcome": "unreachable", "message": "no answer", "job": None}
    event = {"version": 1, "what": "end", "submission_id": waits_for(pause), **told}

    with pytest.raises(ClusterUnreachableError):
        resume(operator(), context, pause, event)

    assert [job.status for job in head.jobs.values()] == ["STOPPED"]


def test_the_stop_operator_stops_a_job_and_says_how_it_ended(head: FakeRayDashboard, store: Store) -> None:
    head.add_job("mine")

    stop = RayStopJobOperator(task_id="stop", submission_id="mine")

    assert stop.execute(task_context(store)) == "STOPPED"


def test_the_stop_operator_is_content_with_an_unknown_job(store: Store) -> None:
    assert RayStopJobOperator(task_id="stop", submission_id="nope").execute(task_context(store)) == "UNKNOWN"


def test_progress_is_kept_while_waiting(
    head: FakeRayDashboard, store: Store, supervisor: Supervisor, on_job: Any
) -> None:
    def end(name: str) -> None:
        write_records(
            head,
            name,
            {"kind": "progress", "message": "epoch", "done": 3, "total": 10},
            {"kind": "metric", "values": {"rmse": 1.5}, "step": 3},
            {"kind": "result", "value": 1},
            {"kind": "end", "status": "succeeded"},
        )
        head.set_status(name, "SUCCEEDED")

    on_job(end)
    operator(records=True, deferrable=False).execute(task_context(store))

    progress = supervisor.xcoms["progress"]
    assert (progress["message"], progress["done"], progress["values"]) == ("epoch", 3, {"rmse": 1.5})
    assert (progress["status"], progress["clean"]) == ("SUCCEEDED", True)


# Not waited for


def test_a_job_that_nobody_waits_for_is_submitted_once_and_its_id_is_the_result(
    head: FakeRayDashboard, store: Store
) -> None:
    context = task_context(store)

    name = operator(wait=False).execute(context)

    assert list(head.jobs) == [name]
    assert not head.jobs[name].status.startswith("S")
    assert context["ti"].xcoms["submission_id"] == name
    assert [item["phase"] for item in ledger(store)] == ["DETACHED"]
    assert posts(head) == [200]


def test_a_retry_that_was_not_heard_of_gives_the_id_again_and_asks_nobody_for_it(
    head: FakeRayDashboard, store: Store
) -> None:
    name = operator(wait=False).execute(task_context(store))
    head.set_status(name, "FAILED")
    head.requests.clear()

    assert operator(wait=False).execute(task_context(store, try_number=2)) == name
    assert not head.requests_to("*", "^/api/jobs")


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "SUCCEEDED", "FAILED"])
def test_a_retry_after_a_death_during_the_submission_finds_the_job(
    head: FakeRayDashboard, store: Store, status: str
) -> None:
    name = operator(wait=False).execute(task_context(store))
    ledger_of = store.get(LEDGER_KEY)
    # Its worker died before it had written that Ray has the job.
    ledger_of["attempts"][-1] |= {"phase": "intended", "accepted_on": None}
    store.set(LEDGER_KEY, ledger_of)
    head.set_status(name, status)

    assert operator(wait=False).execute(task_context(store, try_number=2)) == name
    assert posts(head) == [200]


def test_a_clear_stops_a_job_that_nobody_waits_for_before_the_new_one(head: FakeRayDashboard, store: Store) -> None:
    old = operator(wait=False).execute(task_context(store))

    new = operator(wait=False).execute(task_context(store, try_number=2, max_tries=3))

    assert head.jobs[old].status == "STOPPED"
    assert new != old
    assert [(item["generation"], item["phase"]) for item in ledger(store)] == [(1, "STOPPED"), (2, "DETACHED")]
    # What has succeeded is begun afresh: here, what was submitted.
    assert store.get(LEDGER_KEY)["run_generation"] == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"cluster": LocalCluster()}, "a spec with a name, a RayClusterTaskGroup's, or a ray connection's"),
        ({"tracker": MlflowTracker()}, "leave 'tracker' out"),
        ({"records": True}, "leave 'records' out"),
    ],
    ids=["owned cluster", "tracker", "records"],
)
def test_what_needs_somebody_who_waits_is_refused_before_anything_is_started(
    head: FakeRayDashboard, store: Store, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        operator(wait=False, **fields).execute(task_context(store))

    assert not head.requests_to("*", "^/api/jobs")
    assert ledger(store) == []


def test_the_tasks_time_does_not_bound_a_job_that_nobody_waits_for(head: FakeRayDashboard, store: Store) -> None:
    name = operator(wait=False, execution_timeout=timedelta(seconds=60)).execute(task_context(store))

    assert head.jobs[name].entrypoint == "python train.py"


def test_a_sensor_waits_for_a_job_that_nobody_waits_for(head: FakeRayDashboard, store: Store) -> None:
    name = operator(wait=False).execute(task_context(store))
    sensor = RayJobSensor(task_id="is_done", submission_id=name, timeout=60)
    context = task_context(Store(), task_id="is_done")
    pause = deferred(sensor, context)
    head.set_status(name, "SUCCEEDED")

    assert resume(sensor, context, pause, event_of(pause.trigger)) == name


# An id of the author's


def test_an_id_of_the_authors_names_the_first_job_and_later_ones_get_a_number(
    head: FakeRayDashboard, store: Store
) -> None:
    task = operator(submission_id="nightly.2026-01-01")
    for number, (try_number, max_tries) in enumerate([(1, 2), (2, 2), (3, 5)]):
        pause = deferred(task, task_context(store, try_number=try_number, max_tries=max_tries))
        assert waits_for(pause) == ["nightly.2026-01-01", "nightly.2026-01-01-2", "nightly.2026-01-01-3"][number]
        head.set_status(waits_for(pause), "FAILED")

    assert list(head.jobs) == [item["submission_id"] for item in ledger(store)]
    assert "submission_id" in RaySubmitJobOperator.template_fields


def test_a_retry_adopts_the_job_of_the_authors_id(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(submission_id="nightly"), task_context(store))
    pause = deferred(operator(submission_id="nightly"), task_context(store, try_number=2))

    assert waits_for(pause) == "nightly"
    assert posts(head) == [200]


@pytest.mark.parametrize("text", ["", " ", "a b", "a/b", "-a", "a\n", "данные", "a" * 201, 7])
def test_an_id_that_cannot_name_a_job_is_refused(head: FakeRayDashboard, store: Store, text: Any) -> None:
    with pytest.raises(AirflowFailException, match="'submission_id' must be"):
        operator(submission_id=text).execute(task_context(store))

    assert not head.requests_to("*", "^/api/jobs")


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED"])
def test_somebody_elses_job_of_the_authors_id_is_left_alone(
    head: FakeRayDashboard, store: Store, wait: bool, status: str
) -> None:
    head.add_job("nightly", status, metadata={"air_task": "another/run/task", "air_deployment": "tests"})

    with pytest.raises(AirflowFailException, match="it is not this task's"):
        operator(submission_id="nightly", wait=wait).execute(task_context(store))

    assert head.jobs["nightly"].status == status
    assert not head.requests_to("POST", ".*")


def test_somebody_who_takes_the_authors_id_in_the_last_moment_is_left_alone(
    head: FakeRayDashboard, store: Store
) -> None:
    head.add_job("nightly", "RUNNING", metadata={"air_task": "another/run/task", "air_deployment": "tests"})
    # It is not there yet when it is looked for.
    head.plan("GET", "^/api/jobs/nightly$", status=404, body="Job nightly does not exist")

    with pytest.raises(AirflowFailException, match="somebody else's"):
        operator(submission_id="nightly").execute(task_context(store))

    assert head.jobs["nightly"].status == "RUNNING"
    assert not head.requests_to("POST", "/stop$")


def test_a_job_of_a_ledger_that_has_expired_is_not_taken_for_the_new_one(head: FakeRayDashboard) -> None:
    deferred(operator(submission_id="nightly"), task_context(Store()))
    head.set_status("nightly", "SUCCEEDED")

    with pytest.raises(AirflowFailException, match="another submission_id"):
        operator(submission_id="nightly").execute(task_context(Store(), try_number=2))


def test_who_takes_the_authors_id_on_a_head_that_has_lost_its_jobs_is_not_followed_to_its_end(
    head: FakeRayDashboard, store: Store
) -> None:
    context = task_context(store)
    pause = deferred(operator(submission_id="nightly"), context)
    head.restart_head()
    head.add_job("nightly", "SUCCEEDED", metadata={"air_task": "another/run/task", "air_deployment": "tests"})

    with pytest.raises(JobLostError, match="Somebody else"):
        resume(operator(submission_id="nightly"), context, pause, event_of(pause.trigger))


# What is shown


def test_a_log_that_is_off_is_pointed_to_and_records_are_shown(
    head: FakeRayDashboard, store: Store, on_job: Any, capsys: pytest.CaptureFixture[str], supervisor: Supervisor
) -> None:
    def end(name: str) -> None:
        head.append_log(name, b"a line of the log\n")
        report = {"kind": "progress", "message": "epoch", "done": 3, "total": 10}
        write_records(head, name, report, {"kind": "result", "value": 7}, {"kind": "end", "status": "succeeded"})
        head.set_status(name, "SUCCEEDED")

    on_job(end)

    assert operator(records=True, deferrable=False, log_limit_bytes=None).execute(task_context(store)) == 7

    text = capsys.readouterr().out
    assert "a line of the log" not in text
    assert text.count(f"airflow air jobs logs {next(iter(head.jobs))}") == 1
    assert "epoch" in text
    assert supervisor.xcoms["progress"]["done"] == 3


def test_a_long_message_of_many_lines_arrives_whole(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    pause = deferred(operator(), context)
    words = "\n".join(f"ValueError: line {number} {'x' * 700}" for number in range(20))
    head.set_status(waits_for(pause), "FAILED", message=words, exit_code=1)

    with pytest.raises(JobFailedError) as raised:
        resume(operator(), context, pause, event_of(pause.trigger))

    assert words in str(raised.value)
    assert len(ledger(store)[0]["message"]) <= 500
    assert "characters are left out here" in ledger(store)[0]["message"]


def test_what_failed_while_nobody_looked_is_told_before_the_next_attempt(
    head: FakeRayDashboard, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    pause = deferred(operator(), task_context(store))
    head.set_status(waits_for(pause), "FAILED", message="ValueError: the person's own words", exit_code=1)

    deferred(operator(), task_context(store, try_number=2))

    assert "ValueError: the person's own words" in capsys.readouterr().out
