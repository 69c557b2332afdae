"""CPU-hours are what a cluster had, times how long."""

from __future__ import annotations

import pytest

from airflow_provider_air.pages.summary import hours_of, summary_of


def test_hours_count_each_amount_until_the_next_look() -> None:
    history = {
        "steps": {"ready": 0.0, "ended": 7200.0},
        "resources": [[600.0, {"CPU total": 4, "GPU total": 0}], [3600.0, {"CPU total": 8, "GPU total": 2}]],
    }
    told = summary_of(history)
    assert hours_of(told["had"]["cpu_hours"]) == pytest.approx(4 * 1 + 8 * 1)
    assert hours_of(told["had"]["gpu_hours"]) == pytest.approx(2)


def test_a_cluster_that_stays_as_it_is_takes_one_line() -> None:
    resources = [[float(at), {"CPU total": 4}] for at in range(500)]
    assert summary_of({"resources": resources})["had"]["cpu_hours"] == [(0.0, 499.0, 4.0)]


def test_what_several_saw_at_a_time_counts_once() -> None:
    hour = 3600.0
    seen = [(0.0, 2 * hour, 4.0), (hour, 3 * hour, 4.0), (hour, 2 * hour, 4.0), (5 * hour, 6 * hour, 2.0)]
    assert hours_of(seen) == hours_of(reversed(seen)) == pytest.approx(4 * 3 + 2)


def test_what_nobody_saw_is_not_known() -> None:
    assert hours_of(summary_of({})["had"]["cpu_hours"]) is None
    assert hours_of(summary_of({"resources": [["x", {}], 5]})["had"]["cpu_hours"]) is None


def test_hours_that_no_number_holds_are_not_known() -> None:
    assert hours_of([(0.0, 1e5, 1e308)]) is None


def test_last_values_are_those_of_the_curves() -> None:
    history = {"series": {"loss": [[1, 3.0], [2, 1.0]], "nan": [[1, None]], "odd": "x", "none": []}}
    assert summary_of(history)["last"] == {"loss": 1.0, "nan": None, "odd": None, "none": None}
