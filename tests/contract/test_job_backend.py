"""What everything that runs jobs must do; a new one is one harness and one line in ``HARNESSES``."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Any, Protocol

import pytest

from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.clusters.serve_rest import ServeRest
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef
from airflow_provider_air.contracts.jobs import FollowEnd, FollowSettings, JobBackend, Observation, PreparedJob
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.errors import AirError, RemoteFailureError, UnavailableError
from airflow_provider_air.ray_api.models import JobDetails, JobStatus, JobSubmission
from airflow_provider_air.ray_api.packages import package_files
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.waiting import wait_until
from tests.fakes.other_clusters import OtherClusters, OtherSpec
from tests.fakes.ray_dashboard import FakeRayDashboard

ID = "air-job-g1a1-1"
METADATA = {"air_deployment": "tests", "air_task": "flights/manual__1/train", "air_try": "1"}


class Harness(Protocol):
    """A back end of jobs, and the remote side that a test moves."""

    backend: JobBackend

    def run(self, submission_id: str) -> None:
        """Let a submitted job run."""

    def say(self, submission_id: str, text: str) -> None:
        """Let it write to its log."""

    def note(self, submission_id: str, *records: dict[str, Any]) -> None:
        """Let it write records."""

    def end(self, submission_id: str, status: str) -> None:
        """Let it end."""

    def replace(self) -> None:
        """Put a cluster in the cluster's place that knows no job."""

    def silence(self) -> None:
        """Let nobody answer."""

    def number_of_jobs(self) -> int:
        """Count what is really there."""


class OverDashboard:
    """Jobs of the double of Ray's dashboard."""

    def __init__(self, head: FakeRayDashboard, kind: type[JobsApi]) -> None:
        self._head = head
        self.backend: JobBackend = kind(
            ClusterRef("existing", "head"), lambda ref: Transport(head.url, token=head.token)
        )

    def run(self, submission_id: str) -> None:
        self._head.set_status(submission_id, "RUNNING")

    def say(self, submission_id: str, text: str) -> None:
        self._head.append_log(submission_id, text)

    def note(self, submission_id: str, *records: dict[str, Any]) -> None:
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        self._head.append_file(records_name(submission_id), lines)

    def end(self, submission_id: str, status: str) -> None:
        self._head.set_status(submission_id, status)

    def replace(self) -> None:
        self._head.restart_head()

    def silence(self) -> None:
        self._head.plan("*", "", times=None, drop=True)

    def number_of_jobs(self) -> int:
        return len(self._head.jobs)


class OverOther:
    """Jobs of a back end that is unlike ours."""

    def __init__(self, clusters: OtherClusters) -> None:
        self._clusters = clusters
        spec = OtherSpec("shared")
        self._ref = clusters.ensure(spec, clusters.find(spec), owner=ClusterOwner("tests"))
        clusters.ready(self._ref.name)
        self.backend: JobBackend = clusters.jobs(self._ref)

    def run(self, submission_id: str) -> None:
        self._clusters.job(submission_id).run()

    def say(self, submission_id: str, text: str) -> None:
        self._clusters.job(submission_id).log += text.encode()

    def note(self, submission_id: str, *records: dict[str, Any]) -> None:
        self._clusters.job(submission_id).note(*records)

    def end(self, submission_id: str, status: str) -> None:
        self._clusters.job(submission_id).end(status)

    def replace(self) -> None:
        self._clusters.replace(self._ref.name)

    def silence(self) -> None:
        self._clusters.silence()

    def number_of_jobs(self) -> int:
        return len(self._clusters.world[self._ref.name].jobs)


@contextmanager
def _over_dashboard(kind: type[JobsApi]) -> Iterator[Harness]:
    with FakeRayDashboard(starts_after_seconds=None) as head:
        yield OverDashboard(head, kind)


@contextmanager
def _over_other() -> Iterator[Harness]:
    yield OverOther(OtherClusters(takes_any_job=True))


HARNESSES: dict[str, Callable[[], AbstractContextManager[Harness]]] = {
    "jobs_api": lambda: _over_dashboard(JobsApi),
    "serve_rest": lambda: _over_dashboard(ServeRest),
    "other": _over_other,
}


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.2)
    monkeypatch.setattr(jobs_api, "PATIENCE_SECONDS", 0.2)
    with HARNESSES[request.param]() as made:
        yield made


def prepared(submission_id: str = ID) -> PreparedJob:
    submission = JobSubmission(submission_id, "true", metadata=METADATA)
    return PreparedJob(submission, (package_files({"a": b"1"}),))


def submitted(harness: Harness, status: str = "RUNNING", submission_id: str = ID) -> JobDetails:
    harness.backend.submit(prepared(submission_id))
    if status != "PENDING":
        harness.run(submission_id)
    if status not in ("PENDING", "RUNNING"):
        harness.end(submission_id, status)
    return known(harness, submission_id)


def known(harness: Harness, submission_id: str = ID) -> JobDetails:
    job = harness.backend.look(submission_id).job
    assert job is not None
    return job


def record(seq: int, kind: str = "progress", **fields: Any) -> dict[str, Any]:
    return {"v": 1, "seq": seq, "t": 0.0, "kind": kind, **fields}


def follow(
    harness: Harness, act: Callable[[Observation], None] = lambda seen: None, **settings: Any
) -> tuple[list[Observation], FollowEnd]:
    """Follow the job to its end."""
    seen: list[Observation] = []

    async def run() -> FollowEnd:
        async with aclosing(harness.backend.follow(FollowSettings(ID, **settings), RealClock())) as following:
            async for item in following:
                if isinstance(item, FollowEnd):
                    return item
                seen.append(item)
                act(item)
        raise AssertionError("following ends with its end")

    return seen, asyncio.run(asyncio.wait_for(run(), 30))


# Submitting and looking


def test_a_submitted_job_is_seen_on_the_incarnation_that_took_it(harness: Harness) -> None:
    accepted = harness.backend.submit(prepared())
    seen = harness.backend.look(ID)

    assert seen.job is not None
    assert (seen.job.submission_id, seen.job.status) == (ID, JobStatus.PENDING)
    assert dict(seen.job.metadata) == METADATA
    assert accepted.incarnation is not None
    assert seen.incarnation == accepted.incarnation


def test_submitting_again_is_no_second_job(harness: Harness) -> None:
    first = harness.backend.submit(prepared())
    harness.run(ID)
    second = harness.backend.submit(prepared())

    assert first == second
    assert harness.number_of_jobs() == 1
    assert known(harness).status is JobStatus.RUNNING


def test_a_job_that_was_never_submitted_can_be_submitted_again(harness: Harness) -> None:
    seen = harness.backend.look(ID)

    assert seen.job is None
    assert seen.incarnation is not None
    assert harness.backend.after_loss(None, seen.incarnation) == "again"


def test_a_job_that_its_own_incarnation_does_not_know_is_lost(harness: Harness) -> None:
    accepted = harness.backend.submit(prepared())

    assert harness.backend.after_loss(accepted.incarnation, accepted.incarnation) == "lost"


def test_a_replaced_cluster_is_told_from_the_one_that_took_the_job(harness: Harness) -> None:
    accepted = harness.backend.submit(prepared())
    harness.replace()
    seen = harness.backend.look(ID)

    assert seen.job is None
    assert seen.incarnation not in (None, accepted.incarnation)
    # What was taken may have run: the same id is never sent again.
    assert harness.backend.after_loss(accepted.incarnation, seen.incarnation) in ("next", "lost")


def test_silence_is_unavailable_and_says_nothing_about_a_job(harness: Harness) -> None:
    submitted(harness)
    stop = harness.backend.prepare_stop(ID)
    harness.silence()

    questions: list[Callable[[], Any]] = [
        lambda: harness.backend.look(ID),
        lambda: harness.backend.delete(ID),
        harness.backend.all,
        lambda: harness.backend.submit(prepared("air-job-g1a1-2")),
        lambda: asyncio.run(_jobs_now(harness)),
        stop,
    ]
    for ask in questions:
        with pytest.raises(UnavailableError):
            ask()


async def _jobs_now(harness: Harness) -> dict[str, str]:
    return {job.submission_id: job.status.value for job in await harness.backend.jobs_now()}


# Stopping and listing


def test_a_stop_ends_a_job(harness: Harness) -> None:
    submitted(harness)
    harness.backend.stop(ID)

    wait_until(lambda: known(harness).status.is_terminal or None, what="its end", timeout_seconds=20)
    assert known(harness).status is JobStatus.STOPPED


@pytest.mark.parametrize("status", [None, "SUCCEEDED", "FAILED", "STOPPED"])
def test_stopping_what_does_not_run_is_fine(harness: Harness, status: str | None) -> None:
    if status is not None:
        submitted(harness, status)
    for _ in range(2):
        harness.backend.stop(ID)
    if status is not None:
        assert known(harness).status.value == status


def test_a_prepared_stop_is_quick(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * jobs_api.STOP_STEP_SECONDS <= 3, "connecting and answering may take so long each"
    submitted(harness)
    monkeypatch.setattr(jobs_api, "STOP_STEP_SECONDS", 10.0)
    stop = harness.backend.prepare_stop(ID)
    started = time.monotonic()
    stop()

    assert time.monotonic() - started < 2 * jobs_api.STOP_STEP_SECONDS
    wait_until(lambda: known(harness).status.is_terminal or None, what="its end", timeout_seconds=20)


def test_the_living_are_listed_and_all_where_they_are_shared(harness: Harness) -> None:
    statuses = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED")
    for number, status in enumerate(statuses):
        submitted(harness, status, f"job-{number}")

    assert sorted(job.submission_id for job in harness.backend.alive()) == ["job-0", "job-1"]
    assert asyncio.run(_jobs_now(harness)) == {f"job-{number}": status for number, status in enumerate(statuses)}


def test_all_are_listed_with_what_they_were_given(harness: Harness) -> None:
    for number, status in enumerate(("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED")):
        submitted(harness, status, f"job-{number}")

    listed = {job.submission_id: job for job in harness.backend.all()}

    assert sorted(listed) == [f"job-{number}" for number in range(5)]
    assert listed["job-2"].status is JobStatus.SUCCEEDED
    assert dict(listed["job-0"].metadata) == METADATA
    assert listed["job-0"].entrypoint == "true"


def test_an_ended_job_is_forgotten_once(harness: Harness) -> None:
    submitted(harness, "SUCCEEDED")

    assert harness.backend.delete(ID) is True
    assert harness.backend.look(ID).job is None
    assert harness.backend.delete(ID) is False


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_living_job_is_not_forgotten(harness: Harness, status: str) -> None:
    submitted(harness, status)

    with pytest.raises(RemoteFailureError):
        harness.backend.delete(ID)
    assert known(harness).status.value == status


# Records and following


def test_records_come_home_as_far_as_they_go(harness: Harness) -> None:
    job = submitted(harness, "SUCCEEDED")
    assert harness.backend.records(job) == []
    harness.note(ID, record(0), record(1, "result", value=1))
    assert [item["seq"] for item in harness.backend.records(job)] == [0, 1]
    harness.note(ID, record(2, "end", status="succeeded"))
    assert harness.backend.records(job)[-1]["kind"] == "end"


def test_a_job_is_followed_to_its_end_with_all_that_it_says(harness: Harness) -> None:
    submitted(harness)
    harness.say(ID, "one\n")
    harness.note(ID, record(0))

    def act(seen: Observation) -> None:
        if seen.lines == ["one"]:
            harness.say(ID, "two\nthr")
            harness.say(ID, "ee\n")
            harness.note(ID, record(1, "end", status="succeeded"))
            harness.end(ID, "SUCCEEDED")

    seen, end = follow(harness, act, has_records=True)

    assert [line for item in seen for line in item.lines if not line.startswith("Running")] == ["one", "two", "three"]
    assert [item["seq"] for one in seen for item in one.records] == [0, 1]
    assert (end.outcome, end.log_rest) == ("ended", None)
    assert end.job is not None
    assert end.job.status is JobStatus.SUCCEEDED


def test_following_goes_on_from_an_earlier_offset(harness: Harness) -> None:
    submitted(harness, "FAILED")
    harness.say(ID, "one\ntwo\nthree\n")
    seen, _ = follow(harness)
    cut = len("one\n")
    again, end = follow(harness, log_offset=cut)

    assert [line for item in seen for line in item.lines] == ["one", "two", "three"]
    assert [line for item in again for line in item.lines] == ["two", "three"]
    assert end.job is not None
    assert end.job.status is JobStatus.FAILED


def test_what_a_limited_reader_leaves_is_named(harness: Harness) -> None:
    submitted(harness, "SUCCEEDED")
    harness.say(ID, "".join(f"line {number}\n" for number in range(100)))
    first, end = follow(harness, lines_at_once=10)
    assert end.log_rest is not None
    second, last = follow(harness, log_offset=end.log_rest)

    assert max(len(item.lines) for item in first) == 10
    lines = [line for item in (*first, *second) for line in item.lines]
    assert lines == [f"line {number}" for number in range(100)]
    assert last.log_rest is None


def test_following_ends_at_its_time_with_the_last_state(harness: Harness) -> None:
    submitted(harness)
    _, end = follow(harness, until=time.time() + 0.2)

    assert end.outcome == "deadline"
    assert end.job is not None
    assert end.job.status is JobStatus.RUNNING


def test_following_a_job_that_went_with_its_cluster_ends_as_lost(harness: Harness) -> None:
    accepted = harness.backend.submit(prepared())
    replaced: list[bool] = []

    def act(seen: Observation) -> None:
        if not replaced:
            replaced.append(True)
            harness.replace()

    _, end = follow(harness, act, accepted_on=accepted.incarnation)

    assert (end.outcome, end.loss) == ("lost", harness.backend.after_loss(accepted.incarnation, "another"))
    assert end.message


@pytest.mark.parametrize("before", [True, False], ids=["from the start", "in the middle"])
def test_following_ends_where_nobody_answers_any_more(harness: Harness, before: bool) -> None:
    submitted(harness)
    if before:
        harness.silence()
    silent = [before]

    def act(seen: Observation) -> None:
        if not silent[0]:
            silent[0] = True
            harness.silence()

    _, end = follow(harness, act, unreachable_seconds=0.3)

    assert end.outcome == "unreachable"
    assert end.message
    assert (end.job is None) == before


def test_who_follows_in_silence_hears_of_it(harness: Harness) -> None:
    """By this its owner knows when to ask what has become of the cluster."""
    submitted(harness)
    harness.silence()
    seen, end = follow(harness, unreachable_seconds=1.5)

    assert end.outcome == "unreachable"
    assert [item.job for item in seen] == [None] * len(seen) != []


# Pages


def test_pages_are_addresses(harness: Harness) -> None:
    pages = {**harness.backend.pages(), **harness.backend.pages(ID)}

    assert set(pages) <= {"ray_dashboard_url", "ray_job_url", "ray_serve_page_url"}
    assert pages["ray_dashboard_url"].startswith("http")
    json.dumps(pages)


def test_errors_of_a_silent_cluster_are_ours(harness: Harness) -> None:
    harness.silence()
    with pytest.raises(AirError):
        harness.backend.alive()
