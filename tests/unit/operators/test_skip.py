"""A job that finds nothing to do: its task is skipped, wherever its end is heard, and nobody is told of a failure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_provider_air.errors import ConfigurationError, JobFailedError, JobInfrastructureError
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.attachment import FakeTracker
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.kinds.functions import KINDS
from tests.unit.operators.test_attachments import only_run, tracked, tracker
from tests.unit.operators.test_submit import ledger, on_job, operator, posts

__all__ = ["on_job", "tracker"]

CODES = [told[1] for kind in KINDS for told in kind.inputs.values() if isinstance(told, tuple) and told[0] == "codes"]
SAYS_SO = {"kind": "end", "status": "skipped", "message": "no new files"}
GIVES_UP = {
    "kind": "end",
    "status": "failed",
    "no_retry": True,
    "error": {"type": "AirflowFailException", "message": "bad table"},
}


def says_so(head: FakeRayDashboard) -> Callable[[str], None]:
    def end(name: str) -> None:
        write_records(head, name, SAYS_SO)
        head.set_status(name, "SUCCEEDED")

    return end


def exits_with(code: int, head: FakeRayDashboard) -> Callable[[str], None]:
    return lambda name: head.set_status(name, "FAILED", exit_code=code)


# Both ways in which a job says it: an operator's fields, and its end.
WAYS: dict[str, tuple[dict[str, Any], Callable[[FakeRayDashboard], Callable[[str], None]], str]] = {
    "by its records": ({"records": True}, says_so, "^no new files$"),
    "by its exit code": (
        {"skip_on_exit_code": 99},
        lambda head: exits_with(99, head),
        "^The job ended with the exit code 99$",
    ),
    "by an exit code of its driver": (
        {"skip_on_exit_code": [98, 99], "records": True},
        lambda head: exits_with(98, head),
        "exit code 98",
    ),
}
ways = pytest.mark.parametrize(("fields", "ends", "why"), WAYS.values(), ids=WAYS.keys())


@ways
@pytest.mark.parametrize("is_deferrable", [False, True])
def test_the_task_is_skipped_and_its_tracker_told_of_no_failure(
    fields: dict[str, Any],
    ends: Any,
    why: str,
    is_deferrable: bool,
    head: FakeRayDashboard,
    store: Store,
    on_job: Any,
    tracker: FakeTracker,
) -> None:
    context = task_context(store)
    if is_deferrable:
        pause = deferred(tracked(**fields), context)
        ends(head)(next(iter(head.jobs)))
        told = event_of(pause.trigger)
        with pytest.raises(AirflowSkipException, match=why):
            resume(tracked(**fields), context, pause, told)
    else:
        on_job(ends(head))
        with pytest.raises(AirflowSkipException, match=why):
            tracked(deferrable=False, **fields).execute(context)

    (attempt,) = ledger(store)
    assert (attempt["phase"], attempt["outcome"]) == ("SKIPPED", "SKIPPED")
    assert [each["told"] for each in attempt["attachments"]] == ["SKIPPED"]
    assert only_run(tracker).status == "SKIPPED"


@pytest.mark.parametrize("codes", CODES, ids=map(repr, CODES))
def test_one_exit_code_or_several_skip(codes: Any, head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    on_job(exits_with(99, head))

    with pytest.raises(AirflowSkipException):
        operator(deferrable=False, skip_on_exit_code=codes).execute(task_context(store))


@pytest.mark.parametrize("fields", [{}, {"skip_on_exit_code": None}, {"skip_on_exit_code": [97, 98]}])
def test_any_other_exit_code_is_a_failure(
    fields: dict[str, Any], head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    on_job(exits_with(99, head))

    with pytest.raises(JobFailedError, match="exit code 99"):
        operator(deferrable=False, **fields).execute(task_context(store))


@pytest.mark.parametrize(
    ("error_type", "message"),
    [
        ("RUNTIME_ENV_SETUP_FAILURE", "runtime_env setup failed: command '/usr/bin/gcc' failed with exit code 1"),
        ("JOB_SUPERVISOR_ACTOR_DIED", "Job supervisor actor died: Worker exits with an exit code 1."),
    ],
)
def test_rays_own_failures_skip_nothing(
    error_type: str, message: str, head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    on_job(lambda name: head.set_status(name, "FAILED", message=message, error_type=error_type))

    with pytest.raises(JobInfrastructureError):
        operator(deferrable=False, skip_on_exit_code=1).execute(task_context(store))


@pytest.mark.parametrize("codes", [0, 256, -9, True, "99", 64, [99, 75], [99.0], {"99": 1}])
def test_what_is_no_exit_code_of_the_authors_fails_when_the_dag_is_parsed(codes: Any) -> None:
    with pytest.raises(ConfigurationError, match="'skip_on_exit_code' must be exit codes from 1 to 255"):
        operator(skip_on_exit_code=codes)


def test_a_function_takes_it_as_the_operator_does(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    with DAG("flights", schedule=None) as dag:
        looks: Any = task.ray(task_id="look", deferrable=False, skip_on_exit_code=99)(lambda: None)
        called = looks()
    on_job(exits_with(99, head))

    with pytest.raises(AirflowSkipException, match="exit code 99"):
        called.operator.execute({**task_context(store), "dag": dag})


@ways
def test_one_that_airflow_has_not_heard_of_is_said_again_and_not_run_again(
    fields: dict[str, Any], ends: Any, why: str, head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    on_job(ends(head))
    with pytest.raises(AirflowSkipException):
        operator(deferrable=False, **fields).execute(task_context(store))
    head.requests.clear()

    with pytest.raises(AirflowSkipException, match=why):
        operator(**fields).execute(task_context(store, try_number=2))

    # Its cluster may be gone meanwhile.
    assert not head.requests


@ways
def test_one_that_ended_while_nobody_looked_is_collected_by_the_next_try(
    fields: dict[str, Any], ends: Any, why: str, head: FakeRayDashboard, store: Store
) -> None:
    deferred(operator(**fields), task_context(store))
    ends(head)(next(iter(head.jobs)))

    with pytest.raises(AirflowSkipException, match=why):
        operator(**fields).execute(task_context(store, try_number=2))

    assert posts(head) == [200]
    assert [attempt["phase"] for attempt in ledger(store)] == ["SKIPPED"]


@ways
def test_one_that_ended_before_its_trigger_broke_is_heard(
    fields: dict[str, Any], ends: Any, why: str, head: FakeRayDashboard, store: Store
) -> None:
    context = task_context(store)
    deferred(operator(**fields), context)
    ends(head)(next(iter(head.jobs)))

    with pytest.raises(AirflowSkipException, match=why):
        operator(**fields).resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger failure"}, context)


@ways
def test_a_clear_after_it_runs_afresh(
    fields: dict[str, Any], ends: Any, why: str, head: FakeRayDashboard, store: Store, on_job: Any
) -> None:
    on_job(ends(head))
    with pytest.raises(AirflowSkipException):
        operator(deferrable=False, **fields).execute(task_context(store))

    deferred(operator(**fields), task_context(store, try_number=2, max_tries=3))

    assert [(attempt["generation"], attempt["run_generation"]) for attempt in ledger(store)] == [(1, 1), (2, 2)]


def test_a_job_that_gives_up_is_not_retried(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    def end(name: str) -> None:
        write_records(head, name, GIVES_UP)
        head.set_status(name, "FAILED", exit_code=1)

    on_job(end)
    with pytest.raises(AirflowFailException, match="no retry can help: AirflowFailException: bad table"):
        operator(records=True, deferrable=False).execute(task_context(store))

    assert [attempt["phase"] for attempt in ledger(store)] == ["FAILED"]


def test_a_job_that_gave_up_while_nobody_looked_is_not_run_again(head: FakeRayDashboard, store: Store) -> None:
    deferred(operator(records=True), task_context(store))
    write_records(head, next(iter(head.jobs)), GIVES_UP)
    head.set_status(next(iter(head.jobs)), "FAILED", exit_code=1)

    with pytest.raises(AirflowFailException, match="no retry can help"):
        operator(records=True).execute(task_context(store, try_number=2))

    assert posts(head) == [200]


def test_an_exit_code_like_the_drivers_own_is_the_authors(head: FakeRayDashboard, store: Store, on_job: Any) -> None:
    """sys.exit(64) is no word on the DAG: it is retried as any failure is."""

    def end(name: str) -> None:
        write_records(head, name, {"kind": "end", "status": "failed", "error": {"type": "SystemExit", "message": "64"}})
        head.set_status(name, "FAILED", exit_code=64)

    on_job(end)
    with pytest.raises(JobFailedError, match="SystemExit: 64"):
        operator(records=True, deferrable=False).execute(task_context(store))


def test_a_deadline_that_comes_with_it_does_not_hide_it(head: FakeRayDashboard, store: Store) -> None:
    task_of_a_day = RaySubmitJobOperator(
        task_id="train",
        entrypoint="./look",
        skip_on_exit_code=99,
        execution_timeout=timedelta(days=1),
    )
    context = task_context(store)
    pause = deferred(task_of_a_day, context)
    name = next(iter(head.jobs))
    exits_with(99, head)(name)
    told = {"what": "end", "outcome": "deadline", "submission_id": name, "job": None, "message": ""}

    with pytest.raises(AirflowSkipException, match="exit code 99"):
        resume(task_of_a_day, context, pause, told)
