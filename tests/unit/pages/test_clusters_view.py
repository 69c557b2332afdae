"""Clusters over all DAGs: who uses them, what is stuck, and what a clean-up would take."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from airflow_provider_air.pages.cluster_words import ClusterNote
from airflow_provider_air.pages.clusters_view import EXPIRED, GONE, OTHERS, OWN, clusters_view, why_not_asked
from airflow_provider_air.pages.run_view import Told
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts

RUNS = {("d", "r"): "running"}
NOW = 10_000.0


SHARED = {"backend": "local", "name": "shared", "details": {}, "owned": False}


def view(
    *told: Any,
    runs: dict[tuple[str, str], str] | None = None,
    notes: tuple[ClusterNote, ...] = (),
    left: Any = (),
    changeable: Any = ("d",),
) -> dict[str, Any]:
    """Give the view of some task instances, each with the summary of its history."""
    return clusters_view(told, runs or RUNS, NOW, 0, notes, left, changeable.__contains__)


def note(task_id: str = "create", at: float = 500.0, **more: Any) -> ClusterNote:
    """Give what a task has noted of a cluster."""
    told = {"version": 1, "cluster": SHARED, "created": True, "dashboard_url": "https://ray/", **more}
    return ClusterNote("d", "r", task_id, -1, told, at, is_deleted=task_id == "delete")


def test_a_cluster_says_who_uses_it() -> None:
    told = view((documents(attempt()), {}), (documents(attempt("SUCCEEDED"), of=facts(state="success")), {}))
    (cluster,) = told["clusters"]
    assert [use["phase"] for use in cluster["used_by"]] == ["queued"]
    assert len(told["jobs"]) == 2


def test_what_waits_too_long_is_stuck_and_says_why() -> None:
    waiting = {"submission_id": "air-1", "waiting_for": "4 GPUs", "waiting_since": "1970-01-01T01:00:00+00:00"}
    late = documents(attempt("intended", steps={"intended": NOW - 5000}), progress=waiting)
    soon = documents(attempt("intended", steps={"intended": NOW - 10}))
    (stuck,) = view((late, {}), (soon, {}))["stuck"]
    assert (stuck["why"], stuck["since"], stuck["what"]) == ("4 GPUs", 3600.0, "waits for its cluster")


def test_a_long_run_is_not_stuck() -> None:
    progress = {"submission_id": "air-1", "status": "RUNNING"}
    assert view((documents(attempt(steps={"sent": 1.0}), progress=progress), {}))["stuck"] == []


def test_a_clean_up_takes_what_nobody_will() -> None:
    own = {**CLUSTER, "name": "own-1", "owned": True}
    told: Told = (documents(attempt("FAILED", cluster=own, cluster_kept=True), of=facts(state="failed")), {})
    assert view(told)["cleanup"] == []
    (left,) = view(told, runs={("d", "r"): "failed"})["cleanup"]
    assert (left["kind"], left["name"], left["why"]) == ("cluster", "own-1", "its DAG run is over")
    gone: Told = (documents(attempt("FAILED", cluster=own, cluster_left=True), of=facts(state="failed")), {})
    assert view(gone, runs={("d", "r"): "failed"})["cleanup"] == []


def test_a_job_that_nobody_watches_any_more_is_left() -> None:
    told = view((documents(attempt(), of=facts(state="failed")), {}))
    assert [(left["kind"], left["name"]) for left in told["cleanup"]] == [("job", "air-1")]


def test_a_cluster_that_went_with_its_task_is_not_shown() -> None:
    own = {**CLUSTER, "name": "own-1", "owned": True}
    over = facts(state="success")
    gone: Told = (documents(attempt("SUCCEEDED", cluster=own, cluster_left=True), of=over), {})
    kept: Told = (documents(attempt("FAILED", cluster={**own, "name": "own-2"}, cluster_kept=True), of=over), {})
    told = view(gone, kept)
    assert [cluster["name"] for cluster in told["clusters"]] == ["own-2"]
    assert len(told["jobs"]) == 2


def test_a_cluster_that_no_task_has_used_yet_is_shown_with_who_made_it() -> None:
    (cluster,) = view(notes=(note(),))["clusters"]
    assert (cluster["name"], cluster["is_own"], cluster["used_by"]) == ("shared", False, [])
    assert cluster["dashboard_url"] == "https://ray/"
    made_by = cluster["made_by"]
    assert made_by == {"dag_id": "d", "run_id": "r", "task_id": "create", "map_index": -1, "at": 500.0, "created": True}


def test_a_cluster_that_is_made_and_used_is_one() -> None:
    user: Told = (documents(attempt(cluster=SHARED)), {})
    (cluster,) = view(user, notes=(note(),))["clusters"]
    assert (cluster["dashboard_url"], len(cluster["used_by"])) == ("https://ray/", 1)
    assert cluster["made_by"]["task_id"] == "create"


def test_clusters_of_one_name_are_told_apart_by_where_they_are() -> None:
    refs = [
        {"backend": "kuberay", "name": "shared", "details": {"kubernetes_conn_id": "k8s", "namespace": namespace}}
        for namespace in ("team-a", "team-b")
    ]
    one, two = (note(cluster=ref, dashboard_url=f"https://{n}/") for n, ref in enumerate(refs))
    user: Told = (documents(attempt(cluster=refs[0])), {})
    shown = view(user, notes=(two, one))["clusters"]
    told = [(cluster["namespace"], cluster["dashboard_url"], len(cluster["used_by"])) for cluster in shown]
    assert told == [("team-a", "https://0/", 1), ("team-b", "https://1/", 0)]
    gone = note("delete", 700.0, cluster=refs[1])
    assert [cluster["namespace"] for cluster in view(notes=(gone, two, one))["clusters"]] == ["team-a"]


def test_a_cluster_that_was_deleted_is_not_shown_until_one_of_its_name_is_made() -> None:
    user: Told = (documents(attempt("SUCCEEDED", cluster=SHARED), of=facts(state="success", started_at=600.0)), {})
    gone = view(user, notes=(note("delete", 700.0), note()))
    assert (gone["clusters"], gone["cleanup"]) == ([], [])
    again = view(user, notes=(note(at=800.0), note("delete", 700.0), note()))
    assert [cluster["made_by"]["at"] for cluster in again["clusters"]] == [800.0]


def test_a_cluster_whose_deletion_failed_is_left() -> None:
    notes = (note(), note("other", cluster={**SHARED, "name": "found"}, created=False))
    (left,) = view(notes=notes, left={("d", "r")})["cleanup"]
    assert (left["name"], left["why"]) == ("shared", "the task that was to delete it has failed")
    assert view(notes=notes)["cleanup"] == []
    user: Told = (documents(attempt(cluster=SHARED)), {})
    assert view(user, notes=notes, left={("d", "r")})["cleanup"] == []


def test_a_note_that_names_no_cluster_is_passed_over() -> None:
    assert view(notes=(note(cluster=None), note(cluster="shared")))["clusters"] == []


def test_a_cluster_has_its_dashboard_whoever_tells_of_it() -> None:
    told = {"ray_dashboard_url": "https://ray/"}
    first: Told = (documents(attempt(cluster=SHARED), links=told), {})
    later = documents(attempt(cluster=SHARED), live={"submission_id": "air-1", "cluster": {"seen_at": 50.0}})
    (cluster,) = view(first, (later, {}))["clusters"]
    assert (cluster["dashboard_url"], cluster["seen_at"]) == ("https://ray/", 50.0)


def test_until_when_a_cluster_lives_is_known_also_where_the_last_look_does_not_tell() -> None:
    looks = [{"seen_at": 9.0, "expires_at": 90.0}, {"seen_at": 10.0}, {"seen_at": 5.0, "expires_at": 50.0}]
    told: list[Told] = [
        (documents(attempt(cluster=SHARED), live={"submission_id": "air-1", "cluster": look}), {}) for look in looks
    ]
    for order in permutations(told[:2]):
        (cluster,) = view(*order)["clusters"]
        assert (cluster["seen_at"], cluster["expires_at"]) == (10.0, 90.0)
    for order in permutations([told[0], told[2]]):
        (cluster,) = view(*order)["clusters"]
        assert (cluster["seen_at"], cluster["expires_at"]) == (9.0, 90.0)


def uses(task_id: str, state: str = "deferred", expires_at: float | None = NOW + 60, **cluster: Any) -> Told:
    """Give a task that uses a cluster, which was seen."""
    of = replace(facts(state=state), task_id=task_id)
    phase = "SUCCEEDED" if state == "success" else "submitted"
    made = documents(attempt(phase, cluster={**SHARED, **cluster}), of=of)
    seen = {"name": cluster.get("name", "shared"), "seen_at": 1.0, "expires_at": expires_at}
    return made, {"submission_id": "air-1", "cluster": seen}


def asked_by(*told: Told, **more: Any) -> str | None:
    (cluster,) = view(*told, **more)["clusters"]
    assert not {"seen_by", "maker"} & cluster.keys()
    return None if cluster["asks"] is None else str(cluster["asks"]["task_id"])


def test_of_a_shared_cluster_something_is_asked_by_who_made_it_else_by_who_uses_it_else_by_who_used_it() -> None:
    one, two = uses("one", "success"), uses("two")
    assert asked_by(one) == "one"
    assert asked_by(one, two) == "two"
    assert asked_by(one, two, notes=(note(),)) == "create"
    # Found by a later one: the request is looked for where it was made.
    assert asked_by(one, two, notes=(note("finds", 600.0, created=False), note())) == "create"
    assert asked_by(one, two, notes=(note("finds", 600.0, created=False),)) == "two"


def test_of_one_that_nobody_uses_it_is_asked_by_who_made_it() -> None:
    assert asked_by(notes=(note(),)) == "create"
    assert asked_by(notes=(note("finds", created=False),)) is None


def test_nothing_is_asked_of_what_is_a_tasks_own_or_others_or_over_or_of_another_dag() -> None:
    assert asked_by(uses("one", owned=True)) is None
    assert asked_by(uses("one", expires_at=None)) is None
    assert asked_by(uses("one", expires_at=NOW - 1)) is None
    assert asked_by(uses("one"), changeable=("e",)) is None


@pytest.mark.parametrize(
    ("more", "why_not"),
    [
        ({"expires_at": NOW + 1}, None),
        ({"maker": {"dag_id": "d"}}, None),
        ({"maker": {"dag_id": "d"}, "expires_at": NOW}, EXPIRED),
        ({}, OTHERS),
        ({"is_own": True, "expires_at": NOW + 1}, OWN),
        ({"is_gone": True, "expires_at": NOW + 1}, GONE),
    ],
    ids=str,
)
def test_why_nothing_is_asked_of_a_cluster_is_said(more: dict[str, Any], why_not: str | None) -> None:
    assert why_not_asked({"is_own": False, "expires_at": None, **more}, NOW) == why_not
    assert why_not_asked(None, NOW) == GONE
