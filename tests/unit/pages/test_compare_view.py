"""The same task of several runs."""

from __future__ import annotations

from airflow_provider_air.pages.compare_view import compare_view, compared_run
from tests.unit.pages.documents import facts


def test_runs_are_held_against_one_another() -> None:
    history = {"series": {"loss": [[1, 2.0]], "rmse": [[1, 3.0]]}}
    runs = [
        compared_run(facts(), {"loss": 2.0, "name": "text", "nan": float("nan")}, history, ["loss", "unknown"]),
        compared_run(facts(state="failed"), {"rmse": 1.0}, {}, ["loss"]),
    ]
    view = compare_view(runs)
    assert view["metrics"] == ["loss", "rmse"]
    assert view["runs"][0]["values"] == {"loss": 2.0}
    assert view["runs"][0]["series"] == {"loss": {"x": [1], "y": [2.0]}}
    assert view["runs"][1]["series"] == {}
