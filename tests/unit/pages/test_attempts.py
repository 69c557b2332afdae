"""How far an attempt is, and where its time went."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.pages.attempts import LEFT_OPEN, NEXT_TRY, cluster_id
from airflow_provider_air.pages.documents import TaskFacts
from airflow_provider_air.pages.task_view import task_view
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts, history

RUNNING = {"submission_id": "air-1", "status": "RUNNING", "message": "epoch", "done": 1, "total": 3}


def phase(of: TaskFacts, *attempts: dict[str, Any], **stored: Any) -> str:
    """Say how far the task is."""
    said: str = task_view(documents(*attempts, of=of, **stored))["state"]["phase"]
    return said


@pytest.mark.parametrize(
    ("steps", "progress", "expected"),
    [
        ({"intended": 1.0}, {}, "waiting_cluster"),
        ({"intended": 1.0, "ready": 2.0}, {}, "waiting_room"),
        ({"intended": 1.0, "ready": 2.0, "sent": 3.0}, {}, "queued"),
        ({"intended": 1.0, "sent": 3.0, "submitted": 4.0}, {"status": "PENDING"}, "queued"),
        ({"intended": 1.0, "sent": 3.0, "submitted": 4.0}, {"status": "RUNNING"}, "running"),
        ({"intended": 1.0, "sent": 3.0, "submitted": 4.0}, {"status": "SUCCEEDED"}, "collecting"),
    ],
)
def test_an_open_attempt_is_as_far_as_its_steps_and_its_job(
    steps: dict[str, float], progress: dict[str, Any], expected: str
) -> None:
    stored = "submitted" if "submitted" in steps else "intended"
    told = {"submission_id": "air-1", **progress}
    assert phase(facts(state="deferred"), attempt(stored, steps=steps), progress=told) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("SUCCEEDED", "succeeded"), ("RESULT_LOST", "lost"), ("ABANDONED", "abandoned"), ("DETACHED", "detached")],
)
def test_an_ended_attempt_says_how(stored: str, expected: str) -> None:
    assert phase(facts(state="success"), attempt(stored)) == expected


def test_what_airflow_ended_while_it_ran_is_stopped_and_says_that_nobody_wrote_it_down() -> None:
    told = task_view(documents(attempt(), of=facts(state="failed"), progress=RUNNING))["state"]
    assert (told["phase"], told["error"]) == ("stopped", LEFT_OPEN)


def test_the_progress_of_an_earlier_job_is_not_taken_for_this_ones() -> None:
    assert phase(facts(), attempt(submission_id="air-2"), progress=RUNNING) == "queued"


def test_after_a_clear_the_next_try_has_not_begun() -> None:
    told = task_view(documents(attempt("FAILED", message="boom"), of=facts(state=None)))["state"]
    assert told["message"] == NEXT_TRY


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, "none"),
        ("queued", "none"),
        ("running", "running"),
        ("deferred", "running"),
        ("up_for_reschedule", "running"),
        ("up_for_retry", "up_for_retry"),
        ("success", "succeeded"),
        ("failed", "failed"),
        ("skipped", "skipped"),
        ("upstream_failed", "upstream_failed"),
    ],
)
def test_a_task_without_an_attempt_is_as_far_as_airflow_says(state: str | None, expected: str) -> None:
    assert phase(facts(state=state, operator="RayDeleteClusterOperator")) == expected


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        ("deferred", "PENDING", "queued"),
        ("deferred", "STOPPED", "stopped"),
        ("failed", "FAILED", "failed"),
        # It waited for no more than that.
        ("success", "RUNNING", "succeeded"),
    ],
)
def test_of_a_sensor_the_job_counts_while_it_waits(state: str, status: str, expected: str) -> None:
    progress = {"submission_id": "air-1", "status": status}
    assert phase(facts(state=state, operator="RayJobSensor"), progress=progress) == expected


@pytest.mark.parametrize("is_made", [True, False])
def test_a_create_task_shows_its_cluster(is_made: bool) -> None:
    of = facts(state="success", operator="RayCreateClusterOperator")
    told = task_view(documents(of=of, result={**CLUSTER, "created": is_made}))
    assert (told["cluster"]["name"], told["cluster"]["conn_id"]) == ("ray_default", "ray_default")
    # A result of the author's own names none.
    assert "cluster" not in task_view(documents(of=of, result=CLUSTER))


def test_the_message_that_was_last_stays_once_the_progress_is_gone() -> None:
    kept = history([{"kind": "progress", "message": "epoch 3", "done": 3, "total": 3}])
    told = task_view(documents(attempt("SUCCEEDED"), of=facts(state="success"), kept=kept))["state"]
    assert (told["message"], told["done"], told["error"]) == ("epoch 3", 3, None)


def test_time_is_told_by_parts() -> None:
    steps = {"intended": 0.0, "cluster": 1.0, "ready": 5.0, "sent": 7.0, "submitted": 7.5, "running": 9.0}
    ended = {**steps, "ended": 20.0, "collected": 21.0}
    told = task_view(documents(attempt("SUCCEEDED", steps=ended, limit=2), of=facts(state="success")))["timeline"]
    assert [(part["name"], part["from"], part["to"]) for part in told] == [
        ("cluster", 1.0, 5.0),
        ("room", 5.0, 7.0),
        ("queue", 7.0, 9.0),
        ("run", 9.0, 20.0),
        ("collect", 20.0, 21.0),
    ]


def test_what_goes_on_has_no_end() -> None:
    told = task_view(documents(attempt(), progress={**RUNNING, "running_at": 25.0}))["timeline"]
    assert [(part["name"], part["to"]) for part in told] == [("cluster", 20.0), ("queue", 25.0), ("run", None)]


def test_an_older_ledger_that_knows_no_begin_shows_the_whole_as_the_run() -> None:
    steps = {"intended": 1.0, "sent": 3.0, "submitted": 4.0, "ended": 9.0}
    told = task_view(documents(attempt("SUCCEEDED", steps=steps), of=facts(state="success")))["timeline"]
    assert [(part["name"], part["from"], part["to"]) for part in told] == [("cluster", 1.0, 3.0), ("run", 3.0, 9.0)]


def test_an_earlier_try_shows_its_own_attempt() -> None:
    first, second = attempt("FAILED", "air-1", message="boom"), attempt("SUCCEEDED", "air-2", try_number=2)
    of = facts(state="failed", try_number=1, last_try=2)
    told = task_view(documents(first, second, of=of, progress={**RUNNING, "submission_id": "air-2"}, result=5))
    assert (told["state"]["phase"], told["state"]["error"]) == ("failed", "boom")
    assert "result" not in told
    assert [row["is_current"] for row in told["attempts"]] == [True, False]


@pytest.mark.parametrize(
    ("stored", "fields", "state", "expected"),
    [
        ("submitted", {}, "deferred", 2),
        # It has not begun yet, or what it finds is being stopped.
        ("submitted", {}, "queued", None),
        ("submitted", {"stop_pending": True}, "running", None),
        # It collects what ended before it began, or ended while it waited.
        ("SUCCEEDED", {"steps": {"ended": 50.0, "collected": 120.0}}, "running", 2),
        ("FAILED", {"steps": {"ended": 150.0}}, "failed", 2),
        ("SUCCEEDED", {"steps": {"ended": 50.0, "collected": 60.0}}, "success", 2),
        # It is to begin the next one.
        ("FAILED", {"steps": {"ended": 50.0}}, "running", None),
        ("SUCCEEDED", {"steps": {"ended": 50.0, "collected": 60.0}}, "running", None),
    ],
)
def test_an_attempt_says_which_later_try_has_taken_it_over(
    stored: str, fields: dict[str, Any], state: str, expected: int | None
) -> None:
    of = facts(state=state, try_number=2, last_try=2, started_at=100.0)
    (row,) = task_view(documents(attempt(stored, **fields), of=of))["attempts"]
    assert (row["try_number"], row["taken_over_by"]) == (1, expected)
    first = task_view(documents(attempt(stored, **fields), of=facts(state="failed", last_try=2)))["attempts"]
    assert first[0]["taken_over_by"] is None


def test_of_a_cluster_only_what_is_for_people_is_told() -> None:
    ref = {**CLUSTER, "details": {"ray_conn_id": "r", "host": "10.0.0.1", "token": "canary"}}
    seen = {"name": "ray_default", "resources": {"CPU": {"used": 1, "total": 4}}, "nodes": [{"id": "n", "x": "canary"}]}
    live = {"version": 1, "submission_id": "air-1", "cluster": seen}
    told = task_view(documents(attempt(cluster=ref), live=live))["cluster"]
    assert (told["conn_id"], told["namespace"]) == ("r", None)
    assert told["resources"] == {"CPU": {"used": 1, "total": 4}}
    assert "canary" not in str(told)
    assert "10.0.0.1" not in str(told)


PLACE = {"kubernetes_conn_id": "k8s", "namespace": "team-a", "kind": "RayCluster"}


@pytest.mark.parametrize(
    ("details", "more", "is_same"),
    [
        (PLACE, {"owned": True, "uid": "u"}, True),
        ({**PLACE, "reach": "forward", "dashboard_url": "https://ray/"}, {}, True),
        ({**PLACE, "namespace": "team-b"}, {}, False),
        ({**PLACE, "kubernetes_conn_id": "other"}, {}, False),
        (PLACE, {"name": "other"}, False),
        (PLACE, {"backend": "other"}, False),
    ],
)
def test_a_cluster_is_known_by_where_it_is_not_by_its_name_alone(
    details: dict[str, str], more: dict[str, Any], *, is_same: bool
) -> None:
    ref = {"backend": "kuberay", "name": "shared"}
    assert (cluster_id({**ref, "details": details, **more}) == cluster_id({**ref, "details": PLACE})) is is_same


@pytest.mark.parametrize("odd", [None, "x", {}, {"details": 5}, {"name": ["\ud800"], "details": {"a": float("nan")}}])
def test_what_names_no_cluster_is_known_by_something_too(odd: Any) -> None:
    assert cluster_id(odd) == cluster_id(odd)
