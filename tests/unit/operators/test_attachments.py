"""What comes along with a job: prepared before it is submitted, told how it ended, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralError
from airflow.sdk.log import mask_secret

from airflow_provider_air.attachments.registry import from_json
from airflow_provider_air.errors import DeadlineExceededError, JobFailedError, JobLostError, UnavailableError
from airflow_provider_air.triggers.run import RayRunTrigger
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.attachment import CALLS, SERVERS, FakeCatalog, FakeTracker, FakeTrackerSpec, RemoteRun
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.kinds import parameters
from tests.kinds.outages import ATTACHMENTS, Away
from tests.unit.operators.test_submit import ledger, on_job, operator, posts

__all__ = ["on_job"]
AWAY, AWAY_NAMES = parameters(ATTACHMENTS)


@pytest.fixture
def tracker() -> Iterator[FakeTracker]:
    SERVERS["here"] = FakeTracker()
    yield SERVERS["here"]
    SERVERS.clear()


def tracked(**fields: Any) -> Any:
    return operator(tracker=FakeTrackerSpec("here"), **fields)


def only_run(tracker: FakeTracker) -> RemoteRun:
    (run,) = tracker.runs.values()
    return run


def test_the_job_is_told_of_its_run_and_the_run_of_its_end(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))
    name = tracked(deferrable=False).execute(task_context(store))

    (run_name,) = tracker.runs
    assert (head.jobs[name].runtime_env or {})["env_vars"]["FAKE_RUN_ID"] == run_name
    (kept,) = ledger(store)[0]["attachments"]
    assert (kept["state"], kept["told"], kept["untold"]) == ({"run_id": run_name}, "SUCCEEDED", None)
    assert from_json(kept["spec"]) == FakeTrackerSpec("here")
    assert only_run(tracker).status == "SUCCEEDED"


def test_a_failure_is_told_in_the_jobs_words(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    on_job(lambda name: head.set_status(name, "FAILED", message="exit code 3"))
    with pytest.raises(JobFailedError):
        tracked(deferrable=False).execute(task_context(store))

    assert (only_run(tracker).status, "exit code 3" in only_run(tracker).message) == ("FAILED", True)


def test_a_retry_goes_on_in_the_same_run(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    on_job(lambda name: head.set_status(name, "FAILED"))
    with pytest.raises(JobFailedError):
        tracked(deferrable=False).execute(task_context(store))
    pause = deferred(tracked(), task_context(store, try_number=2))

    assert only_run(tracker).status == "RUNNING"
    assert len(ledger(store)) == 2
    assert pause.trigger is not None


def test_a_job_whose_tracker_does_not_answer_is_not_submitted(
    head: FakeRayDashboard, store: Store, tracker: FakeTracker
) -> None:
    tracker.refuses = True
    with pytest.raises(UnavailableError):
        tracked().execute(task_context(store))

    assert posts(head) == []


def test_a_job_may_run_without_its_tracker_where_the_author_says_so(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    tracker.refuses = True
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))
    spec = FakeTrackerSpec("here", required=False)

    assert operator(tracker=spec, deferrable=False).execute(task_context(store)) in head.jobs
    assert tracker.runs == {}


def test_a_secret_that_comes_by_an_attachment_is_not_sent(
    head: FakeRayDashboard, store: Store, tracker: FakeTracker
) -> None:
    mask_secret("sesame-of-a-catalog")
    CALLS.clear()
    specs = [FakeTrackerSpec("here"), FakeCatalog("sesame-of-a-catalog")]
    with pytest.raises(AirflowFailException, match=r"'runtime_env' holds a secret .*env_vars\.CATALOG") as raised:
        operator(tracker=specs).execute(task_context(store))

    assert "sesame" not in str(raised.value)
    assert posts(head) == []
    assert not head.requests_to("PUT", "packages")
    assert only_run(tracker).status == "FAILED"
    assert [call for call, _ in CALLS["sesame-of-a-catalog"]][-2:] == ["before_submit", "on_end"]
    (attempt,) = ledger(store)
    assert (attempt["phase"], attempt["stop_pending"]) == ("STOPPED", False)


def test_a_tracker_that_was_away_at_the_end_does_not_fail_the_work_and_is_recorded_as_untold(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker, capsys: pytest.CaptureFixture[str]
) -> None:
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    tracker.is_away_at_the_end = True
    assert tracked(deferrable=False).execute(task_context(store)) in head.jobs

    (kept,) = ledger(store)[0]["attachments"]
    assert (kept["told"], "does not answer" in kept["untold"]) == (None, True)
    assert "did not take the outcome SUCCEEDED" in "".join(capsys.readouterr())
    assert posts(head) == [200]


def test_a_passed_deadline_is_told(head: FakeRayDashboard, store: Store, tracker: FakeTracker) -> None:
    task = tracked(deferrable=False, execution_timeout=timedelta(seconds=1))
    with pytest.raises(DeadlineExceededError):
        task.execute(task_context(store))

    assert only_run(tracker).status == "DEADLINE"


def test_a_lost_job_is_told(head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker) -> None:
    on_job(lambda name: head.restart_head())
    with pytest.raises(JobLostError):
        tracked(deferrable=False).execute(task_context(store))

    assert only_run(tracker).status == "LOST"


def test_a_crashed_trigger_is_told(head: FakeRayDashboard, store: Store, tracker: FakeTracker) -> None:
    context = task_context(store, try_number=3)
    deferred(tracked(), context)
    with pytest.raises(TaskDeferralError):
        tracked().resume_execution(TRIGGER_FAIL_REPR, {"error": "boom"}, context)

    assert only_run(tracker).status == "STOPPED"


def test_a_killed_deferred_task_is_told_from_the_triggerer(
    head: FakeRayDashboard, store: Store, tracker: FakeTracker, supervisor: Supervisor
) -> None:
    pause = deferred(tracked(), task_context(store))
    supervisor.state = "failed"
    _, kwargs = pause.trigger.serialize()
    asyncio.run(RayRunTrigger(**kwargs).on_kill())

    assert only_run(tracker).status == "STOPPED"


def test_a_clear_that_starts_afresh_ends_the_run_before(
    head: FakeRayDashboard, store: Store, tracker: FakeTracker
) -> None:
    deferred(tracked(on_clear="fresh"), task_context(store))
    deferred(tracked(on_clear="fresh"), task_context(store, try_number=2, max_tries=3))

    assert [run.status for run in tracker.runs.values()] == ["STOPPED", "RUNNING"]


def test_the_deferred_end_is_told_as_well(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    context = task_context(store)
    pause = deferred(tracked(), context)
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))
    resume(tracked(), context, pause, event_of(pause.trigger))

    assert only_run(tracker).status == "SUCCEEDED"


@pytest.mark.parametrize("wrong", ["mlflow", {"experiment": "x"}, FakeTrackerSpec("")])
def test_what_is_no_tracker_is_refused_before_anything_is_started(
    head: FakeRayDashboard, store: Store, wrong: Any
) -> None:
    with pytest.raises(AirflowFailException, match=r"tracker|server"):
        operator(tracker=wrong).execute(task_context(store))

    assert posts(head) == []


def test_several_are_prepared_and_told_and_all_that_they_add_reaches_the_job(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker, tmp_path: Path
) -> None:
    (tmp_path / "catalogued.py").write_text("KNOWN = True")
    CALLS.clear()
    context = task_context(store)
    catalog = FakeCatalog("both", folder=str(tmp_path))
    both = operator(tracker=[FakeTrackerSpec("here"), catalog], records=True)
    pause = deferred(both, context)
    (name,) = head.jobs
    (run_name,) = tracker.runs

    environment = head.jobs[name].runtime_env or {}
    assert environment["env_vars"]["FAKE_RUN_ID"] == run_name
    assert environment["env_vars"]["CATALOG"] == environment["env_vars"]["CATALOG_OF_REPLICAS"] == "both"
    assert "canary-of-the-catalog" not in json.dumps([environment, store.rows, pause.trigger.serialize()[1]])
    assert "KNOWN = True" in head.shipped()
    assert run_name in head.shipped()
    assert context["ti"].xcoms["catalog_url"] == f"http://catalog/{run_name}"

    head.set_status(name, "FAILED")
    with pytest.raises(JobFailedError):
        resume(both, context, pause, event_of(pause.trigger))
    assert only_run(tracker).status == "FAILED"
    assert [call for call, _ in CALLS["both"]] == ["probe", "before_submit", "on_end"]


def test_what_cannot_come_along_is_known_before_the_cluster_is_asked_for(
    head: FakeRayDashboard, store: Store, tracker: FakeTracker
) -> None:
    with pytest.raises(UnavailableError, match="fails in probe"):
        operator(tracker=[FakeTrackerSpec("here"), FakeCatalog("early", fails=["probe"])]).execute(task_context(store))

    assert (tracker.runs, posts(head)) == ({}, [])


def test_an_optional_one_that_fails_anywhere_leaves_the_job_alone(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker
) -> None:
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))
    calls = ["open", "probe", "before_submit", "on_records", "on_end"]
    optional = FakeCatalog("optional", fails=calls, required=False)
    name = operator(tracker=[optional, FakeTrackerSpec("here")], deferrable=False).execute(task_context(store))

    assert name in head.jobs
    assert only_run(tracker).status == "SUCCEEDED"


@pytest.mark.parametrize("away", AWAY, ids=AWAY_NAMES)
def test_one_that_fails_is_met_by_when_and_why_it_does(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker, away: Away
) -> None:
    def succeed(name: str) -> None:
        metric = {"kind": "metric", "values": {"loss": 1.0}}
        write_records(head, name, metric, {"kind": "result", "value": 7}, {"kind": "end", "status": "succeeded"})
        head.set_status(name, "SUCCEEDED")

    CALLS.clear()
    catalog = FakeCatalog("catalog", fails=away.fails, failure=away.failure, required=away.required)
    task = operator(tracker=[catalog, FakeTrackerSpec("here")], deferrable=False, records=True)

    if away.end == "succeeds":
        on_job(succeed)
        task.execute(task_context(store))
        untold = ledger(store)[0]["attachments"][0]["untold"]
        assert ("fails in" in str(untold)) is (away.fails[0] in ("on_end", "on_records"))
        assert only_run(tracker).status == "SUCCEEDED"
        return
    expected = {"fails": AirflowFailException, "retried": UnavailableError}[away.end]
    with pytest.raises(expected, match=f"fails in {away.fails[0]}"):
        task.execute(task_context(store))
    # Only what may be back is asked again here.
    asked = [call for call, _ in CALLS.get("catalog", []) if call in away.fails]
    assert (len(asked) > 2) is (away.end == "retried" and away.fails != ["open"])
    assert posts(head) == []


def test_one_that_is_back_soon_holds_up_nothing(
    head: FakeRayDashboard, store: Store, on_job: Any, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, True])

    def probe(self: FakeTracker) -> None:
        if next(answers, False):
            raise UnavailableError("The tracking server does not answer")

    monkeypatch.setattr(FakeTracker, "probe", probe)
    on_job(lambda name: head.set_status(name, "SUCCEEDED"))

    assert tracked(deferrable=False).execute(task_context(store)) in head.jobs
