"""What the Ray tab is told of a task instance, by Airflow's own application over a real database."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

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
    assert told["state"]["phase"] == "running"


def test_what_is_not_there_is_not_found(site: AirflowSite) -> None:
    client = site.client("viewer")
    assert client.get("/air/api/task/nowhere/r/t/-1").status_code == 404
    assert client.get("/air/api/task/nowhere/r/t/x").status_code == 404


def test_an_earlier_try_is_told_as_it_was(site: AirflowSite) -> None:
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session
    from sqlalchemy import insert

    task = site.add_task("tries", try_number=2)
    failed = {**ATTEMPT, "phase": "FAILED", "message": "boom"}
    task.set("air_ledger", ledger(failed, {**ATTEMPT, "submission_id": "air-2", "try_number": 2}))
    task.push("progress", {**PROGRESS, "submission_id": "air-2"})
    old = {"state": "failed", "try_number": 1, "pool": "default_pool", "pool_slots": 1, "span_status": "ended"}
    with create_session() as session:
        session.execute(insert(TaskInstanceHistory).values(task_instance_id=uuid.uuid4(), **task.names, **old))
    told = sections(site, "tries/r/t/-1", try_number=1)
    assert (told["task"]["state"], told["task"]["try_number"], told["task"]["tries"]) == ("failed", 1, [1, 2])
    report = site.client("viewer").get("/air/report/tries/r/t/-1", params={"download": "1", "try_number": 1})
    assert '"state":"failed","try_number":1' in report.text
    assert (told["state"]["phase"], told["state"]["error"]) == ("failed", "boom")
    assert not told["task"]["may"]["stop"]
    assert sections(site, "tries/r/t/-1")["state"]["phase"] == "running"


def test_after_the_cluster_is_gone_the_same_is_told_from_what_was_kept(site: AirflowSite) -> None:
    task = site.add_task("kept", state="success")
    task.set("air_ledger", ledger({**ATTEMPT, "phase": "SUCCEEDED"}))
    series = {f"m{number}": [[step, step / 3] for step in range(2000)] for number in range(20)}
    task.keep("air_history", {**HISTORY, "series": series})
    told = sections(site, "kept/r/t/-1", metric=["m7", "m9"])
    assert list(told["metrics"]["series"]) == ["m7", "m9"]
    assert len(told["metrics"]["names"]) == 20


def test_the_curves_of_the_attempt_before_are_shown_beside(site: AirflowSite) -> None:
    task = site.add_task("again", state="success", try_number=2)
    second = {**ATTEMPT, "submission_id": "air-2", "try_number": 2, "phase": "SUCCEEDED"}
    task.set("air_ledger", ledger({**ATTEMPT, "phase": "FAILED"}, second))
    task.keep("air_history", {**HISTORY, "submission_id": "air-2"})
    task.keep("air_earlier", {**HISTORY, "series": {"loss": [[1, 0.75]]}})
    told = sections(site, "again/r/t/-1")
    assert told["metrics"]["before"] == {"try_number": 1, "series": {"loss": {"x": [1], "y": [0.75]}}}
    # The tab of the first try has its own again.
    assert sections(site, "again/r/t/-1", try_number=1)["metrics"]["series"]["loss"]["y"] == [0.75]


@pytest.mark.parametrize("name", ["aa", "zz", "zz_url"])
def test_however_many_xcoms_of_others_there_are_ours_are_shown(site: AirflowSite, name: str) -> None:
    task = site.add_task(f"many-{name}")
    task.set("air_ledger", ledger(ATTEMPT))
    for number in range(310):
        task.push(f"{number:03}_{name}", number)
    task.push("progress", PROGRESS)
    task.push("air_history", HISTORY)
    task.push("return_value", {"a": 1})
    task.push("ray_serve_endpoint_url", "https://ray.example/serve")
    told = sections(site, f"many-{name}/r/t/-1")
    assert (told["state"]["message"], told["result"]) == ("epoch", {"a": 1})
    assert told["metrics"]["names"] == ["loss"]
    assert told["links"] == [{"label": "Serve endpoint", "url": "https://ray.example/serve"}]


def chunk(text: str, chunks: int = 1) -> dict[str, Any]:
    """Give the first chunk of a value that is kept."""
    return {"chunks": chunks, "text": text}


LATER = '{"version": 2, "submission_id": "air-1", "lines": {}}'


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        ({"air_history": chunk('{"series"')}, "The task's history cannot be read"),
        ({"air_history": chunk('{"series":', 3)}, "The task's history cannot be read"),
        ({"air_history": chunk("{}", 10**12)}, "The task's history cannot be read"),
        ({"air_history": {"parts": []}}, "The task's history cannot be read"),
        ({"air_history": chunk(LATER)}, "The task's history is of a later version"),
        ({"air_history": "s3://b/k"}, "The task's history is kept by a state store back end"),
        ({"air_earlier": chunk("[")}, "The history of the attempt before cannot be read"),
        ({"air_earlier": chunk(LATER)}, "The history of the attempt before is of a later version"),
        ({"air_ledger": {"version": 2, "tries": []}}, "The task's ledger is of a later version"),
        ({"air_ledger": None}, "The task's ledger cannot be read"),
        ({"x:air_history": "s3://b/k"}, "The task's live history is kept by an XCom back end"),
        ({"x:air_history": {**HISTORY, "version": 2}}, "The task's live history is of a later version"),
        ({"x:progress": "s3://b/k"}, "The task's progress is kept by an XCom back end"),
        ({"air_history": chunk("{}"), "air_ledger": ledger(ATTEMPT), "x:air_history": HISTORY}, None),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said(site: AirflowSite, stored: dict[str, Any], note: str | None) -> None:
    dag_id = f"said{abs(hash(str(stored)))}"
    task = site.add_task(dag_id)
    for key, value in stored.items():
        if key.startswith("x:"):
            task.push(key.removeprefix("x:"), value)
        else:
            task.set(key, value)
    notes = sections(site, f"{dag_id}/r/t/-1")["task"]["notes"]
    assert len(notes) == (note is not None)
    assert all(told.startswith(note or "") for told in notes)
    report = site.client("viewer").get(f"/air/report/{dag_id}/r/t/-1")
    assert report.status_code == 200
    assert note is None or note in report.text


def test_a_history_that_is_being_kept_in_the_place_of_another_is_not_said_to_be_damaged(site: AirflowSite) -> None:
    task = site.add_task("halves")
    task.set("air_history.1", "}")
    task.set("air_history", chunk("{", 2))
    task.set("air_history.1", "of the next")
    assert sections(site, "halves/r/t/-1")["task"]["notes"] == []
    # Whoever wrote it did not come to its end.
    task.change(state="failed")
    told = sections(site, "halves/r/t/-1")
    assert "cannot be read" in told["task"]["notes"][0]
    assert "metrics" not in told


@pytest.mark.parametrize("stored", ["s3://bucket/key", ["x"], 5, {"attempts": "x"}, {"attempts": [None, {}]}], ids=str)
def test_what_cannot_be_read_is_no_error(site: AirflowSite, stored: Any) -> None:
    dag_id = f"odd{abs(hash(str(stored)))}"
    task = site.add_task(dag_id)
    for key in ("air_ledger", "air_history", "air_about"):
        task.set(key, stored)
    for key in ("progress", "air_history", "return_value", "ray_dashboard_url"):
        task.push(key, stored)
    told = sections(site, f"{dag_id}/r/t/-1")
    assert told["task"]["is_ours"]
    if isinstance(stored, str):
        assert "back end" in told["task"]["notes"][0]
    for path in (f"run/{dag_id}/r", "clusters", f"compare/{dag_id}/t/-1"):
        assert site.client("viewer").get(f"/air/api/{path}").status_code == 200


def test_a_result_that_is_too_large_is_said_to_be(site: AirflowSite) -> None:
    task = site.add_task("huge", state="success")
    task.push("return_value", "x" * 3_000_000)
    told = sections(site, "huge/r/t/-1")
    assert "result" not in told
    assert "too large" in told["task"]["notes"][0]


def test_a_value_of_a_class_is_told_without_importing_it(site: AirflowSite) -> None:
    task = site.add_task("wrapped", state="success")
    task.push("return_value", {"__classname__": "nowhere.at_all.Thing", "__version__": 1, "__data__": {"a": 1}})
    assert sections(site, "wrapped/r/t/-1")["result"] == {"a": 1}


def test_a_task_that_is_deleted_meanwhile_is_not_found(site: AirflowSite) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    task = site.add_task("deleted")
    task.set("air_ledger", ledger(ATTEMPT))
    client = site.client("viewer")
    assert client.get("/air/api/task/deleted/r/t/-1").status_code == 200
    with create_session() as session:
        session.execute(delete(TaskInstance).where(TaskInstance.dag_id == "deleted"))
    assert client.get("/air/api/task/deleted/r/t/-1").status_code == 404
