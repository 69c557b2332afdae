"""A DAG run's Ray tasks, and the clusters that they shared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_air.pages.documents import TaskDocuments
from airflow_provider_air.pages.run_view import run_view
from airflow_provider_air.pages.summary import summary_of
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts

RUN = {"dag_id": "d", "run_id": "r", "state": "running"}


def task(name: str, *attempts: dict[str, Any], **fields: Any) -> TaskDocuments:
    """Give the documents of one task of the run."""
    return documents(*attempts, of=replace(facts(**fields), task_id=name))


def had(since: float, until: float, cpus: float = 4.0, gpus: float = 0.0, submission_id: str = "air-1") -> Any:
    """Give the summary of an attempt that had a cluster for some hours."""
    steps = {"ready": since * 3600, "ended": until * 3600}
    resources = [[since * 3600 + 5, {"CPU total": cpus, "GPU total": gpus}]]
    return summary_of({"submission_id": submission_id, "steps": steps, "resources": resources})


def test_tasks_share_a_cluster_whose_hours_count_once_for_the_run() -> None:
    own = {**CLUSTER, "name": "own-1", "owned": True}
    told = [
        (task("a", attempt()), had(1, 3)),
        (task("b", attempt()), had(2, 4)),
        (task("c", attempt("SUCCEEDED", cluster=own)), had(1, 2, cpus=2.5, gpus=1)),
        (task("bash", is_ours=False), {}),
    ]
    view = run_view(RUN, told, 0)
    assert [row["task_id"] for row in view["tasks"]] == ["a", "b", "c"]
    clusters = [(cluster["name"], cluster["tasks"], cluster["cpu_hours"]) for cluster in view["clusters"]]
    assert clusters == [("ray_default", ["a", "b"], 12.0), ("own-1", ["c"], 2.5)]
    # Of a shared cluster nobody can say which task's time it was.
    assert [row["cpu_hours"] for row in view["tasks"]] == [None, None, 2.5]
    assert (view["cpu_hours"], view["gpu_hours"]) == (14.5, 1.0)


def test_a_shared_cluster_is_not_used_while_a_job_waits_for_room_there() -> None:
    steps = {"intended": 0.0, "ready": 3600.0, "sent": 3 * 3600.0}
    waited = attempt("SUCCEEDED", steps=steps, limit=1)
    assert run_view(RUN, [(task("a", waited), had(1, 4))], 0)["cpu_hours"] == 4.0
    # A cluster of the task's own is there for nobody else meanwhile.
    waited = attempt("SUCCEEDED", steps=steps, cluster={**CLUSTER, "owned": True})
    assert run_view(RUN, [(task("a", waited), had(1, 4))], 0)["cpu_hours"] == 12.0


def test_the_summary_of_an_earlier_attempt_does_not_count() -> None:
    own = {**CLUSTER, "owned": True}
    told = [(task("a", attempt(cluster=own)), had(1, 2, submission_id="air-0"))]
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


def test_clusters_of_one_name_are_told_apart_by_where_they_are() -> None:
    refs = [{**CLUSTER, "backend": "local", "details": {"host": host}} for host in ("a", "b")]
    told = [(task(f"t{n}", attempt("SUCCEEDED", cluster=ref)), had(1, 2)) for n, ref in enumerate(refs)]
    view = run_view(RUN, told, 0)
    assert [cluster["tasks"] for cluster in view["clusters"]] == [["t0"], ["t1"]]
    assert view["cpu_hours"] == 8.0


def test_when_a_job_began_to_run_is_known_while_it_does() -> None:
    progress = {"submission_id": "air-1", "running_at": 30.0}
    view = run_view(RUN, [(documents(attempt(), progress=progress), {})], 0)
    (row,) = view["tasks"]
    assert row["timeline"][-1] == {"name": "run", "from": 30.0, "to": None}
