"""Listing, telling of, and deleting jobs of a cluster, over a real HTTP dashboard."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air import RayDeleteJobOperator, RayGetJobOperator, RayListJobsOperator
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.errors import JobLostError, RemoteFailureError
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import FakeTaskInstance, Store, task_context


@pytest.fixture
def jobs(head: FakeRayDashboard) -> None:
    """Three jobs, each started a second after the other."""
    for number, status in enumerate(("SUCCEEDED", "FAILED", "RUNNING")):
        metadata = {"team": "delays", "day": str(number)} if number else {"team": "others"}
        head.add_job(f"job-{number}", status, entrypoint="python score.py", metadata=metadata)
        head.jobs[f"job-{number}"].start_time = 1_767_225_600_000 + 1000 * number


def run(operator: Any) -> Any:
    """Execute, and give the result as it comes out of an XCom; Airflow stores no None."""
    result = operator.execute(task_context(Store()))
    if result is None:
        return None
    ti = FakeTaskInstance()
    ti.xcom_push("return_value", result)
    return ti.xcoms["return_value"]


def listed(**fields: Any) -> list[str]:
    return [job["submission_id"] for job in run(RayListJobsOperator(task_id="list", **fields))]


@pytest.mark.usefixtures("jobs")
def test_jobs_are_listed_as_plain_rows_the_latest_first() -> None:
    rows = run(RayListJobsOperator(task_id="list"))

    assert [row["submission_id"] for row in rows] == ["job-2", "job-1", "job-0"]
    assert rows[0] == {
        "submission_id": "job-2",
        "status": "RUNNING",
        "entrypoint": "python score.py",
        "metadata": {"team": "delays", "day": "2"},
        "start_time": "2026-01-01T00:00:02+00:00",
        "end_time": None,
    }
    assert rows[2]["end_time"] is not None


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"status": "RUNNING"}, ["job-2"]),
        ({"status": ["SUCCEEDED", "FAILED"]}, ["job-1", "job-0"]),
        ({"metadata": {"team": "delays"}}, ["job-2", "job-1"]),
        ({"metadata": {"team": "delays", "day": "1"}, "status": "FAILED"}, ["job-1"]),
        ({"metadata": {"nothing": "x"}}, []),
        ({"limit": 1}, ["job-2"]),
    ],
    ids=str,
)
def test_a_list_is_filtered(fields: dict[str, Any], found: list[str]) -> None:
    assert listed(**fields) == found


@pytest.mark.usefixtures("jobs")
def test_a_job_is_told(head: FakeRayDashboard) -> None:
    told = run(RayGetJobOperator(task_id="get", submission_id="job-1"))

    assert (told["status"], told["metadata"]["day"]) == ("FAILED", "1")
    assert set(told) >= {"message", "error_type", "exit_code", "entrypoint", "start_time", "end_time"}


def test_an_unknown_job_is_an_error_or_none(head: FakeRayDashboard) -> None:
    with pytest.raises(JobLostError, match="does not know"):
        run(RayGetJobOperator(task_id="get", submission_id="nope"))
    assert run(RayGetJobOperator(task_id="get", submission_id="nope", missing_ok=True)) is None


@pytest.mark.usefixtures("jobs")
def test_an_ended_job_is_deleted_and_an_unknown_one_is_fine(head: FakeRayDashboard) -> None:
    assert run(RayDeleteJobOperator(task_id="delete", submission_id="job-0")) is True
    assert "job-0" not in head.jobs
    assert run(RayDeleteJobOperator(task_id="delete", submission_id="job-0")) is False


@pytest.mark.usefixtures("jobs")
def test_a_running_job_is_not_deleted(head: FakeRayDashboard) -> None:
    with pytest.raises(RemoteFailureError, match=r"has not ended .*Stop it first"):
        run(RayDeleteJobOperator(task_id="delete", submission_id="job-2"))
    assert "job-2" in head.jobs


@pytest.mark.parametrize(
    ("operator", "says"),
    [
        (RayListJobsOperator(task_id="t", status="DONE"), "'status' must be of PENDING"),
        (RayListJobsOperator(task_id="t", metadata={1: "x"}), "'metadata' must be a dict"),
        (RayListJobsOperator(task_id="t", limit=0), "'limit'"),
        (RayGetJobOperator(task_id="t", submission_id=" "), "'submission_id' is empty"),
        (RayDeleteJobOperator(task_id="t", submission_id=None), "'submission_id' is empty"),
        (RayListJobsOperator(task_id="t", cluster=LocalCluster()), "without a name"),
    ],
    ids=["state", "metadata", "limit", "id to get", "id to delete", "a spec without a name"],
)
def test_what_is_wrong_is_refused_before_anybody_is_asked(head: FakeRayDashboard, operator: Any, says: str) -> None:
    with pytest.raises(AirflowFailException, match=says):
        run(operator)
    assert not head.requests_to("*", ".*")
