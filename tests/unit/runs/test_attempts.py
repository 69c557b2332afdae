"""The decision table: what a try does with what earlier tries left on the cluster."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.contracts.clusters import ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import ClusterUnreachableError, ConfigurationError, TaskReplacedError
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.names import metadata_of
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.runs.conftest import KEY, Task

DEAD = Transport("http://127.0.0.1:1")


class GoneBackend(ExistingBackend):
    """A back end that knows that the cluster is gone, as a local one does."""

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        return ClusterStatus(ClusterState.ABSENT)


def left_behind(head: FakeRayDashboard, task: Task, phase: str, on_ray: str | None, **fields: Any) -> Attempt:
    """
    What an earlier try left in the ledger and on Ray.

    :param phase: ``written``: it died before the cluster heard of it; ``intended``: while it sent its job
    """
    task.run().begin()
    last = task.attempts[-1]
    steps = {name: at for name, at in last.steps.items() if name not in ("sent", "submitted")}
    if phase == "written":
        fields = {"phase": "intended", "accepted_on": None, "steps": steps, **fields}
    elif phase == "intended":
        fields = {"phase": phase, "accepted_on": None, "steps": {**steps, "sent": 1.0}, **fields}
    else:
        fields = {"phase": phase, **fields}
    attempt = task.change_last(**fields)
    if on_ray is None:
        head.jobs.clear()
    else:
        head.set_status(attempt.submission_id, on_ray)
    head.requests.clear()
    return attempt


def posts(head: FakeRayDashboard) -> int:
    return len(head.requests_to("POST", "^/api/jobs/$"))


@pytest.mark.parametrize(
    ("phase", "on_ray", "action", "now"),
    [
        ("written", None, "submit", "submitted"),
        ("intended", None, "submit", "submitted"),
        ("intended", "PENDING", "adopt", "submitted"),
        ("intended", "RUNNING", "adopt", "submitted"),
        ("intended", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("intended", "FAILED", "next", "FAILED"),
        ("submitted", None, "next", "LOST"),
        ("submitted", "PENDING", "adopt", "submitted"),
        ("submitted", "RUNNING", "adopt", "submitted"),
        ("submitted", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("submitted", "FAILED", "next", "FAILED"),
        ("submitted", "STOPPED", "next", "STOPPED"),
        ("SUCCEEDED", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("SUCCEEDED", None, "collect", "SUCCEEDED"),
        ("FAILED", "FAILED", "next", "FAILED"),
        ("STOPPED", "STOPPED", "next", "STOPPED"),
        ("LOST", None, "next", "LOST"),
        ("RESULT_LOST", "SUCCEEDED", "next", "RESULT_LOST"),
        ("ABANDONED", None, "next", "ABANDONED"),
    ],
)
def test_a_retry_decides_by_the_ledger_and_by_ray(
    head: FakeRayDashboard, task: Task, phase: str, on_ray: str | None, action: str, now: str
) -> None:
    attempt = left_behind(head, task, phase, on_ray)

    step = task.run(try_number=2).begin()

    assert posts(head) == {"submit": 1, "next": 1}.get(action, 0)
    assert task.phases == ([now, "submitted"] if action == "next" else [now])
    if action == "collect":
        assert step == Done(attempt.submission_id)
    else:
        assert isinstance(step, Wait)
        waits_for = Attempt.from_json(step.attempt).submission_id
        assert (waits_for == attempt.submission_id) is (action != "next")


@pytest.mark.parametrize("on_ray", [None, "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"])
def test_a_clear_always_makes_a_new_attempt_and_leaves_nothing_running(
    head: FakeRayDashboard, task: Task, on_ray: str | None
) -> None:
    old = left_behind(head, task, "submitted", on_ray).submission_id

    task.run(try_number=2, max_tries=3).begin()

    assert [name for name, job in head.jobs.items() if job.status in ("PENDING", "RUNNING") and name == old] == []
    ended = {None: "LOST", "PENDING": "STOPPED", "RUNNING": "STOPPED"}.get(on_ray, on_ray)
    assert task.phases == [ended, "submitted"]
    assert [attempt.generation for attempt in task.attempts] == [1, 2]


def test_what_was_to_be_stopped_is_not_adopted(head: FakeRayDashboard, task: Task) -> None:
    attempt = left_behind(head, task, "submitted", "RUNNING", stop_pending=True)

    task.run(try_number=2).begin()

    assert head.jobs[attempt.submission_id].status == "STOPPED"
    assert task.phases == ["STOPPED", "submitted"]


def test_what_is_past_its_deadline_is_not_adopted(head: FakeRayDashboard, task: Task) -> None:
    attempt = left_behind(head, task, "submitted", "RUNNING", deadline=1.0)

    task.run(try_number=2).begin()

    assert head.jobs[attempt.submission_id].status == "STOPPED"


def test_a_silent_cluster_forbids_a_new_attempt(head: FakeRayDashboard, task: Task) -> None:
    left_behind(head, task, "submitted", "RUNNING")
    task.places["ray_default"] = DEAD

    with pytest.raises(ClusterUnreachableError):
        task.run(try_number=2).begin()
    assert task.phases == ["submitted"]


@pytest.mark.parametrize("phase", ["intended", "submitted"])
def test_a_cluster_that_is_gone_took_its_job_with_it(head: FakeRayDashboard, task: Task, phase: str) -> None:
    left_behind(head, task, phase, "RUNNING")
    task.places["ray_default"] = DEAD
    task.backends = {"existing": GoneBackend(task.connections)}

    step = task.run(try_number=2).begin()

    assert isinstance(step, Wait)
    assert step.what == "cluster"
    assert task.phases == ["LOST", "intended"]


# A clear onto another cluster


def test_what_cannot_be_asked_is_abandoned_once_a_person_has_cleared_the_task(
    head: FakeRayDashboard, task: Task
) -> None:
    attempt = left_behind(head, task, "submitted", "RUNNING")
    task.places["ray_default"] = DEAD

    with FakeRayDashboard() as other:
        task.places["elsewhere"] = Transport(other.url, token=other.token)
        step = task.run(2, 3, target=lambda: ExistingCluster("elsewhere")).begin()

        assert isinstance(step, Wait)
        assert list(other.jobs) == [task.attempts[-1].submission_id]
    assert task.phases == ["ABANDONED", "submitted"]
    assert any(attempt.submission_id in line and "is abandoned" in line for line in task.log.lines)


def test_what_can_be_asked_is_stopped_where_it_was_once_the_task_has_moved(head: FakeRayDashboard, task: Task) -> None:
    attempt = left_behind(head, task, "submitted", "RUNNING")

    with FakeRayDashboard() as other:
        task.places["elsewhere"] = Transport(other.url, token=other.token)
        task.run(2, 3, target=lambda: ExistingCluster("elsewhere")).begin()
    assert head.jobs[attempt.submission_id].status == "STOPPED"
    assert task.phases == ["STOPPED", "submitted"]


# Submitting


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"status": 500, "times": 2},
        {"status": 503, "times": 2},
        {"drop": True, "times": 2},
        {"drop": True, "act_first": True},
        {"status": 500, "act_first": True},
    ],
    ids=str,
)
def test_whatever_happens_to_the_request_there_is_one_job(
    head: FakeRayDashboard, task: Task, fault: dict[str, Any]
) -> None:
    if fault:
        head.plan("POST", "^/api/jobs/$", **fault)

    task.run(job={"payload": {"config.json": b"{}"}}).begin()

    assert list(head.jobs) == [task.attempts[0].submission_id]
    # The payload, and our drivers.
    assert len(head.packages) == 2
    assert task.phases == ["submitted"]


def test_a_cluster_that_accepted_is_known_by_its_incarnation(head: FakeRayDashboard, task: Task) -> None:
    task.run().begin()

    assert task.attempts[0].accepted_on == head.session_name


def test_no_certainty_leaves_an_intent_that_the_next_try_goes_on_with(
    head: FakeRayDashboard, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.1)
    fault = head.plan("POST", "^/api/jobs/$", drop=True, times=None)
    with pytest.raises(ClusterUnreachableError):
        task.run().begin()
    assert task.phases == ["intended"]
    fault.cancel()

    task.run(try_number=2).begin()

    assert list(head.jobs) == [task.attempts[0].submission_id]
    assert task.phases == ["submitted"]


@pytest.mark.parametrize("max_tries", [0, 2])
def test_a_refused_job_is_no_job_whatever_tries_are_left(head: FakeRayDashboard, task: Task, max_tries: int) -> None:
    head.plan("POST", "^/api/jobs/$", status=400, body="no")

    with pytest.raises(ConfigurationError):
        task.run(max_tries=max_tries).begin()
    assert task.phases == ["LOST"]


# Stopping


def test_what_does_not_end_is_asked_again_until_it_does(head: FakeRayDashboard, task: Task) -> None:
    attempt = left_behind(head, task, "submitted", "PENDING")
    head.jobs[attempt.submission_id].unschedulable = True
    for max_tries in (3, 4):
        task.run(try_number=2, max_tries=max_tries).begin()
        assert task.attempts[0].stop_pending is True
    asked = len(head.requests_to("POST", f"/{attempt.submission_id}/stop$"))
    assert asked >= 2
    head.set_status(attempt.submission_id, "STOPPED")

    task.run(try_number=2, max_tries=5).begin()

    assert len(head.requests_to("POST", f"/{attempt.submission_id}/stop$")) == asked
    assert task.phases[0] == "STOPPED"
    assert task.attempts[0].stop_pending is False


def test_strays_are_the_live_jobs_of_this_task_that_the_ledger_does_not_know(
    head: FakeRayDashboard, task: Task
) -> None:
    mine = metadata_of(KEY, generation=1, attempt=1, try_number=1)
    head.add_job("stray", metadata=mine)
    head.add_job("ended", "SUCCEEDED", metadata=mine)
    head.add_job("another-deployments", metadata={**mine, "air_deployment": "there"})
    head.add_job("another-tasks", metadata={**mine, "air_task": "flights/manual__1/tune"})
    head.add_job("nobodys")

    # Its ledger has expired, or was deleted.
    task.run(try_number=2).begin()

    assert [name for name, job in head.jobs.items() if job.status == "STOPPED"] == ["stray"]


def test_strays_of_a_name_that_the_deployment_had_are_ours(head: FakeRayDashboard, task: Task) -> None:
    attempt = left_behind(head, task, "submitted", "FAILED")
    before = replace(KEY, deployment="before")
    task.change_last(key=asdict(before))
    head.add_job("stray", metadata=metadata_of(before, generation=1, attempt=2, try_number=1))

    task.run(try_number=2).begin()

    assert task.attempts[0].submission_id == attempt.submission_id
    assert head.jobs["stray"].status == "STOPPED"


@pytest.mark.parametrize(
    ("error", "status"),
    [(TaskReplacedError("another try has it"), "RUNNING"), (ConnectionError("the api-server is away"), "STOPPED")],
    ids=["replaced", "away"],
)
def test_a_last_try_that_wakes_late_leaves_alone_what_is_another_ones_now(
    head: FakeRayDashboard, task: Task, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    task.run(max_tries=0).begin()
    [submission_id] = head.jobs
    head.set_status(submission_id, "RUNNING")

    def refuse(*args: Any) -> None:
        raise error

    run = task.run(max_tries=0)
    monkeypatch.setattr(task.store, "set", refuse)
    with pytest.raises(type(error)):
        run.trigger_failed()

    assert head.jobs[submission_id].status == status
