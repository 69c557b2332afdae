"""What every sensor does as Airflow's own: its time over all tries, and what is skipped instead of failed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferralError,
    TaskDeferred,
)

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.errors import (
    AirError,
    ClusterFailedError,
    ClusterUnreachableError,
    JobFailedError,
    UnavailableError,
)
from airflow_provider_air.sensors import job as job_sensor
from airflow_provider_air.sensors.cluster import RayClusterSensor
from airflow_provider_air.sensors.job import RayJobSensor
from airflow_provider_air.sensors.mlflow import MlflowModelSensor
from airflow_provider_air.sensors.serve import RayServeSensor
from airflow_provider_air.sensors.tecton import TectonReadySensor
from airflow_provider_air.triggers.deferring import BACKSTOP_SECONDS
from tests.deferrals import deferred, event_of, resume
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context

REF = ClusterRef("existing", "ray_default").to_json()
LATE: dict[str, tuple[type[Any], dict[str, Any], dict[str, Any]]] = {
    "cluster": (RayClusterSensor, {}, {"what": "ready", "state": "starting", "cluster": REF}),
    "job": (RayJobSensor, {"submission_id": "job-1"}, {"submission_id": "job-1", "outcome": "deadline"}),
    "serve": (RayServeSensor, {"application": "flights"}, {"application": "flights", "outcome": "deadline"}),
    "mlflow": (MlflowModelSensor, {"model_name": "delays"}, {"outcome": "deadline"}),
    "tecton": (TectonReadySensor, {"workspace": "prod", "feature_view": "delays"}, {"outcome": "deadline"}),
}
"""Of each sensor: its class, what it needs, and the event of a trigger whose time is over."""

each = pytest.mark.parametrize("name", LATE)


def made(name: str, **fields: Any) -> BaseSensorOperator:
    kind, needed, _ = LATE[name]
    sensor: BaseSensorOperator = kind(**{"task_id": "wait", "timeout": 60, **needed, **fields})
    return sensor


def come_back(sensor: BaseSensorOperator, event: Any) -> Any:
    return sensor.resume_execution("on_event", {"event": event}, task_context(Store()))


def run_job(head: FakeRayDashboard, status: str) -> None:
    head.add_job("job-1", entrypoint="true")
    head.set_status("job-1", status)


@each
def test_a_deferred_sensor_times_out_as_airflows_do(name: str) -> None:
    """Airflow retries no AirflowSensorTimeout."""
    with pytest.raises(AirflowSensorTimeout, match="within 60 s"):
        come_back(made(name), LATE[name][2])


@each
@pytest.mark.parametrize("how", ["soft_fail", "never_fail"])
def test_a_deferred_sensor_whose_time_is_over_is_skipped_where_its_author_says_so(name: str, how: str) -> None:
    with pytest.raises(AirflowSkipException, match=how):
        come_back(made(name, **{how: True}), LATE[name][2])


@pytest.mark.parametrize("name", ["mlflow", "tecton"])
@pytest.mark.parametrize("outcome", ["unreachable", "refused"])
@pytest.mark.parametrize("fields", [{}, {"soft_fail": True}], ids=["fails", "soft_fail"])
def test_what_is_away_or_refuses_while_a_sensor_is_deferred_is_retried(
    name: str, outcome: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(UnavailableError, match="silence"):
        come_back(made(name, **fields), {"outcome": outcome, "message": "silence"})


@each
@pytest.mark.parametrize(
    ("reason", "fields", "error"),
    [
        (TriggerFailureReason.TRIGGER_TIMEOUT, {}, AirflowSensorTimeout),
        (TriggerFailureReason.TRIGGER_TIMEOUT, {"soft_fail": True}, AirflowSkipException),
        (TriggerFailureReason.TRIGGER_FAILURE, {}, TaskDeferralError),
        (TriggerFailureReason.TRIGGER_FAILURE, {"soft_fail": True}, AirflowSkipException),
        (TriggerFailureReason.TRIGGER_FAILURE, {"never_fail": True}, AirflowSkipException),
    ],
)
def test_a_broken_trigger_is_what_airflow_makes_of_it(
    name: str, reason: Any, fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        made(name, **fields).resume_execution(TRIGGER_FAIL_REPR, {"error": reason}, task_context(Store()))


def test_the_time_of_a_sensor_counts_over_all_its_tries(head: FakeRayDashboard, store: Store) -> None:
    run_job(head, "RUNNING")
    first = deferred(made("job"), task_context(store))
    second = deferred(made("job"), task_context(store, try_number=2))

    assert second.trigger.deadline == first.trigger.deadline
    assert second.timeout is not None
    assert second.timeout.total_seconds() <= 60 + BACKSTOP_SECONDS


@pytest.mark.parametrize("numbers", [{"max_tries": 3}, {"retries": 1, "clear_number": 1}])
def test_a_clear_gives_a_sensor_its_whole_time_again(
    head: FakeRayDashboard, store: Store, numbers: dict[str, int]
) -> None:
    run_job(head, "RUNNING")
    first = deferred(made("job"), task_context(store))
    cleared = deferred(made("job"), task_context(store, try_number=2, **numbers))

    assert cleared.trigger.deadline > first.trigger.deadline


def test_a_retry_after_the_time_looks_once_more(
    head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(head, "RUNNING")
    deferred(made("job"), task_context(store))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)

    with pytest.raises(AirflowSensorTimeout, match="over all tries"):
        made("job").execute(task_context(store, try_number=2))
    with pytest.raises(AirflowSkipException, match="soft_fail"):
        made("job", soft_fail=True).execute(task_context(store, try_number=2))
    head.set_status("job-1", "SUCCEEDED")
    assert made("job").execute(task_context(store, try_number=2)) == "job-1"


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("fields", "error"),
    [({}, JobFailedError), ({"soft_fail": True}, AirflowSkipException), ({"never_fail": True}, AirflowSkipException)],
    ids=["fails", "soft_fail", "never_fail"],
)
def test_what_has_failed_is_skipped_wherever_it_was_seen(
    head: FakeRayDashboard, deferrable: bool, fields: dict[str, Any], error: type[Exception]
) -> None:
    run_job(head, "FAILED")

    with pytest.raises(error):
        made("job", deferrable=deferrable, **fields).execute(task_context(Store()))


@pytest.mark.parametrize("fields", [{}, {"soft_fail": True}], ids=["fails", "soft_fail"])
def test_what_fails_while_a_sensor_is_deferred_is_told_alike(
    head: FakeRayDashboard, store: Store, fields: dict[str, Any]
) -> None:
    run_job(head, "RUNNING")
    sensor, context = made("job", **fields), task_context(store)
    pause = deferred(sensor, context)
    head.set_status("job-1", "FAILED")

    with pytest.raises(AirflowSkipException if fields else JobFailedError):
        resume(sensor, context, pause, event_of(pause.trigger))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, ClusterUnreachableError),
        ({"soft_fail": True}, ClusterUnreachableError),
        ({"never_fail": True}, AirflowSkipException),
    ],
    ids=["fails", "soft_fail", "never_fail"],
)
def test_an_outage_is_no_verdict(fields: dict[str, Any], error: type[Exception]) -> None:
    gone = {"application": "flights", "outcome": "unreachable", "message": "silence"}

    with pytest.raises(error):
        come_back(made("serve", **fields), gone)


def test_silence_at_the_first_look_is_left_to_the_triggers_patience(
    head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(ask: Any) -> Any:
        return ask()

    monkeypatch.setattr(job_sensor, "patiently", soon)
    head.plan("*", "", drop=True, times=None)

    with pytest.raises(TaskDeferred):
        made("job").execute(task_context(Store()))
    with pytest.raises(AirError):
        made("job", deferrable=False).execute(task_context(Store()))


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("fields", [{}, {"soft_fail": True}, {"never_fail": True}], ids=str)
def test_a_wrong_field_is_the_authors_to_fix_or_to_skip(deferrable: bool, fields: dict[str, Any]) -> None:
    with pytest.raises(AirflowSkipException if fields else AirflowFailException):
        made("job", submission_id=" ", deferrable=deferrable, **fields).execute(task_context(Store()))


@pytest.mark.parametrize("comes", [True, False])
def test_a_cluster_that_is_not_there_yet_is_waited_for(comes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [ClusterState.ABSENT] * 3 + [ClusterState.READY] * comes
    monkeypatch.setattr(
        ExistingBackend, "describe", lambda self, ref: ClusterStatus(states.pop(0) if states[1:] else states[0])
    )
    sensor = made("cluster", timeout=30 if comes else 1)
    event = event_of(deferred(sensor, task_context(Store())).trigger)

    if comes:
        assert come_back(sensor, event) is None
    else:
        with pytest.raises(AirflowSensorTimeout, match="within 1 s: absent"):
            come_back(sensor, event)


def test_a_cluster_that_failed_is_a_verdict() -> None:
    failed = {"what": "ready", "state": "failed", "message": "no such image", "cluster": REF}

    with pytest.raises(ClusterFailedError, match="no such image"):
        come_back(made("cluster"), failed)
    with pytest.raises(AirflowSkipException):
        come_back(made("cluster", soft_fail=True), failed)


@pytest.mark.parametrize("name", ["cluster", "job", "serve"])
def test_a_sensor_starts_nothing(name: str) -> None:
    """A spec without a name stands for no cluster that could be waited for."""
    with pytest.raises(AirflowFailException, match="without a name"):
        made(name, cluster=LocalCluster()).execute(task_context(Store()))
