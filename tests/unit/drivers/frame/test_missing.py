"""A metric that was named, and is not among what is reported."""

from __future__ import annotations

import pytest

from airflow_provider_air.drivers.frame.missing import FIRST_REPORTS, MissingMetric


def test_it_is_told_once_with_what_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    missing = MissingMetric("val/acc")
    for _ in range(FIRST_REPORTS - 1):
        missing.note({"loss": 1.0})
    assert capfd.readouterr().err == ""
    for _ in range(100):
        missing.note({"val": {"loss": 1.0}})

    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert [word for word in ("'val/acc'", "'loss'", "'val/loss'") if word not in said] == []


def test_one_that_came_once_is_not_missed(capfd: pytest.CaptureFixture[str]) -> None:
    missing = MissingMetric("val/acc")
    missing.note({"val": {"acc": 1.0}})
    for _ in range(100):
        missing.note({"loss": 1.0})

    assert capfd.readouterr().err == ""


def test_nothing_is_missed_where_nothing_was_named(capfd: pytest.CaptureFixture[str]) -> None:
    missing = MissingMetric(None)
    for _ in range(100):
        missing.note({"loss": 1.0})

    assert capfd.readouterr().err == ""


def test_the_end_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    MissingMetric("acc").judge([f"m{number:03}" for number in range(100)])

    said = capfd.readouterr().err
    assert "'acc'" in said
    assert "'m019' and 80 more" in said
