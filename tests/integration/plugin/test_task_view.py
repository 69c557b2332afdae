"""What the Ray tab is told of a task instance, by Airflow's own application over a real database."""

from __future__ import annotations

from typing import Any

from tests.airflow_site import AirflowSite

ATTEMPT = {
    "generation": 1,
    "number": 1,
    "submission_id": "air-1",
    "workload": "train",
    "phase": "submitted",
    "steps": {"intended": 1.0, "cluster": 1.5, "ready": 4.0, "sent": 5.0, "submitted": 6.0},
    "cluster": {"backend": "existing", "name": "ray_default", "details": {"ray_conn_id": "ray_default"}},
}
PROGRESS = {"submission_id": "air-1", "status": "RUNNING", "message": "epoch", "done": 1, "total": 3}
HISTORY = {"version": 1, "submission_id": "air-1", "series": {"loss": [[1, 0.5], [2, None], [3, 0.25]]}}


def ledger(*attempts: Any) -> dict[str, Any]:
    """Give a ledger's stored form."""
    return {"version": 1, "generation": 1, "run_generation": 1, "max_tries": 0, "nonce": "n", "attempts": attempts}


def sections(site: AirflowSite, path: str, user: str = "user", **query: Any) -> Any:
    """Give the sections of a task's view."""
    answer = site.client(user).get(f"/air/api/task/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["sections"]


def test_a_task_that_runs_is_told_as_it_is_stored(site: AirflowSite) -> None:
    task = site.add_task("runs")
    task.set("air_ledger", ledger(ATTEMPT))
    task.push("progress", PROGRESS)
    task.push("air_history", HISTORY)
    task.push("ray_dashboard_url", "https://ray.example/")
    told = sections(site, "runs/r/t/{MAP_INDEX}")
    assert told["task"]["is_ours"]
    assert told["task"]["may"] == {"stop": True, "clear": True}
    assert told["state"]["phase"] == "running"
    assert (told["state"]["done"], told["state"]["total"]) == (1, 3)
    assert told["metrics"]["series"] == {"loss": {"x": [1, 2, 3], "y": [0.5, None, 0.25]}}
    assert told["cluster"]["conn_id"] == "ray_default"
    assert told["links"] == [{"label": "Ray dashboard", "url": "https://ray.example/"}]
    assert [part["name"] for part in told["timeline"]] == ["cluster", "queue"]


def test_only_sections_that_are_new_are_sent(site: AirflowSite) -> None:
    task = site.add_task("known")
    task.set("air_ledger", ledger(ATTEMPT))
    task.push("progress", PROGRESS)
    task.push("air_history", HISTORY)
    client = site.client("viewer")
    first = client.get("/air/api/task/known/r/t/-1").json()
    known = [f"{name}:{value}" for name, value in first["hashes"].items()]
    again = client.get("/air/api/task/known/r/t/-1", params={"known": known}).json()
    assert again["hashes"] == first["hashes"]
    assert again["sections"] == {}
    task.push("progress", {**PROGRESS, "done": 2})
    later = client.get("/air/api/task/known/r/t/-1", params={"known": known}).json()
    assert list(later["sections"]) == ["state"]
    assert later["sections"]["state"]["done"] == 2


def test_a_task_that_is_not_ours_says_so(site: AirflowSite) -> None:
    site.add_task("plain", operator="BashOperator").push("return_value", "hello")
    told = sections(site, "plain/r/t/-1")
    assert told["task"]["is_ours"] is False
    assert told["state"]["phase"] == "none"


def test_what_is_not_there_is_not_found(site: AirflowSite) -> None:
    client = site.client("viewer")
    assert client.get("/air/api/task/nowhere/r/t/-1").status_code == 404
    assert client.get("/air/api/task/nowhere/r/t/x").status_code == 404
