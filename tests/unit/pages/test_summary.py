"""CPU-hours are what a cluster had, times how long."""

from __future__ import annotations

import pytest

from airflow_provider_air.pages.summary import summary_of


def test_hours_count_each_amount_until_the_next_look() -> None:
    history = {
        "steps": {"ready": 0.0, "ended": 7200.0},
        "resources": [[600.0, {"CPU total": 4, "GPU total": 0}], [3600.0, {"CPU total": 8, "GPU total": 2}]],
    }
    told = summary_of(history)
    assert told["cpu_hours"] == pytest.approx(4 * 1 + 8 * 1)
    assert told["gpu_hours"] == pytest.approx(2)


def test_what_nobody_saw_is_not_known() -> None:
    assert summary_of({})["cpu_hours"] is None
    assert summary_of({"resources": [["x", {}], 5]})["cpu_hours"] is None


def test_last_values_are_those_of_the_curves() -> None:
    history = {"series": {"loss": [[1, 3.0], [2, 1.0]], "nan": [[1, None]], "odd": "x", "none": []}}
    assert summary_of(history)["last"] == {"loss": 1.0, "nan": None, "odd": None, "none": None}
