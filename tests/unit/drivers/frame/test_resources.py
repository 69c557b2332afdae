"""What was asked for and what the cluster has, in words."""

from __future__ import annotations

from airflow_provider_air.drivers.frame import resources


def test_amounts_are_told_as_people_write_them() -> None:
    assert resources._text({"GPU": 1.0, "CPU": 2.5}) == "CPU: 2.5, GPU: 1"
    assert resources._text({"CPU": 4.0, "node:x": 1.0}, [{"CPU": 1.0}, {"GPU": 1.0}]) == "CPU: 4, GPU: 0"
