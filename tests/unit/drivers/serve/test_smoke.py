"""Which answers pass a smoke test, and what is said about those that do not."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import smoke

BODY = b'{"predictions": [{"delay": 12.5, "flight": "UA1"}, {"delay": -3}], "model": "m1"}'


@pytest.mark.parametrize(
    "test",
    [
        {},
        {"expected_status": [200, 204]},
        {"regex": r"delay.: -\d"},
        {"json_subset": {"predictions": [{"delay": 12.5}, {}]}},
        {"json_subset": {}},
        {"json_path": {"predictions[0].delay": 12.5, "$.predictions.1.delay": -3, "model": "m1"}},
        {"max_latency_seconds": 0.5},
    ],
)
def test_an_answer_as_expected_passes(test: dict[str, Any]) -> None:
    assert smoke.judge(test, 200, BODY, 0.2) is None


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ({"expected_status": 404}, "answered 200, expected 404"),
        ({"regex": "rmse"}, "does not match 'rmse'"),
        ({"json_subset": {"predictions": [{"delay": 12.5}]}}, "$.predictions has 2 items, not 1"),
        ({"json_subset": {"predictions": [{"delay": 1}, {}]}}, "$.predictions[0].delay is 12.5, not 1"),
        ({"json_subset": {"version": 2}}, "$ has no 'version'"),
        ({"json_subset": [1]}, "is not as expected"),
        ({"json_path": {"predictions[2].delay": 1}}, "predictions[2].delay is absent"),
        ({"json_path": {"model": "m2"}}, "model is 'm1', expected 'm2'"),
        ({"max_latency_seconds": 0.1}, "answered in 0.200 s, allowed are 0.1 s"),
    ],
)
def test_an_answer_that_is_wrong_is_told_with_its_body(test: dict[str, Any], says: str) -> None:
    problem = smoke.judge(test, 200, BODY, 0.2)
    assert problem is not None
    assert says in problem


def test_a_body_that_is_no_json_fails_where_json_is_expected() -> None:
    assert smoke.judge({"regex": "html"}, 200, b"<html>", 0.1) is None
    assert "no JSON" in str(smoke.judge({"json_subset": {}}, 200, b"<html>", 0.1))


def test_the_time_of_a_warmup_does_not_count() -> None:
    assert smoke.judge({"max_latency_seconds": 0.1}, 200, b"", None) is None


def test_nobody_answering_fails_the_test() -> None:
    with pytest.raises(smoke.SmokeTestFailed, match="no answer"):
        smoke.run({"timeout_seconds": 2}, "http://127.0.0.1:9", None, urllib.request.build_opener())
