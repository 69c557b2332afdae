"""A browser is sent what it has not, and many tabs of one task cost one reading."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from airflow_provider_air.plugin.answers import Made, SectionCache, answer, answer_whole, collected_later, encoded


def told(response: Any) -> Any:
    """Read an answer."""
    assert response.media_type == "application/json"
    return json.loads(response.body)


def test_what_the_browser_has_is_not_sent_again() -> None:
    sections = encoded({"task": {"a": 1}, "state": {"ä": [None, 1.5]}, "links": []})
    first = told(answer(sections, []))
    assert first["sections"] == {"task": {"a": 1}, "state": {"ä": [None, 1.5]}, "links": []}
    known = [f"task:{first['hashes']['task']}", "state:0", "nothing:1", "", ":"]
    assert list(told(answer(sections, known))["sections"]) == ["state", "links"]


def test_a_hash_is_of_what_is_inside_alone() -> None:
    one, same, other = (encoded({"a": value})["a"].hash for value in ([1, 2], [1, 2], [2, 1]))
    assert one == same != other


def test_of_a_view_that_the_browser_has_no_more_than_its_hash_is_sent() -> None:
    view = {"tasks": ["a"], "cut": 0}
    first = told(answer_whole(view))
    assert {key: first[key] for key in view} == view
    again = told(answer_whole(view, ["", first["hash"]]))
    assert set(again) == {"version", "now", "hash"}
    assert again["hash"] == first["hash"]
    changed = told(answer_whole({**view, "cut": 1}, [first["hash"]]))
    assert (changed["cut"], changed["hash"] == first["hash"]) == (1, False)


@pytest.mark.parametrize(
    ("odd", "sent"),
    [
        (float("nan"), None),
        ([1.5, float("-inf"), {"ä": float("inf")}], [1.5, None, {"ä": None}]),
        ({"a\ud800": "ä\udfff"}, {"a?": "ä?"}),
    ],
    ids=ascii,
)
def test_what_no_browser_reads_costs_nobody_the_page(odd: Any, sent: Any) -> None:
    assert told(answer_whole({"clusters": odd, "cut": 0}))["clusters"] == sent
    assert told(answer(encoded({"a": odd}), []))["sections"] == {"a": sent}


def test_what_is_kept_is_made_once_and_the_longest_unused_goes_first() -> None:
    made: list[str] = []

    def make(name: str) -> Made:
        made.append(name)
        return Made(encoded({"body": "x" * 3000}), {})

    cache = SectionCache(10_000)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: make(name))  # type: ignore[misc]
    assert made == ["a", "b", "c", "b"]


def test_what_is_larger_than_all_that_may_be_kept_is_given_and_not_kept() -> None:
    cache = SectionCache(10)
    assert cache.get("a", lambda: Made(encoded({"a": 1}), {})).sections["a"].body == b"1"
    assert "a" not in cache


def test_what_is_made_of_large_values_sets_off_no_search_for_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[str] = []
    monkeypatch.setattr(gc, "callbacks", [*gc.callbacks])
    gc.callbacks.append(lambda phase, info: searches.append(phase))
    try:
        gc.collect()
        searches.clear()
        assert collected_later(lambda: len([[number] for number in range(300_000)])) == 300_000
        assert not searches
    finally:
        gc.callbacks.pop()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        collected_later(lambda: 1 // 0)
    assert gc.isenabled()


def test_who_wants_no_search_for_cycles_gets_none_later() -> None:
    gc.disable()
    try:
        collected_later(lambda: None)
        assert not gc.isenabled()
    finally:
        gc.enable()
