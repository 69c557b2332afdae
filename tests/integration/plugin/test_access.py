"""Who is refused what: every route, by Airflow's own application."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute

from airflow_provider_air.plugin.app import fastapi_app
from airflow_provider_air.runs.choices import CHOICE_KEY, UNHEARD_SECONDS, Choice
from tests.airflow_site import OF_OTHER_SITES, AirflowSite, StoredTask

POLICY = "default-src 'none'; script-src 'self'"
# To each route that takes a word, one that it takes.
WORDS: dict[str, dict[str, Any]] = {
    "clear-choice": {"on_clear": "fresh"},
    "clear-outcome": {"at": 1.0, "is_cleared": False},
    "cluster-request": {"action": "end"},
}
NAMES = {"dag_id": "guarded", "run_id:path": "r", "run_id": "r", "task_id": "t", "map_index": "-1", "name": "air.js"}
CHOICE = {"on_clear": "fresh"}


def word_to(path: str) -> dict[str, Any] | None:
    return next((word for part, word in WORDS.items() if part in path), None)


def requests() -> list[tuple[str, str]]:
    """Give a request to each route, as method and path."""
    routes = [route for route in fastapi_app().routes if isinstance(route, APIRoute)]
    return [
        (method, "/air" + re.sub(r"{([^}]+)}", lambda found: NAMES[found[1]], route.path))
        for route in routes
        for method in sorted(route.methods)
    ]


def of_a_dag() -> list[tuple[str, str]]:
    """Give those that name a DAG."""
    return [(method, path) for method, path in requests() if "guarded" in path]


@pytest.fixture(scope="module", autouse=True)
def task(site: AirflowSite) -> StoredTask:
    """A task with something of all that is stored."""
    stored = site.add_task("guarded")
    stored.push("progress", {"submission_id": "air-1", "status": "RUNNING", "message": "canary"})
    stored.push("air_history", {"version": 1, "submission_id": "air-1", "series": {"canary": [[1, 2]]}})
    stored.push("return_value", "canary")
    stored.push("ray_dashboard_url", "https://canary/")
    return stored


@pytest.fixture
def refusing(site: AirflowSite, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An auth manager that lets nobody near the DAG, or near a part of it."""
    from airflow.api_fastapi.app import get_auth_manager

    assert site.app is not None
    manager, rule = get_auth_manager(), {"entity": None}
    usual = manager.is_authorized_dag

    def is_authorized_dag(**asked: Any) -> bool:
        details, entity = asked.get("details"), asked.get("access_entity")
        is_refused = rule["entity"] is None or (entity is not None and entity.name == rule["entity"])
        return not (details is not None and details.id == "guarded" and is_refused) and bool(usual(**asked))

    monkeypatch.setattr(manager, "is_authorized_dag", is_authorized_dag)
    return rule


@pytest.mark.parametrize(("method", "path"), requests(), ids=str)
def test_nobody_is_told_anything(site: AirflowSite, method: str, path: str) -> None:
    answer = site.client().request(method, path, json=word_to(path))
    assert answer.status_code == 401
    assert answer.headers["content-security-policy"].startswith(POLICY)
    assert "canary" not in answer.text


@pytest.mark.parametrize(("method", "path"), of_a_dag(), ids=str)
def test_who_may_not_see_the_dag_is_told_nothing(
    site: AirflowSite, refusing: dict[str, Any], method: str, path: str
) -> None:
    answer = site.client("admin").request(method, path, json=word_to(path))
    assert answer.status_code == 403
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "canary" not in answer.text


NO_WORDS = (
    b"",
    b"{",
    b"null",
    b"[" * 100_000,
    b"\xff\xfe",
    b'"\\ud800"',
    b'{"action": "\\ud800"}',
    b'{"action": "extend", "seconds": NaN}',
    b'{"action": "end", "seconds": 1e999}',
    b'{"at": NaN, "is_cleared": true}',
    b'{"at": 1e999, "is_cleared": false}',
    b'{"on_clear": {"a": NaN}}',
    b'{"x\\ud800": 1}',
    '{"ä": 1}'.encode(),
)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", WORDS)
def test_what_is_no_word_is_told_so_without_an_echo(site: AirflowSite, path: str, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    client = site.client("op", headers=headers)
    for body in NO_WORDS:
        answer = client.request("POST", f"/air/api/{path}/guarded/r/t/-1", content=body)
        assert answer.status_code == 422, body
        assert answer.content.isascii()
        assert [set(wrong) for wrong in answer.json()["detail"]] == [{"loc", "msg"}] * len(answer.json()["detail"])


@pytest.mark.parametrize("path", WORDS)
def test_a_word_counts_as_json_alone(site: AirflowSite, path: str) -> None:
    word, client = json.dumps(WORDS[path]), site.client("op")
    for kind in ("text/plain", "text/plain; application/json"):
        headers = {"content-type": kind}
        answer = client.request("POST", f"/air/api/{path}/guarded/r/t/-1", content=word, headers=headers)
        assert answer.status_code == 422


@pytest.mark.parametrize(("who", "status"), [(None, 401), ("viewer", 403)])
@pytest.mark.parametrize("path", WORDS)
def test_who_may_not_ask_is_told_that_whatever_the_word_is(
    site: AirflowSite, path: str, who: str | None, status: int
) -> None:
    client = site.client(who, headers={"content-type": "application/json"})
    for body in NO_WORDS:
        assert client.request("POST", f"/air/api/{path}/guarded/r/t/-1", content=body).status_code == status


@pytest.mark.parametrize("role", ["viewer", "user", "op"])
@pytest.mark.parametrize(("method", "path"), [item for item in requests() if item[0] == "GET"], ids=str)
def test_each_role_may_look(site: AirflowSite, role: str, method: str, path: str) -> None:
    answer = site.client(role).request(method, path)
    assert answer.status_code == 200
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("user", 200), ("op", 200)])
def test_only_who_may_change_the_task_chooses(site: AirflowSite, role: str, status: int) -> None:
    assert site.client(role).request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=CHOICE).status_code == status
    may = site.client(role).get("/air/api/task/guarded/r/t/-1").json()["sections"]["task"]["may"]
    assert may == {"stop": status == 200, "clear": status == 200}


def test_a_choice_is_stored_as_the_engine_reads_it_and_audited(site: AirflowSite, task: StoredTask) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    path = "/air/api/clear-choice/guarded/r/t/{MAP_INDEX}"
    assert site.client("op").request("POST", path, json={"on_clear": "resume"}).status_code == 200
    choice = Choice.of(task)
    assert choice is not None
    assert choice.word == "resume"
    assert choice.at is not None
    assert choice.until == choice.at + UNHEARD_SECONDS
    with create_session() as session:
        row = session.scalars(select(Log).where(Log.dag_id == "guarded").order_by(Log.id.desc())).first()
        assert row is not None
        assert (row.event, row.owner, row.run_id, row.task_id) == ("ray_clear_choice", "op", "r", "t")
        assert "resume" in str(row.extra)


@pytest.mark.parametrize("headers", OF_OTHER_SITES, ids=str)
def test_another_site_changes_nothing(site: AirflowSite, headers: dict[str, str]) -> None:
    client = site.client("op", headers=headers)
    assert client.request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=CHOICE).status_code == 403


@pytest.mark.parametrize("headers", [{"origin": "http://testserver"}, {"sec-fetch-site": "same-origin"}], ids=str)
def test_airflow_s_own_page_does(site: AirflowSite, headers: dict[str, str]) -> None:
    client = site.client("op", headers=headers)
    assert client.request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=CHOICE).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_nothing_is_changed_by_another_method(site: AirflowSite, method: str) -> None:
    assert site.client("op").request(method, "/air/api/clear-choice/guarded/r/t/-1").status_code == 405


def outcome(site: AirflowSite, at: float, *, is_cleared: bool) -> None:
    word = {"at": at, "is_cleared": is_cleared}
    answer = site.client("op").request("POST", "/air/api/clear-outcome/guarded/r/t/-1", json=word)
    assert answer.status_code == 204


def test_a_choice_counts_for_long_once_its_task_is_cleared_and_no_more_where_it_is_not(
    site: AirflowSite, task: StoredTask
) -> None:
    chosen = site.client("op").request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=CHOICE).json()["at"]
    outcome(site, chosen - 1, is_cleared=False)
    outcome(site, chosen, is_cleared=True)
    assert Choice.of(task) == Choice("fresh", chosen, None)
    outcome(site, chosen, is_cleared=False)
    assert Choice.of(task) is None
    # The next try was faster.
    outcome(site, chosen, is_cleared=True)
    assert task.get(CHOICE_KEY) is None


@pytest.mark.parametrize("body", [{}, {"on_clear": "maybe"}, {"on_clear": "fresh", "x": 1}, [], "fresh", None], ids=str)
def test_another_word_is_no_choice(site: AirflowSite, body: Any) -> None:
    assert site.client("op").request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=body).status_code == 422


def test_a_task_that_is_not_there_has_no_choice(site: AirflowSite) -> None:
    assert site.client("op").request("POST", "/air/api/clear-choice/guarded/r/u/-1", json=CHOICE).status_code == 404


def test_where_workers_keep_state_elsewhere_nothing_is_promised(
    site: AirflowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__STATE_STORE_BACKEND", "my.backend.Store")
    answer = site.client("op").request("POST", "/air/api/clear-choice/guarded/r/t/-1", json=CHOICE)
    assert answer.status_code == 409


def test_who_may_not_see_xcoms_sees_none(site: AirflowSite, refusing: dict[str, Any]) -> None:
    refusing["entity"] = "XCOM"
    client = site.client("viewer")
    for path in ("api/task/guarded/r/t/-1", "api/run/guarded/r", "api/clusters", "report/guarded/r/t/-1"):
        answer = client.get(f"/air/{path}")
        assert answer.status_code == 200
        assert "canary" not in answer.text
    assert client.get("/air/api/task/guarded/r/t/-1").json()["sections"]["task"]["notes"]


def test_a_comparison_holds_nothing_of_xcoms_for_who_may_not_see_them(
    site: AirflowSite, refusing: dict[str, Any]
) -> None:
    refusing["entity"] = "nothing"
    path = "/air/api/compare/guarded/t/-1?this=r"
    assert "canary" in site.client("viewer").get(path).text
    refusing["entity"] = "XCOM"
    answer = site.client("viewer").get(path)
    assert answer.status_code == 200
    assert "canary" not in answer.text


def test_lists_hold_only_dags_that_the_person_may_read(site: AirflowSite, refusing: dict[str, Any]) -> None:
    attempt = {"submission_id": "air-9", "generation": 1, "number": 1, "phase": "submitted", "steps": {"sent": 1.0}}
    refusing["entity"] = "nothing"
    for dag_id in ("guarded", "open"):
        site.add_task(dag_id, task_id="listed").set("air_ledger", {"version": 1, "attempts": [attempt]})
    seen = {row["dag_id"] for row in site.client("viewer").get("/air/api/clusters").json()["jobs"]}
    assert seen >= {"guarded", "open"}
    refusing["entity"] = None
    answer = site.client("viewer").get("/air/api/clusters")
    assert "guarded" not in answer.text
    assert "open" in answer.text


def test_a_session_that_is_no_longer_valid_is_refused(site: AirflowSite) -> None:
    client = site.client(None, headers={"cookie": "_token=abc.def.ghi"})
    assert client.get("/air/task/guarded/r/t/-1").status_code in (401, 403)


def test_who_is_signed_out_reads_so_in_the_frame(site: AirflowSite) -> None:
    answer = site.client().get("/air/task/guarded/r/t/-1", headers={"sec-fetch-dest": "iframe"})
    assert answer.status_code == 401
    assert "You are signed out" in answer.text
    assert answer.headers["content-security-policy"].startswith(POLICY)


def test_what_a_task_has_noted_of_a_cluster_is_an_xcom(site: AirflowSite, refusing: dict[str, Any]) -> None:
    ref = {"backend": "local", "name": "canary-cluster", "details": {}}
    site.add_task("guarded", task_id="create").push("air_cluster_made", {"version": 1, "cluster": ref})
    refusing["entity"] = "nothing"
    assert "canary-cluster" in site.client("viewer").get("/air/api/clusters").text
    for entity in ("XCOM", "TASK_INSTANCE", None):
        refusing["entity"] = entity
        assert "canary-cluster" not in site.client("viewer").get("/air/api/clusters").text


def test_only_of_dags_that_have_something_to_tell_is_it_asked_who_may_read_them(
    site: AirflowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.api_fastapi.app import get_auth_manager

    site.add_task("tells", task_id="create").push("air_cluster_made", {"version": 1})
    site.add_task("silent", operator="BashOperator")
    assert site.app is not None
    manager, asked = get_auth_manager(), []
    usual = manager.is_authorized_dag

    def is_authorized_dag(**question: Any) -> bool:
        if question.get("access_entity") is not None:
            asked.append(question["details"].id)
        return bool(usual(**question))

    monkeypatch.setattr(manager, "is_authorized_dag", is_authorized_dag)
    assert site.client("viewer").get("/air/api/clusters").status_code == 200
    assert "tells" in asked
    assert "silent" not in asked
