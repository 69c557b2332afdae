"""What a person asks of a cluster reaches those who wait on it and who made it, and nobody else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterRequest
from airflow_provider_air.links.ray import DELETED_KEY, MADE_KEY
from airflow_provider_air.pages.clusters_view import EXPIRED, GONE, OTHERS
from airflow_provider_air.runs.cluster_requests import ANSWER_KEY, LONGEST_SECONDS, REQUEST_KEY
from airflow_provider_air.runs.history import HISTORY_KEY
from airflow_provider_air.runs.ledger import LEDGER_KEY, Ledger
from tests.airflow_site import NOW, OF_OTHER_SITES, AirflowSite, StoredTask
from tests.unit.pages.documents import KEY

SHARED = ClusterRef("local", "asked-shared", {"host": "h"})


def add(
    site: AirflowSite,
    dag_id: str,
    ref: ClusterRef | None,
    state: str = "deferred",
    expires_in: float | None = 600.0,
    **fields: Any,
) -> StoredTask:
    """Add a task that uses a cluster, which was seen."""
    stored = site.add_task(dag_id, state=state, **fields)
    if ref is not None:
        ledger = Ledger().intend(KEY, "air-1", cluster=ref.to_json(), phase="submitted")
        stored.set(LEDGER_KEY, ledger.to_json())
        now = time.time()
        seen = {"name": ref.name, "seen_at": now, "expires_at": None if expires_in is None else now + expires_in}
        stored.push(HISTORY_KEY, {"version": 1, "submission_id": "air-1", "cluster": seen})
    return stored


def add_maker(site: AirflowSite, dag_id: str, ref: ClusterRef, *, created: bool = True) -> StoredTask:
    """Add a task that has made a cluster for others, or found it there."""
    maker = site.add_task(dag_id, task_id="create", state="success", operator="RayCreateClusterOperator")
    maker.push("return_value", {**ref.to_json(), "created": created})
    maker.push(MADE_KEY, {"version": 1, "cluster": ref.to_json(), "created": created, "dashboard_url": None})
    return maker


def ask(site: AirflowSite, dag_id: str, word: Any, role: str = "op", task_id: str = "t", **headers: str) -> Any:
    path = f"/air/api/cluster-request/{dag_id}/r/{task_id}/-1"
    return site.client(role, headers=headers).request("POST", path, json=word)


def asked_of(stored: StoredTask) -> ClusterRequest | None:
    return ClusterRequest.from_json(stored.pushed(REQUEST_KEY))


def test_all_who_wait_on_a_cluster_are_told_and_no_others(site: AirflowSite) -> None:
    one, two = add(site, "asked_one", SHARED), add(site, "asked_two", SHARED)
    namesake = add(site, "asked_namesake", ClusterRef("local", "asked-shared", {"host": "other"}))
    over = add(site, "asked_over", SHARED, state="success")
    before = time.time()
    answer = ask(site, "asked_one", {"action": "extend", "seconds": 3600.0})
    assert (answer.status_code, answer.json()) == (200, {"told": 2})
    request = asked_of(one)
    assert request is not None
    assert request == asked_of(two)
    assert (request.action, request.by) == ("extend", "op")
    assert before + 3600 <= request.until <= time.time() + 3600
    assert request.is_about(SHARED, before)
    assert asked_of(namesake) is None
    assert asked_of(over) is None


def test_who_made_it_is_told_for_the_clean_up(site: AirflowSite) -> None:
    ref = ClusterRef("local", "made", {"host": "h"})
    maker = add(site, "asked_maker", ref, state="success")
    maker.push("return_value", {**ref.to_json(), "created": True})
    assert ask(site, "asked_maker", {"action": "end"}).json() == {"told": 1}
    request = asked_of(maker)
    assert request is not None
    assert request.action == "end"


def test_it_can_be_asked_by_who_made_it_alone_who_has_no_job(site: AirflowSite) -> None:
    ref = ClusterRef("local", "unused", {"host": "h"})
    maker = add_maker(site, "asked_made", ref)
    assert ask(site, "asked_made", {"action": "end"}, task_id="create").json() == {"told": 1}
    request = asked_of(maker)
    assert request is not None
    assert request.is_about(ref, time.time() - 1)


def test_a_result_that_names_no_cluster_asks_nothing(site: AirflowSite) -> None:
    for number, result in enumerate([None, 3, {"backend": "local"}]):
        other = site.add_task(f"asked_result_{number}", state="success")
        other.push("return_value", result)
        assert ask(site, f"asked_result_{number}", {"action": "end"}).status_code == 404


def card(site: AirflowSite, name: str, role: str = "op") -> Any:
    """Give what the page of all clusters shows of one."""
    clusters = site.client(role).get("/air/api/clusters").json()["clusters"]
    (found,) = [cluster for cluster in clusters if cluster["name"] == name]
    return found


def test_the_page_of_all_clusters_says_by_whom_something_is_asked_and_what_was(site: AirflowSite) -> None:
    ref = ClusterRef("local", "listed", {"host": "h"})
    add_maker(site, "asked_listed", ref)
    waits = add(site, "asked_listed", ref)
    by = {"dag_id": "asked_listed", "run_id": "r", "task_id": "create", "map_index": -1}
    assert card(site, "listed")["asks"] == by
    # Who may only look.
    assert card(site, "listed", "viewer")["asks"] is None

    word = {"action": "extend", "seconds": 3600.0}
    assert ask(site, "asked_listed", word, task_id="create").json() == {"told": 2}
    asked = card(site, "listed")["asked"]
    assert (asked["action"], asked["by"], asked["answer"]) == ("extend", "op", None)
    waits.push(ANSWER_KEY, {"asked_at": asked["asked_at"], "said": "it is kept"})
    told = card(site, "listed")
    assert (told["asked"]["answer"], told["expires_at"], told["is_gone"]) == ("it is kept", asked["until"], False)


def test_a_tasks_own_cluster_goes_with_it(site: AirflowSite) -> None:
    add(site, "asked_own", ClusterRef("local", "own", owned=True))
    answer = ask(site, "asked_own", {"action": "end"})
    assert answer.status_code == 409
    assert "stop the task" in json.dumps(answer.json())


def refused(answer: Any, why: str) -> bool:
    return (answer.status_code, answer.json()) == (409, {"detail": why})


END = {"action": "end"}


@pytest.mark.parametrize(
    ("expires_in", "why"), [(None, OTHERS), (-1.0, EXPIRED), (600.0, None)], ids=["never", "before", "later"]
)
def test_what_no_task_has_started_is_ended_or_kept_only_where_it_expires_later(
    site: AirflowSite, expires_in: float | None, why: str | None
) -> None:
    dag_id = f"asked_expires_{expires_in}"
    used = add(site, dag_id, ClusterRef("existing", dag_id, {"ray_conn_id": dag_id}), expires_in=expires_in)
    for word in (END, {"action": "extend", "seconds": 60.0}):
        answer = ask(site, dag_id, word)
        assert refused(answer, why) if why else answer.json() == {"told": 1}
    assert (asked_of(used) is None) is (why is not None)


@pytest.mark.parametrize("created", [True, False])
def test_what_never_expires_is_ended_where_a_task_has_started_it(site: AirflowSite, *, created: bool) -> None:
    dag_id = f"asked_started_{created}"
    ref = ClusterRef("local", dag_id, {"host": "h"})
    maker = add_maker(site, dag_id, ref, created=created)
    add(site, f"{dag_id}_elsewhere", ref, expires_in=None)
    for at in ({"dag_id": dag_id, "task_id": "create"}, {"dag_id": f"{dag_id}_elsewhere"}):
        answer = ask(site, word=END, **at)
        assert answer.status_code == 200 if created else refused(answer, OTHERS)
    # Of a DAG run that has made it, the task is told, too.
    assert (asked_of(maker) is not None) is created


def test_of_a_cluster_that_is_gone_nothing_is_asked(site: AirflowSite) -> None:
    ref = ClusterRef("local", "asked_gone", {"host": "h"})
    add_maker(site, "asked_gone", ref)
    used = add(site, "asked_gone", ref, state="success")
    elsewhere = add(site, "asked_gone_elsewhere", ref, state="success")
    deletes = site.add_task("asked_gone", task_id="delete", state="success", operator="RayDeleteClusterOperator")
    deletes.push(DELETED_KEY, {"version": 1, "cluster": ref.to_json()})
    asked = (ask(site, "asked_gone", END, task_id=task_id) for task_id in ("create", "t"))
    assert all(refused(answer, GONE) for answer in (*asked, ask(site, "asked_gone_elsewhere", END)))
    assert (asked_of(used), asked_of(elsewhere)) == (None, None)


@pytest.mark.parametrize("is_done", [True, False])
def test_a_cluster_is_gone_once_it_was_ended_and_not_where_that_was_not_done(
    site: AirflowSite, *, is_done: bool
) -> None:
    dag_id = f"asked_ended_{is_done}"
    used = add(site, dag_id, ClusterRef("local", dag_id, {"host": "h"}))
    assert ask(site, dag_id, END).json() == {"told": 1}
    asked_at = section(site, dag_id)["asked"]["asked_at"]
    used.push(ANSWER_KEY, {"asked_at": asked_at, "said": "what was done", "is_done": is_done})
    told = section(site, dag_id)
    assert (told["asked"]["answer"], told["is_gone"]) == ("what was done", is_done)
    assert refused(ask(site, dag_id, END), GONE) is is_done


def test_a_later_look_of_another_task_tells_of_a_cluster_as_on_the_page_of_all(site: AirflowSite) -> None:
    ref = ClusterRef("local", "asked_looked", {"host": "h"})
    add(site, "asked_looks", ref, state="success")
    add(site, "asked_new", ref, expires_in=None)
    assert card(site, "asked_looked")["asks"]["dag_id"] == "asked_new"
    assert ask(site, "asked_new", END).json() == {"told": 1}


def test_however_many_tasks_live_those_that_wait_on_the_cluster_are_told(
    site: AirflowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_air.plugin.listing.MOST_LIVE", 2)
    ref = ClusterRef("local", 'asked "mäny" 100%_', {"host": "h"})
    longest = add(site, "asked_longest", ref, start_date=NOW - timedelta(days=2))
    waits = [add(site, f"asked_many_{number}", ref, start_date=NOW - timedelta(days=1)) for number in range(2)]
    others = ClusterRef("local", "asked_busy", {"host": "h"})
    for number in range(3):
        add(site, "asked_busy", others, task_id=f"t{number}", start_date=NOW + timedelta(days=1))
    # As many as are read, and the one whose page it is.
    assert ask(site, "asked_longest", END).json() == {"told": 3}
    assert all(asked_of(stored) for stored in (longest, *waits))


def test_where_there_is_no_cluster_nothing_is_asked(site: AirflowSite) -> None:
    add(site, "asked_none", None)
    assert ask(site, "asked_none", {"action": "end"}).status_code == 404
    assert ask(site, "asked_nowhere", {"action": "end"}).status_code == 404


@pytest.mark.parametrize(
    "word",
    [
        {},
        {"action": "explode"},
        {"action": "extend", "seconds": -1.0},
        {"action": "extend", "seconds": LONGEST_SECONDS + 1},
        {"action": "extend", "seconds": "much"},
        {"action": "end", "cluster": {"backend": "local", "name": "another"}},
    ],
    ids=str,
)
def test_another_word_is_no_request(site: AirflowSite, word: Any) -> None:
    # Refused before anybody looks whether there is such a task.
    assert ask(site, "asked_nowhere", word).status_code == 422


@pytest.mark.parametrize("refused", [{"role": "viewer"}, *OF_OTHER_SITES], ids=str)
def test_a_viewer_and_another_site_ask_nothing(site: AirflowSite, refused: dict[str, str]) -> None:
    dag_id = f"asked_refused_{sum(map(ord, str(refused)))}"
    stored = add(site, dag_id, SHARED)
    assert ask(site, dag_id, {"action": "end"}, **refused).status_code == 403
    assert asked_of(stored) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_nothing_is_asked_by_another_method(site: AirflowSite, method: str) -> None:
    answer = site.client("op").request(method, "/air/api/cluster-request/asked_nowhere/r/t/-1")
    assert answer.status_code == 405


def test_who_asked_what_is_in_the_audit_log(site: AirflowSite) -> None:
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    add(site, "asked_audited", ClusterRef("local", "audited", {"host": "h"}))
    assert ask(site, "asked_audited", {"action": "extend", "seconds": 60.0}).status_code == 200
    with create_session() as session:
        row = session.scalars(select(Log).where(Log.dag_id == "asked_audited").order_by(Log.id.desc())).first()
        assert row is not None
        assert (row.event, row.owner, row.run_id, row.task_id) == ("ray_cluster_request", "op", "r", "t")
        assert "extend" in str(row.extra)


def section(site: AirflowSite, dag_id: str, **known: str) -> Any:
    """Give the section `cluster` of a task's page."""
    answer = site.client("viewer").get(f"/air/api/task/{dag_id}/r/t/-1", params=known).json()
    return answer["sections"]["cluster"]


def test_the_page_hears_what_was_asked_and_what_another_of_the_same_process_answers(site: AirflowSite) -> None:
    ref = ClusterRef("local", "heard", {"host": "h"})
    add(site, "asked_page", ref)
    waits = add(site, "asked_waits", ref)
    assert "asked" not in section(site, "asked_page")
    ask(site, "asked_page", {"action": "extend", "seconds": 3600.0})
    asked = section(site, "asked_page")["asked"]
    assert (asked["action"], asked["by"], asked["answer"]) == ("extend", "op", None)
    waits.push(ANSWER_KEY, {"asked_at": asked["asked_at"] - 1.0, "said": "of an earlier one"})
    assert section(site, "asked_page")["asked"]["answer"] is None
    waits.push(ANSWER_KEY, {"asked_at": asked["asked_at"], "said": "it is kept"})
    told = section(site, "asked_page")
    assert (told["asked"]["answer"], told["expires_at"], told["is_gone"]) == ("it is kept", asked["until"], False)


def test_answers_to_later_requests_hide_no_earlier_one(site: AirflowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.plugin.cluster_notes.MOST_ANSWERS", 2)
    monkeypatch.setattr("airflow_provider_air.plugin.cluster_notes.CLOCKS_DIFFER", timedelta(0))
    waits = add(site, "asked_first", ClusterRef("local", "first", {"host": "h"}))
    ask(site, "asked_first", {"action": "extend", "seconds": 3600.0})
    asked_at = section(site, "asked_first")["asked"]["asked_at"]
    waits.push(ANSWER_KEY, {"asked_at": asked_at, "said": "it is kept"})
    for number in range(3):
        later = site.add_task("asked_later", task_id=f"t{number}")
        later.push(ANSWER_KEY, {"asked_at": asked_at + number + 1.0, "said": "of another"})
    assert section(site, "asked_first")["asked"]["answer"] == "it is kept"


def test_the_page_of_a_task_that_is_over_shows_what_was_asked_there(site: AirflowSite) -> None:
    ref = ClusterRef("local", "outlived", {"host": "h"})
    add(site, "asked_ended", ref, state="success")
    add(site, "asked_still", ref)
    assert ask(site, "asked_ended", {"action": "end"}).json() == {"told": 1}
    assert section(site, "asked_ended")["asked"]["action"] == "end"


def test_a_cluster_that_its_run_has_deleted_is_gone(site: AirflowSite) -> None:
    ref = ClusterRef("local", "torn", {"host": "h"})
    begun = datetime.now(UTC)
    used = add(site, "asked_torn", ref, state="success")
    used.change(start_date=begun)
    assert section(site, "asked_torn")["is_gone"] is False
    deletes = site.add_task("asked_torn", task_id="delete", state="success", operator="RayDeleteClusterOperator")
    namesake = ClusterRef("local", "torn", {"host": "other"})
    deletes.push(DELETED_KEY, {"version": 1, "cluster": namesake.to_json()})
    assert section(site, "asked_torn")["is_gone"] is False
    deletes.push(DELETED_KEY, {"version": 1, "cluster": ref.to_json()})
    assert section(site, "asked_torn")["is_gone"] is True
    # The run is cleared: until the delete task begins anew, what it noted stays.
    used.change(start_date=datetime.now(UTC))
    assert section(site, "asked_torn")["is_gone"] is False
    deletes.push(DELETED_KEY, {"version": 1, "cluster": ref.to_json()})
    assert section(site, "asked_torn")["is_gone"] is True
    used.change(start_date=None)
    assert section(site, "asked_torn")["is_gone"] is True
