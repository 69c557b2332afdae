"""Lists of many task instances: a run's, over all DAGs, and a task's over its runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.airflow_site import NOW, AirflowSite

OWN: dict[str, Any] = {"backend": "local", "name": "own-1", "details": {}, "owned": True}


def ledger(phase: str = "SUCCEEDED", submission_id: str = "air-1", **fields: Any) -> dict[str, Any]:
    """Give a ledger's stored form."""
    steps = {"intended": 1.0, "ready": 2.0, "sent": 3.0, "running": 4.0, "ended": 7204.0, "collected": 7205.0}
    known = {"submission_id": submission_id, "generation": 1, "number": 1, "phase": phase, "workload": "train"}
    return {"version": 1, "attempts": [{**known, "steps": steps, "cluster": OWN, **fields}]}


def kept(submission_id: str = "air-1", **series: list[list[float]]) -> dict[str, Any]:
    """Give a history's stored form."""
    resources = [[4.0, {"CPU total": 4.0}]]
    steps = {"ready": 2.0, "ended": 7202.0}
    return {"version": 1, "submission_id": submission_id, "series": series, "resources": resources, "steps": steps}


def test_a_run_has_all_its_ray_tasks(site: AirflowSite) -> None:
    first = site.add_task("run", task_id="train", state="success")
    first.set("air_ledger", ledger())
    first.keep("air_history", kept())
    live = site.add_task("run", task_id="tune", operator="@task.ray", map_index=3)
    live.push("progress", {"submission_id": "air-2", "status": "RUNNING"})
    live.set("air_ledger", ledger("submitted", "air-2", cluster={**OWN, "name": "shared", "owned": False}))
    seen = {"name": "shared", "seen_at": 5.0, "resources": {"CPU": {"used": 1, "total": 4}}}
    live.push("air_history", {"version": 1, "submission_id": "air-2", "cluster": seen})
    site.add_task("run", task_id="bash", operator="BashOperator")
    view = site.client("viewer").get("/air/api/run/run/r").json()
    rows = {row["task_id"]: row for row in view["tasks"]}
    assert set(rows) == {"train", "tune"}
    assert rows["train"]["cpu_hours"] == view["cpu_hours"] == 8.0
    assert (rows["tune"]["phase"], rows["tune"]["cpu_hours"], rows["tune"]["map_index"]) == ("running", None, 3)
    assert [part["name"] for part in rows["train"]["timeline"]] == ["cluster", "queue", "run", "collect"]
    clusters = {cluster["name"]: cluster for cluster in view["clusters"]}
    assert clusters["shared"]["resources"] == {"CPU": {"used": 1, "total": 4}}
    assert clusters["shared"]["tasks"] == ["tune[3]"]
    client, known = site.client("viewer"), {"known": view["hash"]}
    assert set(client.get("/air/api/run/run/r", params=known).json()) == {"version", "now", "hash"}
    live.push("progress", {"submission_id": "air-2", "status": "RUNNING", "message": "half"})
    assert len(client.get("/air/api/run/run/r", params=known).json()["tasks"]) == 2


def test_thousands_of_other_tasks_hide_no_ray_task_of_a_run(site: AirflowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.plugin.listing.MOST_TASKS", 4)
    for number in range(6):
        site.add_task("large", task_id="sql", operator="SQLExecuteQueryOperator", map_index=number)
    # Somebody else's XCom of this name.
    site.add_task("large", task_id="etl", operator="BashOperator").push("progress", {"rows": 5})
    later = NOW + timedelta(hours=1)
    site.add_task("large", task_id="train", start_date=later, state=None)
    site.add_task("large", task_id="custom", operator="MyTrain", start_date=later).set("air_ledger", ledger())
    site.add_task("large", task_id="by_name", operator="X", custom_operator_name="@task.ray", start_date=later)
    sensor = site.add_task("large", task_id="sensor", operator="MySensor", start_date=later)
    sensor.push("progress", {"submission_id": "air-9", "status": "RUNNING"})
    view = site.client("viewer").get("/air/api/run/large/r").json()
    assert {row["task_id"] for row in view["tasks"]} == {"train", "custom", "by_name", "sensor"}
    assert view["cut"] == 0
    site.add_task("large", task_id="tune", start_date=later)
    site.add_task("large", task_id="tune", start_date=later, map_index=1)
    view = site.client("viewer").get("/air/api/run/large/r").json()
    assert (len(view["tasks"]), view["cut"]) == (4, 2)


def test_a_history_with_numbers_beyond_all_numbers_costs_nobody_a_page(site: AirflowSite) -> None:
    damaged = {
        "resources": [[1.0, {"CPU total": 1e308}], [1e5, {"CPU total": 1e308}]],
        "series": {"loss": [[1, 2.0]]},
        "cut": {"points": float("inf"), "series": "\ud800"},
        "batch": {"rows": 1, "total_rows": 1e300, "rows_per_second": 1e-10},
    }
    task = site.add_task("damaged", state="success")
    task.set("air_ledger", ledger(cluster={**OWN, "name": "damaged-1"}))
    task.keep("air_history", {**kept(), **damaged})
    client = site.client("viewer")
    for path in ("api/clusters", "api/run/damaged/r", "api/task/damaged/r/t/-1", "report/damaged/r/t/-1"):
        assert client.get(f"/air/{path}").status_code == 200, path
    assert client.get("/air/api/run/damaged/r").json()["cpu_hours"] is None


def test_what_is_not_read_yet_comes_with_the_next_requests(site: AirflowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.plugin.listing.MOST_SUMMARIES", 2)
    for number in range(5):
        task = site.add_task("unread", task_id="train", state="success", map_index=number)
        own = {**OWN, "name": f"own-{number}"}
        task.set("air_ledger", ledger(cluster=own))
        task.keep("air_history", kept())
    client = site.client("viewer")
    views = [client.get("/air/api/run/unread/r").json() for _ in range(4)]
    assert [(view["unread"], view["cpu_hours"]) for view in views] == [(3, 16.0), (1, 32.0), (0, 40.0), (0, 40.0)]
    assert {(view["cut"], len(view["tasks"])) for view in views} == {(0, 5)}
    for number in range(4):
        task = site.add_task("unread", f"r{number}", task_id="loss", state="success")
        task.keep("air_history", kept(loss=[[1, number]]))
    compared = [client.get("/air/api/compare/unread/loss/-1").json() for _ in range(2)]
    assert [(view["unread"], sum(bool(run["values"]) for run in view["runs"])) for view in compared] == [(2, 2), (0, 4)]


def test_a_run_that_is_not_there_is_not_found(site: AirflowSite) -> None:
    assert site.client("viewer").get("/air/api/run/run/nothing").status_code == 404


def test_all_dags_have_one_page(site: AirflowSite) -> None:
    waiting = site.add_task("wide", task_id="waits", state="deferred")
    steps = {"intended": 1.0}
    waiting.set("air_ledger", ledger("intended", "air-3", steps=steps, cluster={**OWN, "name": "later"}))
    ended = site.add_task("wide", "r2", task_id="ended", state="failed")
    ended.set("air_ledger", ledger("submitted", "air-4", cluster={**OWN, "name": "left"}))
    view = site.client("viewer").get("/air/api/clusters").json()
    known = site.client("viewer").get("/air/api/clusters", params={"known": view["hash"]}).json()
    assert set(known) == {"version", "now", "hash"}
    assert {cluster["name"] for cluster in view["clusters"]} >= {"later", "left"}
    assert {(stuck["dag_id"], stuck["task_id"]) for stuck in view["stuck"]} >= {("wide", "waits")}
    assert "air-4" in {left["name"] for left in view["cleanup"]}


def test_a_cluster_that_a_task_has_made_is_there_until_a_task_has_deleted_it(site: AirflowSite) -> None:
    made, torn = ({**OWN, "name": name, "owned": False} for name in ("made-1", "torn-1"))
    for run_id, ref in (("r1", made), ("r2", torn)):
        create = site.add_task("group", run_id, "create", state="success", operator="RayCreateClusterOperator")
        told = {"version": 1, "cluster": ref, "created": True, "dashboard_url": f"https://{ref['name']}/"}
        create.push("air_cluster_made", told)
        state = "failed" if ref is made else "success"
        delete = site.add_task("group", run_id, "delete", state=state, operator="RayDeleteClusterOperator")
        if ref is torn:
            delete.push("air_cluster_deleted", {"version": 1, "cluster": ref})
    user = site.add_task("group", "r1", "train", state="running")
    user.set("air_ledger", ledger("submitted", "air-5", cluster={**made, "name": "seen-1"}))
    user.push("ray_dashboard_url", "https://seen-1/")
    view = site.client("viewer").get("/air/api/clusters").json()
    clusters = {cluster["name"]: cluster for cluster in view["clusters"]}
    assert clusters["made-1"]["made_by"]["task_id"] == "create"
    assert clusters["made-1"]["dashboard_url"] == "https://made-1/"
    assert clusters["seen-1"]["dashboard_url"] == "https://seen-1/"
    assert "torn-1" not in clusters
    (left,) = [left for left in view["cleanup"] if left["name"] in ("made-1", "torn-1")]
    assert (left["name"], left["why"]) == ("made-1", "the task that was to delete it has failed")


def test_a_cluster_whose_deletion_may_be_yet_to_come_is_not_left(site: AirflowSite) -> None:
    create = site.add_task("several", task_id="create", state="success", operator="RayCreateClusterOperator")
    create.push("air_cluster_made", {"version": 1, "cluster": {**OWN, "name": "several-1"}, "created": True})
    site.add_task("several", task_id="first.delete", state="upstream_failed", operator="RayDeleteClusterOperator")
    second = site.add_task("several", task_id="second.delete", state=None, operator="RayDeleteClusterOperator")

    def left() -> list[str]:
        found = site.client("viewer").get("/air/api/clusters").json()["cleanup"]
        return [item["name"] for item in found if item["name"] == "several-1"]

    assert left() == []
    second.change(state="deferred")
    assert left() == []
    second.change(state="success")
    assert left() == ["several-1"]


def test_a_task_is_held_against_its_earlier_runs(site: AirflowSite) -> None:
    for number in range(40):
        at = NOW + timedelta(days=number)
        task = site.add_task("over", f"r{number}", run_at=at, state="success")
        task.set("air_ledger", ledger())
        if number % 2:
            task.push("metrics", {"loss": number / 10, "note": "text"})
        elif number > 35:
            task.keep("air_history", kept(loss=[[1, 9.0], [2, number / 10]]))
    client = site.client("viewer")
    view = client.get("/air/api/compare/over/t/{MAP_INDEX}", params={"run": ["r38", "r2"], "metric": "loss"}).json()
    runs = view["runs"]
    assert [run["run_id"] for run in runs[:3]] == ["r39", "r38", "r37"]
    assert len(runs) == 30
    assert runs[0]["values"] == {"loss": 3.9}
    assert runs[1]["values"] == {"loss": 3.8}
    assert runs[1]["series"] == {"loss": {"x": [1, 2], "y": [9.0, 3.8]}}
    assert view["metrics"] == ["loss"]
    first = client.get("/air/api/compare/over/t/-1").json()["runs"]
    assert [run["run_id"] for run in first if run["series"]] == ["r38", "r36"]


def test_the_run_that_is_looked_at_is_always_among_those_compared(site: AirflowSite) -> None:
    for number in range(45):
        task = site.add_task("around", f"r{number}", run_at=NOW + timedelta(days=number), state="success")
        task.set("air_ledger", ledger())
        if number in (3, 40, 41, 42, 43):
            task.keep("air_history", kept(loss=[[1, 9.0], [2, number / 10]]))
    client = site.client("viewer")
    runs = client.get("/air/api/compare/around/t/-1", params={"this": "r3"}).json()["runs"]
    assert [run["run_id"] for run in runs] == [f"r{number}" for number in range(12, -1, -1)]
    assert [run["run_id"] for run in runs if run["series"]] == ["r3"]
    assert [run["run_id"] for run in runs if run["values"]] == ["r3"]
    runs = client.get("/air/api/compare/around/t/-1", params={"this": "r40"}).json()["runs"]
    assert (len(runs), runs[0]["run_id"]) == (30, "r44")
    assert [run["run_id"] for run in runs if run["series"]] == ["r43", "r42", "r40"]
    picked = client.get("/air/api/compare/around/t/-1", params={"this": "r40", "run": ["r42"]}).json()["runs"]
    assert [run["run_id"] for run in picked if run["series"]] == ["r42"]
    gone = client.get("/air/api/compare/around/t/-1", params={"this": "nothing"}).json()["runs"]
    assert [run["run_id"] for run in gone[:2]] == ["r44", "r43"]


def test_a_run_that_lives_is_compared_as_it_is_now(site: AirflowSite) -> None:
    for number in range(4):
        task = site.add_task("living", f"r{number}", run_at=NOW + timedelta(days=number), state="success")
        task.set("air_ledger", ledger())
        task.keep("air_history", kept(loss=[[1, 9.0], [2, number / 10]]))
    lives = site.add_task("living", "r9", run_at=NOW + timedelta(days=9), state="deferred")
    lives.set("air_ledger", ledger("submitted", "air-9"))
    client = site.client("viewer")

    def now() -> dict[str, dict[str, Any]]:
        runs = client.get("/air/api/compare/living/t/-1", params={"this": "r9", "metric": "loss"}).json()["runs"]
        return {run["run_id"]: run for run in runs if run["series"] or run["run_id"] == "r9"}

    assert (now()["r9"]["values"], now()["r9"]["series"]) == ({}, {})
    lives.push("air_history", kept("air-9", loss=[[1, 5.0]]))
    assert set(now()) == {"r9", "r3", "r2"}
    assert (now()["r9"]["values"], now()["r9"]["series"]) == ({"loss": 5.0}, {"loss": {"x": [1], "y": [5.0]}})
    lives.push("progress", {"submission_id": "air-9", "status": "RUNNING", "values": {"loss": 4.0}})
    assert now()["r9"]["values"] == {"loss": 4.0}


def test_a_map_index_that_is_none_is_not_found(site: AirflowSite) -> None:
    assert site.client("viewer").get("/air/api/compare/over/t/-2").status_code == 404
