"""The Jobs API: one job whatever happens to the request, and a loss only by Ray's own words."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api import backend as module
from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, Observation, PreparedJob
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.errors import (
    ClusterNotReadyError,
    ClusterUnreachableError,
    ConfigurationError,
    ResultLostError,
    UnavailableError,
)
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.packages import package_files
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.clock import RealClock
from tests.fakes.ray_dashboard import FakeRayDashboard

REF = ClusterRef("existing", "ray_default", {"ray_conn_id": "ray_default"})
METADATA = {"air_deployment": "tests", "air_task": "flights/manual__1/train", "air_ledger": "n1", "air_try": "1"}


@pytest.fixture
def jobs(transport: Transport) -> JobsApi:
    return JobsApi(REF, lambda ref: transport)


def prepared(**fields: Any) -> PreparedJob:
    return PreparedJob(JobSubmission("job", "true", **{"metadata": METADATA, **fields}), (package_files({"a": b"1"}),))


def follow(jobs: JobsApi, **settings: Any) -> tuple[list[Observation], FollowEnd]:
    seen: list[Observation] = []

    async def run() -> FollowEnd:
        async with aclosing(jobs.follow(FollowSettings("job", **settings), RealClock())) as following:
            async for item in following:
                if isinstance(item, FollowEnd):
                    return item
                seen.append(item)
        raise AssertionError("no end")

    return seen, asyncio.run(asyncio.wait_for(run(), 30))


# Submitting


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"status": 500, "times": 2},
        {"status": 503, "times": 2},
        {"status": 404, "times": 2},
        {"drop": True, "times": 2},
        {"drop": True, "act_first": True},
        {"status": 500, "act_first": True},
        {"status": 404, "act_first": True},
    ],
    ids=str,
)
def test_whatever_happens_to_the_request_there_is_one_job(
    head: FakeRayDashboard, jobs: JobsApi, fault: dict[str, Any]
) -> None:
    if fault:
        head.plan("POST", "^/api/jobs/$", **fault)

    accepted = jobs.submit(prepared())

    assert accepted.incarnation == head.session_name
    assert list(head.jobs) == ["job"]
    assert len(head.packages) == 1


def test_a_cluster_without_an_address_is_waited_for(head: FakeRayDashboard, transport: Transport) -> None:
    problems = [ClusterNotReadyError("no address yet"), ClusterNotReadyError("no address yet")]

    def open_transport(ref: ClusterRef) -> Transport:
        if problems:
            raise problems.pop()
        return transport

    JobsApi(REF, open_transport).submit(prepared())
    assert list(head.jobs) == ["job"]


def test_no_certainty_is_unavailable(head: FakeRayDashboard, jobs: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SUBMIT_SECONDS", 0.2)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    head.plan("*", "^/api/jobs/", drop=True, times=None)

    with pytest.raises(ClusterUnreachableError):
        jobs.submit(prepared())


def test_a_refused_job_is_the_authors_to_fix(head: FakeRayDashboard, jobs: JobsApi) -> None:
    head.plan("POST", "^/api/jobs/$", status=400, body="no")

    with pytest.raises(ConfigurationError):
        jobs.submit(prepared())
    assert len(head.requests_to("POST", "^/api/jobs/$")) == 1


def test_a_job_of_another_try_is_ours(head: FakeRayDashboard, jobs: JobsApi) -> None:
    jobs.submit(prepared())
    jobs.submit(prepared(metadata={**METADATA, "air_try": "2"}))

    assert list(head.jobs) == ["job"]


@pytest.mark.parametrize("key", ["air_deployment", "air_task", "air_ledger"])
def test_somebody_elses_job_of_this_id_is_not_taken_for_ours(head: FakeRayDashboard, jobs: JobsApi, key: str) -> None:
    head.add_job("job", metadata={**METADATA, key: "theirs"})

    with pytest.raises(ConfigurationError, match="somebody else"):
        jobs.submit(prepared())


# Looking


def test_a_gateways_404_is_no_loss(head: FakeRayDashboard, jobs: JobsApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    head.add_job("job")
    gateway = head.put_gateway_in_front()
    for ask in (lambda: jobs.look("job"), lambda: jobs.stop("job"), jobs.alive, jobs.prepare_stop("job")):
        with pytest.raises(UnavailableError):
            ask()
    _, end = follow(jobs, unreachable_seconds=0.3)
    assert end.outcome == "unreachable"
    gateway.cancel()

    assert jobs.look("job").job is not None


def test_the_session_is_asked_for_rarely_while_a_job_is_known_and_always_when_it_is_not(
    head: FakeRayDashboard, jobs: JobsApi
) -> None:
    head.add_job("job")
    for _ in range(3):
        assert jobs.look("job").incarnation == head.session_name
    assert len(head.requests_to("GET", "^/api/version$")) == 1
    head.restart_head()
    seen = jobs.look("job")

    assert (seen.job, seen.incarnation) == (None, head.session_name)


def test_a_head_that_kept_its_jobs_is_the_same_incarnation(head: FakeRayDashboard, jobs: JobsApi) -> None:
    accepted = jobs.submit(prepared())
    head.restart_head(keep_jobs=True)
    seen = jobs.look("job")

    assert seen.job is not None
    assert seen.incarnation == accepted.incarnation


def test_a_look_asks_once(head: FakeRayDashboard, jobs: JobsApi) -> None:
    fault = head.plan("GET", "^/api/jobs/", status=503, times=None)
    with pytest.raises(UnavailableError):
        jobs.look("job")
    assert fault.hits == 1


def test_one_odd_job_does_not_blind_the_list(head: FakeRayDashboard, jobs: JobsApi) -> None:
    listed = [{"submission_id": "odd", "status": "LATER"}, 5, {}, {"submission_id": "good", "status": "RUNNING"}]
    head.plan("GET", "^/api/jobs/$", status=200, body=json.dumps(listed), times=None)

    assert [job.submission_id for job in jobs.alive()] == ["good"]
    listed_now = asyncio.run(_jobs_now(jobs))
    assert [job.submission_id for job in listed_now if job.status.is_alive] == ["good"]


async def _jobs_now(jobs: JobsApi) -> Any:
    return await jobs.jobs_now()


def test_records_that_are_none_are_lost(head: FakeRayDashboard, jobs: JobsApi) -> None:
    head.add_job("job", "SUCCEEDED")
    head.append_file(records_name("job"), "no json\n")
    job = jobs.look("job").job
    assert job is not None

    with pytest.raises(ResultLostError):
        jobs.records(job)


def test_records_are_waited_for_where_nobody_serves_them_now(head: FakeRayDashboard, jobs: JobsApi) -> None:
    head.add_job("job", "SUCCEEDED")
    head.append_file(records_name("job"), json.dumps({"v": 1, "seq": 0, "t": 0.0, "kind": "progress"}) + "\n")
    job = jobs.look("job").job
    assert job is not None
    head.agent_off()
    head.plan("GET", "^/api/v0/logs/file$", status=503, times=1)

    assert [record["seq"] for record in jobs.records(job)] == [0]


# Following


def test_the_tasks_of_a_job_without_records_are_counted(head: FakeRayDashboard, jobs: JobsApi) -> None:
    counts = {"load": {"FINISHED": 3, "RUNNING": 1}}
    head.set_tasks("01000000", counts)
    head.add_job("job", job_id="01000000")
    seen, _ = follow(jobs, until=RealClock().now() + 0.3)

    assert [item.tasks for item in seen if item.tasks is not None] == [counts]


@pytest.mark.parametrize("has_records", [True, False])
def test_what_counts_for_itself_or_cannot_be_counted_is_not(
    head: FakeRayDashboard, jobs: JobsApi, has_records: bool
) -> None:
    head.add_job("job", job_id="01000000")
    fault = head.plan("GET", "^/api/v0/tasks/summarize$", status=500, times=None)
    seen, _ = follow(jobs, has_records=has_records, until=RealClock().now() + 0.3)

    assert seen
    assert {item.tasks for item in seen} == {None}
    assert (fault.hits == 0) == has_records


def test_a_loss_says_whose_it_is(head: FakeRayDashboard, jobs: JobsApi) -> None:
    accepted = jobs.submit(prepared())
    _, forgotten = follow(jobs, accepted_on="elsewhere", until=RealClock().now() + 0.2)
    assert forgotten.outcome == "deadline"
    head.restart_head()
    _, replaced = follow(jobs, accepted_on=accepted.incarnation)
    _, unknown = follow(jobs, accepted_on=head.session_name)

    assert (replaced.outcome, unknown.outcome) == ("lost", "lost")
    assert str(accepted.incarnation) in replaced.message
    assert "no longer knows" in unknown.message


def test_a_connection_that_is_gone_is_refused_not_unreachable(transport: Transport) -> None:
    def open_transport(ref: ClusterRef) -> Transport:
        raise ConfigurationError("There is no connection 'ray_default'")

    _, end = follow(JobsApi(REF, open_transport), unreachable_seconds=0.3)

    assert end.outcome == "refused"
    assert "ray_default" in end.message


# Pages


@pytest.mark.parametrize("url", ["https://r/", "https://r/#/overview", "https://r#/jobs"])
def test_pages_are_where_people_open_them(transport: Transport, url: str) -> None:
    reached, opened = JobsApi(REF, lambda ref: transport), JobsApi(REF, lambda ref: transport, lambda ref: url)

    assert reached.pages() == {"ray_dashboard_url": transport.base_url}
    assert opened.pages("a/b") == {"ray_dashboard_url": "https://r", "ray_job_url": "https://r/#/jobs/a%2Fb"}
