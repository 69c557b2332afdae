"""Clusters over all DAGs: who uses them, what is stuck, and what a clean-up would take."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.pages.clusters_view import clusters_view
from airflow_provider_air.pages.run_view import Told
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts

RUNS = {("d", "r"): "running"}
NOW = 10_000.0


def view(*told: Any, runs: dict[tuple[str, str], str] | None = None) -> dict[str, Any]:
    """Give the view of some task instances, each with the summary of its history."""
    return clusters_view(told, runs or RUNS, NOW, 0)


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
