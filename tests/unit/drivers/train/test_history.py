"""The metrics history of a training run across its attempts."""

from __future__ import annotations

import math

import pytest

from airflow_provider_air.drivers.train.history import History
from tests.kinds.metrics import Scalar


def reported(*checkpoints: str | None) -> History:
    history = History()
    for epoch, checkpoint in enumerate(checkpoints):
        history.add({"epoch": epoch}, checkpoint)
    return history


def epochs(history: History) -> list[int]:
    return [row["metrics"]["epoch"] for row in history.rows]


def test_what_came_after_the_checkpoint_is_dropped_on_resume() -> None:
    history = reported(None, "c1", None, "c2", None)
    history.resume_at("c1", {"epoch": 1})
    assert epochs(history) == [0, 1]
    assert history.add({"epoch": 2}, None)["report"] == 2


def test_a_row_that_a_kill_kept_from_being_written_is_filled_in() -> None:
    history = reported(None, "c1", None)
    history.resume_at("c2", {"epoch": 3})
    assert epochs(history) == [0, 1, 2, 3]
    assert history.rows[-1]["checkpoint"] == "c2"


def test_without_a_checkpoint_a_run_starts_with_no_history() -> None:
    history = reported(None, None)
    history.resume_at(None, None)
    assert history.rows == []


def test_rewinding_keeps_everything_up_to_the_last_checkpoint() -> None:
    history = reported(None, "c1", None, None)
    assert history.rewind() == 2
    assert epochs(history) == [0, 1]
    assert reported(None).rewind() == 0


def test_the_file_survives_a_line_that_was_cut_short() -> None:
    history = reported(None, "c1", None)
    data = history.dump()
    assert History.parse(data).rows == history.rows
    assert epochs(History.parse(data[:-5])) == [0, 1]
    assert History.parse(b"").rows == []


def test_the_best_row_follows_the_mode_and_is_never_nan() -> None:
    history = History()
    for value in (3.0, math.nan, 1, None, True, 2.0):
        history.add({"loss": value}, None)
    best_low, best_high = history.best("loss", "min"), history.best("loss", "max")
    assert best_low is not None
    assert best_high is not None
    assert (best_low["report"], best_high["report"]) == (2, 0)
    assert history.best("auc", "max") is None
    assert history.metric_names() == ["loss"]


def test_a_metric_is_found_by_its_flat_name_whatever_library_its_value_is_of() -> None:
    history = History()
    for value in (0.5, Scalar(0.75), math.inf):
        history.add({"val": {"acc": value}}, None)
    best = history.best("val/acc", "max")

    assert best is not None
    assert best["report"] == 1
    assert History.parse(history.dump()).best("val/acc", "max") == best
    assert history.metric_names() == ["val/acc"]


def test_what_comes_for_a_checkpoint_after_its_report_is_in_its_row() -> None:
    history = reported("c1", "c2")
    late = history.complete("c1", {"epoch": 7, "acc": 0.5})

    assert late is not None
    assert (late["report"], late["metrics"]) == (0, {"acc": 0.5})
    assert [row["metrics"] for row in history.rows] == [{"epoch": 0, "acc": 0.5}, {"epoch": 1}]
    assert history.complete("c1", {"acc": 0.5}) is None
    assert history.complete("gone", {"acc": 0.5}) is None


def test_a_row_never_carries_a_large_value() -> None:
    numpy = pytest.importorskip("numpy")
    history = History()
    row = history.add({"loss": 1.0, "confusion": numpy.zeros((800, 800)), "names": ["x" * 100] * 1000}, "c1")
    history.complete("c1", {"curve": numpy.zeros(100_000), "acc": 0.5})

    assert len(history.dump()) < 2000
    assert (row["metrics"]["loss"], row["metrics"]["acc"]) == (1.0, 0.5)
    assert row["metrics"]["confusion"] == "<numpy.ndarray of shape (800, 800), 5120000 bytes: left out>"
