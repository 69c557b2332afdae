"""Tecton by its documented routes, against a double of them over real HTTP; no live account was ever asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    ErrorType,
    TaskDeferralError,
    TaskDeferralTimeout,
    TaskDeferred,
)
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse

from airflow_provider_air import TectonMaterializeOperator, TectonReadySensor
from airflow_provider_air.attachments.tecton.server import TectonServer, Window
from airflow_provider_air.errors import (
    ConfigurationError,
    DeadlineExceededError,
    MaterializationFailedError,
    UnavailableError,
)
from airflow_provider_air.hooks.tecton import TectonHook
from airflow_provider_air.triggers.tecton import TectonJobTrigger
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.fakes.tecton import KEY, FakeTecton

WINDOW = {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-02T00:00:00+00:00"}


@pytest.fixture
def tecton(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTecton]:
    with FakeTecton() as tecton:
        connect(monkeypatch, tecton.url)
        monkeypatch.setenv("AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS", "0")
        yield tecton


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """The other end of the line that task states travel on."""
    with supervised(Supervisor()) as supervisor:
        yield supervisor


def connect(monkeypatch: pytest.MonkeyPatch, url: str, key: str = KEY) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_TECTON_DEFAULT", f'{{"conn_type": "tecton", "host": "{url}", "password": "{key}"}}'
    )


def materialize(**fields: Any) -> TectonMaterializeOperator:
    given = {"workspace": "prod", "feature_view": "delays", **WINDOW, "poll_interval_seconds": 0.02, **fields}
    return TectonMaterializeOperator(task_id="materialize", **given)


def deferred(operator: Any, store: Store, **ti: Any) -> Any:
    with pytest.raises(TaskDeferred) as raised:
        operator.execute(task_context(store, **ti))
    return raised.value.trigger


async def event_of(trigger: Any) -> Any:
    async for event in trigger.run():
        return event.payload
    raise AssertionError("a trigger fires once")


async def test_a_job_is_started_once_waited_for_and_told(tecton: FakeTecton) -> None:
    store = Store()
    trigger = deferred(materialize(), store)
    tecton.set_state("job-0", "SUCCESS")

    event = await event_of(trigger)
    told = materialize().on_end(task_context(store), event)

    assert told == {"job_id": "job-0", "state": "success", **WINDOW}
    assert tecton.jobs["job-0"]["start_time"] == "2026-01-01T00:00:00Z"
    assert materialize().execute(task_context(store, try_number=2)) == told
    assert len(tecton.jobs) == 1


async def test_a_failed_job_fails_the_try_and_the_next_one_starts_another(tecton: FakeTecton) -> None:
    store = Store()
    trigger = deferred(materialize(), store)
    tecton.set_state("job-0", "ERROR")

    with pytest.raises(MaterializationFailedError, match=r"ended as error .*prod\.delays, job job-0"):
        materialize().on_end(task_context(store), await event_of(trigger))
    deferred(materialize(), store, try_number=2)

    assert list(tecton.jobs) == ["job-0", "job-1"]


def test_a_lost_reply_starts_no_second_job(tecton: FakeTecton) -> None:
    tecton.lost_replies = 1
    with pytest.raises(UnavailableError, match="does not answer"):
        materialize().execute(task_context(Store()))

    trigger = deferred(materialize(), Store(), try_number=2)

    assert (trigger.fields["job_id"], len(tecton.jobs)) == ("job-0", 1)


def test_overwriting_starts_a_job_beside_one_that_succeeded_but_not_beside_one_that_runs(tecton: FakeTecton) -> None:
    deferred(materialize(), Store())
    assert deferred(materialize(overwrite=True), Store()).fields["job_id"] == "job-0"
    tecton.set_state("job-0", "SUCCESS")

    assert deferred(materialize(overwrite=True), Store()).fields["job_id"] == "job-1"
    tecton.set_state("job-1", "SUCCESS")
    assert materialize(end="2026-01-02T01:00:00+01:00").execute(task_context(Store()))["job_id"] == "job-1"


async def test_a_deadline_cancels_the_job(tecton: FakeTecton) -> None:
    store = Store()
    trigger = deferred(materialize(), store)
    trigger.fields["deadline"] = 0.0

    with pytest.raises(DeadlineExceededError):
        materialize().on_end(task_context(store), await event_of(trigger))

    assert tecton.cancelled == ["job-0"]


def test_without_deferring_the_worker_waits_by_the_same_trigger(tecton: FakeTecton) -> None:
    deferred(materialize(), Store())
    tecton.set_state("job-0", "SUCCESS")
    operator = materialize(deferrable=False)

    assert operator.execute(task_context(Store()))["state"] == "success"


def test_a_clear_of_a_success_writes_again_where_that_is_wanted_and_a_retry_does_not(tecton: FakeTecton) -> None:
    store = Store()
    deferred(materialize(overwrite=True), store)
    tecton.set_state("job-0", "SUCCESS")
    assert materialize(overwrite=True).execute(task_context(store, try_number=2))["job_id"] == "job-0"

    # A clear rewrites max_tries.
    cleared = {"try_number": 3, "max_tries": 4}
    assert materialize().execute(task_context(store, **{**cleared, "max_tries": 2}))["job_id"] == "job-0"
    assert deferred(materialize(overwrite=True), store, **cleared).fields["job_id"] == "job-1"
    tecton.set_state("job-1", "SUCCESS")

    assert materialize(overwrite=True).execute(task_context(store, try_number=4, max_tries=4))["job_id"] == "job-1"
    assert len(tecton.jobs) == 2


def test_a_clear_writes_again_where_edited_retries_leave_max_tries_as_it_was(tecton: FakeTecton) -> None:
    store = Store()
    deferred(materialize(overwrite=True), store)
    tecton.set_state("job-0", "SUCCESS")

    cleared = {"try_number": 2, "retries": 1, "clear_number": 1}
    assert deferred(materialize(overwrite=True), store, **cleared).fields["job_id"] == "job-1"


def broken(store: Store, error: str = "Trigger failure", **ti: Any) -> Any:
    """Come back from a deferral whose trigger gave no event."""
    kwargs = {"error": error, "traceback": []}
    return materialize().resume_execution(TRIGGER_FAIL_REPR, kwargs, task_context(store, **ti))


@pytest.mark.parametrize(("try_number", "cancelled"), [(1, []), (3, ["job-0"])])
def test_a_dead_trigger_leaves_the_job_to_the_next_try_where_there_is_one(
    tecton: FakeTecton, try_number: int, cancelled: list[str]
) -> None:
    store = Store()
    deferred(materialize(), store, try_number=try_number)

    with pytest.raises(TaskDeferralError):
        broken(store, try_number=try_number)

    assert tecton.cancelled == cancelled


def test_a_dead_trigger_loses_no_success(tecton: FakeTecton) -> None:
    store = Store()
    deferred(materialize(), store)
    tecton.set_state("job-0", "SUCCESS")

    assert broken(store)["job_id"] == "job-0"


def test_a_deferral_that_timed_out_cancels_the_job(tecton: FakeTecton) -> None:
    store = Store()
    deferred(materialize(execution_timeout=timedelta(0)), store)

    with pytest.raises(TaskDeferralTimeout):
        broken(store, "Trigger timeout")

    assert tecton.cancelled == ["job-0"]


@pytest.mark.parametrize(("try_number", "state", "cancelled"), [(1, "failed", 1), (1, "running", 0), (3, "running", 1)])
def test_a_kill_reads_no_connection_and_asks_whose_act_it_was(
    tecton: FakeTecton,
    supervisor: Supervisor,
    monkeypatch: pytest.MonkeyPatch,
    try_number: int,
    state: str,
    cancelled: int,
) -> None:
    operator = materialize()
    deferred(operator, Store(), try_number=try_number)
    monkeypatch.delenv("AIRFLOW_CONN_TECTON_DEFAULT")
    supervisor.state = state

    operator.on_kill()

    assert len(tecton.cancelled) == cancelled


def test_a_kill_ends_in_time_where_tecton_is_slow(tecton: FakeTecton, supervisor: Supervisor) -> None:
    operator = materialize()
    deferred(operator, Store())
    supervisor.state = "failed"
    tecton.slow_seconds = 10.0

    started = time.monotonic()
    operator.on_kill()

    assert time.monotonic() - started < 4


def test_a_worker_s_alarm_cancels_the_job(
    tecton: FakeTecton, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alarm(trigger: Any) -> None:
        raise AirflowTaskTimeout("Timeout")

    monkeypatch.setattr(TectonJobTrigger, "event", alarm)
    supervisor.state = "running"
    with pytest.raises(AirflowTaskTimeout):
        materialize(deferrable=False).execute(task_context(Store()))

    assert tecton.cancelled == ["job-0"]


async def test_a_deferred_kill_in_doubt_cancels_the_job(
    tecton: FakeTecton, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = deferred(materialize(), Store())
    await trigger.on_kill()
    assert tecton.cancelled == []

    def send(message: Any) -> Any:
        raise RuntimeError("no answer")

    monkeypatch.setattr(supervisor, "send", send)
    await trigger.on_kill()
    assert tecton.cancelled == ["job-0"]


def test_short_trouble_is_sat_out(tecton: FakeTecton) -> None:
    tecton.statuses = [503, 429]

    assert TectonServer(tecton.url, KEY).find(window()) is None


def window(**fields: Any) -> Window:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    return Window(**{"workspace": "prod", "feature_view": "delays", "start": start, "end": end, **fields})


async def test_a_sensor_waits_until_features_are_ready(tecton: FakeTecton) -> None:
    sensor = TectonReadySensor(
        task_id="ready", workspace="prod", feature_service="delay_v1", ready_at=WINDOW["end"], poke_interval=0.02
    )
    tecton.ready["offline_latest_ready_time"] = "2026-01-01T00:00:00Z"
    trigger = deferred(sensor, Store())
    tecton.ready["offline_latest_ready_time"] = "2026-01-02T06:00:00Z"

    ready = sensor.on_event(task_context(Store()), await event_of(trigger))

    assert ready == "2026-01-02T06:00:00+00:00"
    assert sensor.execute(task_context(Store())) == ready
    assert sensor.poke(task_context(Store())).xcom_value == ready


async def test_a_sensor_gives_up_at_its_deadline(tecton: FakeTecton) -> None:
    sensor = TectonReadySensor(task_id="ready", workspace="prod", feature_view="delays", ready_at=WINDOW["end"])
    trigger = deferred(sensor, Store())
    trigger.fields["deadline"] = 0.0

    with pytest.raises(AirflowSensorTimeout, match="not ready within"):
        sensor.on_event(task_context(Store()), await event_of(trigger))


def away(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let Airflow's api-server not answer for the connection, as a triggerer sees it (3.3.2)."""
    ask, left = BaseHook.aget_connection, [times]

    async def aget_connection(conn_id: str) -> Any:
        left[0] -= 1
        if left[0] < 0:
            return await ask(conn_id)
        raise AirflowNotFoundException(f"The conn_id `{conn_id}` isn't defined")

    class Line:
        async def asend(self, message: Any) -> Any:
            return ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})

    monkeypatch.setattr(BaseHook, "aget_connection", aget_connection)
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Line(), raising=False)


async def test_a_moment_without_airflow_ends_no_wait(tecton: FakeTecton, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    trigger = deferred(materialize(), store)
    tecton.set_state("job-0", "SUCCESS")
    with monkeypatch.context() as patch:
        away(patch, times=2)
        event = await event_of(trigger)

    assert materialize().on_end(task_context(store), event)["state"] == "success"


async def test_a_key_that_is_changed_while_a_task_waits_is_read_again(
    tecton: FakeTecton, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger = deferred(materialize(), Store())
    look = TectonJobTrigger.look

    def rotate(self: Any, server: TectonServer) -> str | None:
        found = look(self, server)
        monkeypatch.setattr(TectonJobTrigger, "look", look)
        connect(monkeypatch, tecton.url, "another-key")
        tecton.keys = {"another-key"}
        tecton.set_state("job-0", "SUCCESS")
        return found

    monkeypatch.setattr(TectonJobTrigger, "look", rotate)

    assert (await event_of(trigger))["outcome"] == "ended"


@pytest.mark.parametrize(("try_number", "cancelled"), [(1, []), (3, ["job-0"])])
async def test_a_refused_wait_leaves_the_job_to_the_next_try_where_there_is_one(
    tecton: FakeTecton, try_number: int, cancelled: list[str]
) -> None:
    store = Store()
    trigger = deferred(materialize(), store, try_number=try_number)
    tecton.keys.clear()
    event = await event_of(trigger)
    tecton.keys.add(KEY)

    with pytest.raises(UnavailableError, match="refused now"):
        materialize().on_end(task_context(store, try_number=try_number), event)

    assert tecton.cancelled == cancelled


async def test_an_end_that_a_refused_trigger_did_not_see_is_seen_on_the_worker(tecton: FakeTecton) -> None:
    store = Store()
    trigger = deferred(materialize(), store)
    tecton.keys.clear()
    event = await event_of(trigger)
    tecton.keys.add(KEY)
    tecton.set_state("job-0", "SUCCESS")

    assert materialize().on_end(task_context(store), event)["state"] == "success"


async def test_a_sensor_that_nobody_answers_at_its_deadline_is_retried(
    tecton: FakeTecton, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = TectonReadySensor(
        task_id="ready", workspace="prod", feature_view="delays", ready_at=WINDOW["end"], soft_fail=True
    )
    trigger = deferred(sensor, Store())
    trigger.fields["deadline"] = 0.0
    away(monkeypatch, times=1)
    event = await event_of(trigger)

    assert event["outcome"] == "unreachable"
    with pytest.raises(UnavailableError, match="api-server does not answer"):
        sensor.on_event(task_context(Store()), event)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: materialize(workspace="dev"), "workspace dev not found"),
        (lambda: materialize(feature_view="nothing"), "refused jobs/list-materialization-jobs"),
        (lambda: materialize(workspace=""), "'workspace' must be a name"),
        (lambda: materialize(start="noon"), "'start' must be a time"),
        (lambda: materialize(start="2026-01-01"), "no time zone"),
        (lambda: materialize(start=""), "must be given"),
        (lambda: materialize(end=WINDOW["start"]), "is not before"),
        (lambda: materialize(online=False, offline=False), "both off"),
        (lambda: materialize(tecton_conn_id="absent"), "no Airflow connection 'absent'"),
        (lambda: TectonReadySensor(task_id="r", workspace="prod"), "either 'feature_view' or 'feature_service'"),
        (lambda: TectonReadySensor(task_id="r", workspace="", feature_view="delays"), "'workspace' is empty"),
        (lambda: TectonReadySensor(task_id="r", workspace="p", feature_view="d", store="both"), "'store' must be"),
    ],
)
def test_bad_input_starts_nothing(tecton: FakeTecton, wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(AirflowFailException, match=message):
        wrong().execute(task_context(Store()))
    assert tecton.jobs == {}


@pytest.mark.parametrize(
    ("host", "key", "message"), [("", KEY, "no host"), ("x.tecton.ai", "", "no password"), ("{url}", "no", "API key")]
)
def test_a_connection_that_lacks_something_says_what(
    tecton: FakeTecton, monkeypatch: pytest.MonkeyPatch, host: str, key: str, message: str
) -> None:
    connect(monkeypatch, host.format(url=tecton.url), key)

    with pytest.raises(ConfigurationError, match=message):
        TectonHook().get_conn().find(window())


def test_the_fields_of_a_connection_can_be_tested(tecton: FakeTecton, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TectonHook().test_connection()[0] is True
    connect(monkeypatch, tecton.url, "")
    assert TectonHook().test_connection() == (False, TectonHook().test_connection()[1])
