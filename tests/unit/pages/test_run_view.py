"""A DAG run's Ray tasks, and the clusters that they shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_air.pages.documents import TaskDocuments
from airflow_provider_air.pages.run_view import run_view
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts

RUN = {"dag_id": "d", "run_id": "r", "state": "running"}


def task(name: str, *attempts: dict[str, Any], **fields: Any) -> TaskDocuments:
    """Give the documents of one task of the run."""
    return documents(*attempts, of=replace(facts(**fields), task_id=name))


def test_tasks_share_a_cluster_and_each_own_one_counts_its_hours() -> None:
    own = {**CLUSTER, "name": "own-1", "owned": True}
    told = [
        (task("a", attempt()), {"submission_id": "air-1", "cpu_hours": 3.0}),
        (task("b", attempt()), {}),
        (task("c", attempt("SUCCEEDED", cluster=own)), {"submission_id": "air-1", "cpu_hours": 2.5, "gpu_hours": 1.0}),
        (task("bash", is_ours=False), {}),
    ]
    view = run_view(RUN, told, 0)
    assert [row["task_id"] for row in view["tasks"]] == ["a", "b", "c"]
    assert [(cluster["name"], cluster["tasks"]) for cluster in view["clusters"]] == [
        ("ray_default", ["a", "b"]),
        ("own-1", ["c"]),
    ]
    # Of a shared cluster nobody can say whose time it was.
    assert [row["cpu_hours"] for row in view["tasks"]] == [None, None, 2.5]
    assert (view["cpu_hours"], view["gpu_hours"]) == (2.5, 1.0)


def test_the_summary_of_an_earlier_attempt_does_not_count() -> None:
    own = {**CLUSTER, "owned": True}
    told = [(task("a", attempt(cluster=own)), {"submission_id": "air-0", "cpu_hours": 3.0})]
    assert run_view(RUN, told, 0)["cpu_hours"] is None


def test_the_later_look_at_a_cluster_counts() -> None:
    seen = [
        {"submission_id": "air-1", "cluster": {"seen_at": at, "resources": {"CPU": {"used": at, "total": 4}}}}
        for at in (5.0, 9.0, 7.0)
    ]
    told = [(task(f"t{n}", attempt("SUCCEEDED")), summary) for n, summary in enumerate(seen)]
    (cluster,) = run_view(RUN, told, 0)["clusters"]
    assert (cluster["seen_at"], cluster["resources"]["CPU"]["used"]) == (9.0, 9.0)
    assert cluster["tasks"] == ["t0", "t1", "t2"]


def test_when_a_job_began_to_run_is_known_while_it_does() -> None:
    progress = {"submission_id": "air-1", "running_at": 30.0}
    view = run_view(RUN, [(documents(attempt(), progress=progress), {})], 0)
    (row,) = view["tasks"]
    assert row["timeline"][-1] == {"name": "run", "from": 30.0, "to": None}
