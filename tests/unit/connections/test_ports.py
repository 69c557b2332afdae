"""What a run gets of the process that it lives in."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.sdk.log import mask_secret
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from airflow_provider_air.connections.ports import (
    WorkerStore,
    XComBoard,
    environment_of,
    run_ports,
    task_key_of,
    task_of,
    try_of,
)
from airflow_provider_air.errors import TaskReplacedError
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from tests.deferrals import DEFERS, deferred
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.conftest import Connect

TASK = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": -1}


class NoLog:
    """Takes whatever is logged."""

    def info(self, message: str, /, *args: Any) -> None: ...

    def warning(self, message: str, /, *args: Any) -> None: ...


@pytest.mark.parametrize(("map_index", "expected"), [(-1, -1), (0, 0), (7, 7), (None, -1)])
def test_a_task_is_named_by_its_context(map_index: int | None, expected: int) -> None:
    context = task_context(Store(), map_index=map_index)
    key = task_key_of(context)

    assert (key.dag_id, key.run_id, key.task_id, key.map_index) == ("flights", "manual__1", "train", expected)
    assert key.deployment
    assert task_of(context) == {**TASK, "map_index": expected}


@pytest.mark.parametrize(("try_number", "max_tries", "has_next"), [(1, 0, False), (1, 1, True), (2, 1, False)])
def test_a_try_knows_whether_another_one_may_come(try_number: int, max_tries: int, has_next: bool) -> None:
    this = try_of(task_context(Store(), try_number=try_number, max_tries=max_tries))

    assert this.has_next is has_next


def test_a_worker_and_a_triggerer_share_the_board(supervisor: Supervisor) -> None:
    of_worker = run_ports(task_context(Store()), NoLog()).board
    of_triggerer = XComBoard(TASK)

    of_worker.write("progress", {"done": 1})
    assert of_triggerer.read("progress") == {"done": 1}
    of_triggerer.write("progress", {"done": 2})
    assert of_worker.read("progress") == {"done": 2}
    assert of_worker.read("nothing") is None


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}], ids=str)
def test_the_line_to_airflow_takes_no_nan(value: Any, supervisor: Supervisor) -> None:
    """As Airflow's own does: this is what keeps the tests above honest."""
    with pytest.raises(ValueError, match="JSON"):
        XComBoard(TASK).write("progress", value)


class Told:
    """What of Airflow's objects tells a task's environment."""

    def __init__(self, **told: Any) -> None:
        self.__dict__.update(told)


def full_context(**more: Any) -> Any:
    """Give what a worker has, as far as Airflow's own function looks at it."""
    context = task_context(Store(), dag_id="h3.данные", try_number=3)
    context["task"] = Told(owner="ann", email=["a@example.org", "b@example.org"])
    context["task_instance"] = context["ti"]
    context["dag_run"] = Told(run_id="manual__1\nsecond line", logical_date=datetime(2026, 1, 2, tzinfo=UTC))
    return {**context, **more}


def test_a_job_is_told_its_task_by_the_names_that_airflow_uses() -> None:
    assert environment_of(full_context(partition_key="eu|2026")) == {
        "AIRFLOW_CTX_DAG_ID": "h3.данные",
        "AIRFLOW_CTX_TASK_ID": "train",
        "AIRFLOW_CTX_DAG_RUN_ID": "manual__1\nsecond line",
        "AIRFLOW_CTX_LOGICAL_DATE": "2026-01-02T00:00:00+00:00",
        "AIRFLOW_CTX_TRY_NUMBER": "3",
        "AIRFLOW_CTX_DAG_OWNER": "ann",
        "AIRFLOW_CTX_DAG_EMAIL": "a@example.org,b@example.org",
        "AIRFLOW_CTX_PARTITION_KEY": "eu|2026",
    }
    assert "AIRFLOW_CTX_PARTITION_KEY" not in environment_of(full_context(partition_key=None))


def test_a_job_joins_the_trace_that_its_worker_records() -> None:
    class Recording(NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with use_span(NonRecordingSpan(context)):
        assert "TRACEPARENT" not in environment_of(full_context())
    with use_span(Recording(context)):
        told = environment_of(full_context())

    assert told["TRACEPARENT"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"


@pytest.mark.parametrize("records", [True, False])
def test_an_owner_whose_name_somebody_took_for_a_password_is_no_secret(
    head: FakeRayDashboard, connect: Connect, records: bool
) -> None:
    connect(host=head.url, password=head.token)
    mask_secret("airflow-pw")
    context = full_context(task=Told(owner="airflow-pw", email=None))

    deferred(RaySubmitJobOperator(task_id="train", entrypoint="true", records=records, **DEFERS), context)

    (job,) = head.jobs.values()
    assert (job.runtime_env or {})["env_vars"]["AIRFLOW_CTX_DAG_OWNER"] == "airflow-pw"


def test_the_jobs_environment_has_it_and_the_authors_own_wins(head: FakeRayDashboard, connect: Connect) -> None:
    connect(host=head.url, password=head.token)
    task = RaySubmitJobOperator(
        task_id="train",
        entrypoint="true",
        runtime_env={"env_vars": {"AIRFLOW_CTX_DAG_OWNER": "bob", "MODE": "daily"}},
        **DEFERS,
    )

    deferred(task, full_context())

    (job,) = head.jobs.values()
    told = (job.runtime_env or {})["env_vars"]
    assert (told["AIRFLOW_CTX_DAG_OWNER"], told["MODE"]) == ("bob", "daily")
    assert (told["AIRFLOW_CTX_DAG_ID"], told["AIRFLOW_CTX_TRY_NUMBER"]) == ("h3.данные", "3")
    assert told["AIRFLOW_CTX_DAG_RUN_ID"] == "manual__1\nsecond line"


class Refusing:
    """An accessor of Airflow's whose api-server refuses."""

    def __init__(self, status_code: int | None) -> None:
        detail = None if status_code is None else {"status_code": status_code, "message": "no", "detail": None}
        self.error = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))

    def set(self, key: str, value: Any) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("status_code", "kind"),
    [
        (404, TaskReplacedError),
        (410, TaskReplacedError),
        (500, AirflowRuntimeError),
        (403, AirflowRuntimeError),
        (None, AirflowRuntimeError),
    ],
)
def test_a_try_learns_that_another_one_has_its_place(status_code: int | None, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        WorkerStore(Refusing(status_code)).set("air_ledger", {})
