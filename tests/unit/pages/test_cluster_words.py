"""What people ask of a cluster is shown with what came of it, and a cluster that is gone is known to be."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.pages.attempts import cluster_id
from airflow_provider_air.pages.cluster_words import ClusterWords, with_words, words_of

SHARED = {"backend": "local", "name": "shared", "details": {"host": "h"}}
SEEN = {"id": cluster_id(SHARED), "expires_at": 500.0}
OTHERS = (
    {**SHARED, "name": "another"},
    {**SHARED, "backend": "kuberay"},
    {**SHARED, "details": {"host": "other"}},
    {**SHARED, "details": {}},
)


def shown(request: Any = None, answer: Any = None, *gone: Any, seen: dict[str, Any] = SEEN) -> dict[str, Any]:
    return with_words(seen, words_of(request, answer, frozenset(map(cluster_id, gone))))


def request(action: str = "extend", **more: Any) -> dict[str, Any]:
    return {"action": action, "cluster": SHARED, "asked_at": 100.0, "until": 900.0, "by": "ada", **more}


def test_what_is_asked_is_shown_before_anybody_has_answered() -> None:
    told = shown(request())
    assert told["asked"] == {"action": "extend", "by": "ada", "asked_at": 100.0, "until": 900.0, "answer": None}
    assert (told["expires_at"], told["is_gone"]) == (500.0, False)


def test_a_cluster_that_is_kept_expires_later() -> None:
    told = shown(request(), {"asked_at": 100.0, "said": "it is kept"})
    assert (told["asked"]["answer"], told["expires_at"], told["is_gone"]) == ("it is kept", 900.0, False)


def test_a_cluster_that_was_asked_to_go_is_gone() -> None:
    told = shown(request("end"), {"asked_at": 100.0, "said": "it was asked to go"})
    assert (told["asked"]["until"], told["expires_at"], told["is_gone"]) == (None, 500.0, True)


@pytest.mark.parametrize("action", ["extend", "end"])
def test_where_nothing_was_done_a_cluster_is_neither_gone_nor_kept(action: str) -> None:
    told = shown(request(action), {"asked_at": 100.0, "said": "it is not ours", "is_done": False})
    assert (told["asked"]["answer"], told["expires_at"], told["is_gone"]) == ("it is not ours", 500.0, False)


def test_an_answer_to_another_request_is_none() -> None:
    assert shown(request("end"), {"asked_at": 99.0, "said": "it was asked to go"})["asked"]["answer"] is None


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_another_cluster_was_not_meant(other: dict[str, Any]) -> None:
    seen = {**SEEN, "id": cluster_id(other)}
    told = shown(request("end"), {"asked_at": 100.0, "said": "it was asked to go"}, seen=seen)
    assert "asked" not in told
    assert told["is_gone"] is False


def test_what_the_run_has_deleted_is_gone() -> None:
    assert shown(None, None, SHARED)["is_gone"] is True
    assert shown(None, None, *OTHERS)["is_gone"] is False


@pytest.mark.parametrize("odd", [None, "end", {"action": "explode", "asked_at": 1.0}, {"action": {}}, {"cluster": 3}])
def test_what_is_no_request_is_none(odd: Any) -> None:
    assert words_of(odd, {"asked_at": 1.0, "said": "x"}, frozenset()) == ClusterWords()
