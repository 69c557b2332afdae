"""What a person asks of a cluster reaches those who wait on it and who made it, and nobody else."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterRequest
from airflow_provider_air.runs.cluster_requests import LONGEST_SECONDS, REQUEST_KEY
from airflow_provider_air.runs.ledger import LEDGER_KEY, Ledger
from tests.airflow_site import AirflowSite, StoredTask
from tests.unit.pages.documents import KEY

SHARED = ClusterRef("local", "shared", {"host": "h"})


def add(site: AirflowSite, dag_id: str, ref: ClusterRef | None, state: str = "deferred") -> StoredTask:
    """Add a task that uses a cluster."""
    stored = site.add_task(dag_id, state=state)
    if ref is not None:
        ledger = Ledger().intend(KEY, "air-1", cluster=ref.to_json(), phase="submitted")
        stored.set(LEDGER_KEY, ledger.to_json())
    return stored


def ask(site: AirflowSite, dag_id: str, word: Any, role: str = "op", **headers: str) -> Any:
    return site.client(role, headers=headers).request("POST", f"/air/api/cluster-request/{dag_id}/r/t/-1", json=word)


def asked_of(stored: StoredTask) -> ClusterRequest | None:
    return ClusterRequest.from_json(stored.pushed(REQUEST_KEY))


def test_all_who_wait_on_a_cluster_are_told_and_no_others(site: AirflowSite) -> None:
    one, two = add(site, "asked_one", SHARED), add(site, "asked_two", SHARED)
    namesake = add(site, "asked_namesake", ClusterRef("local", "shared", {"host": "other"}))
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


def test_a_tasks_own_cluster_goes_with_it(site: AirflowSite) -> None:
    add(site, "asked_own", ClusterRef("local", "own", owned=True))
    answer = ask(site, "asked_own", {"action": "end"})
    assert answer.status_code == 409
    assert "stop the task" in json.dumps(answer.json())


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


def test_a_viewer_and_another_site_ask_nothing(site: AirflowSite) -> None:
    stored = add(site, "asked_guarded", SHARED)
    assert ask(site, "asked_guarded", {"action": "end"}, role="viewer").status_code == 403
    assert ask(site, "asked_guarded", {"action": "end"}, origin="https://evil.example").status_code == 403
    assert asked_of(stored) is None
