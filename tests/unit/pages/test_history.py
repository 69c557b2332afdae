"""Curves and what else a history has, as a view shows them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.pages.history import MOST_POINTS, history_sections
from tests.unit.pages.documents import history


def test_the_first_six_curves_are_given_unless_others_are_asked_for() -> None:
    told = history([{"kind": "metric", "values": {f"m{n}": float(n) for n in range(9)}, "step": 1}])
    assert list(history_sections(told)["metrics"]["series"]) == [f"m{n}" for n in range(6)]
    assert list(history_sections(told, ["m8", "nothing"])["metrics"]["series"]) == ["m8"]
    assert history_sections(told)["metrics"]["last"]["m8"] == 8.0


def test_a_long_curve_is_thinned_out_and_keeps_its_peak() -> None:
    told = history([{"kind": "metric", "values": {"loss": 100.0 if n == 777 else 1.0}, "step": n} for n in range(1500)])
    curve = history_sections(told)["metrics"]["series"]["loss"]
    assert len(curve["x"]) == len(curve["y"]) <= MOST_POINTS
    assert curve["y"][curve["x"].index(777)] == 100.0


def test_a_name_that_turns_text_around_can_be_asked_for_as_it_is_shown() -> None:
    told = history([{"kind": "metric", "values": {"a\u202eb": 1.0, "c": 2.0}, "step": 1}])
    (name, _) = history_sections(told)["metrics"]["names"]
    assert name == "a\\u202eb"
    assert list(history_sections(told, [name])["metrics"]["series"]) == [name]


def test_what_is_not_there_is_no_section() -> None:
    assert history_sections({}) == {}
    assert history_sections(history([])) == {}


def test_rows_left_are_counted_by_the_rate() -> None:
    told = {"batch": {"rows": 50, "total_rows": 100, "rows_per_second": 10.0, "rate": [[1.0, 0], [6.0, 50]]}}
    section = history_sections(told)["batch"]
    assert section["seconds_left"] == 5.0
    assert section["series"] == {"x": [1.0, 6.0], "y": [0, 50]}


@pytest.mark.parametrize(
    "told",
    [
        {"rows": 5, "rows_per_second": 1},
        {"rows": 5, "total_rows": 100, "rows_per_second": 0},
        {"rows": 1, "total_rows": 100, "rows_per_second": -5},
        {"rows": 1, "total_rows": 1e300, "rows_per_second": 1e-10},
    ],
    ids=str,
)
def test_how_long_the_rows_left_take_may_be_not_known(told: dict[str, Any]) -> None:
    assert history_sections({"batch": told})["batch"]["seconds_left"] is None


@pytest.mark.parametrize(
    ("points", "shown"), [(7, {"points": 7}), (0, None), ("\ud800", None), (float("inf"), None)], ids=ascii
)
def test_how_many_points_are_left_out_is_a_number_or_nothing(points: Any, shown: Any) -> None:
    told = {"series": {"loss": [[1, 2.0]]}, "cut": {"points": points}}
    assert history_sections(told)["metrics"]["cut"] == shown


def test_resources_share_one_time_axis() -> None:
    told = {"resources": [[float(n), {"CPU used": float(n % 7), "GPU used": 0.0}] for n in range(500)]}
    section = history_sections(told)["resources"]
    assert {len(values) for values in section["series"].values()} == {len(section["x"])}
    assert section["x"] == sorted(section["x"])
