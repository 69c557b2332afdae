"""The metrics history of a training run across its attempts."""

from __future__ import annotations

import json
import math

import numpy

from airflow_provider_air.drivers.history import MAX_RESULT_BYTES, MAX_RESULT_ROWS, History, fitted, numbers, plain
from airflow_provider_air.drivers.records import decode


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


def test_reported_values_become_what_a_record_takes() -> None:
    value = plain({"a": numpy.float64(1.5), "b": (1, {"c": None}), "d": object, 3: math.inf})
    assert decode({"a": value["a"], "3": value["3"]}) == {"a": 1.5, "3": math.inf}
    assert value["b"] == [1, {"c": None}]
    assert value["d"] == "<class 'object'>"


def test_only_numbers_are_plotted() -> None:
    assert numbers({"a": 1, "b": 2.5, "c": True, "d": "x", "e": None}) == {"a": 1, "b": 2.5}


def test_a_result_is_shortened_from_its_beginning_until_it_can_travel() -> None:
    short = fitted({"n": 2000, "rows": list(range(2000)), "kept": ["c"]}, "rows", "kept")
    assert short == {"n": 2000, "rows": list(range(2000 - MAX_RESULT_ROWS, 2000)), "kept": ["c"]}
    large = fitted({"rows": ["x" * 10_000] * 900 + ["last"], "kept": ["c"]}, "rows", "kept")
    assert len(json.dumps(large)) <= MAX_RESULT_BYTES
    assert (large["rows"][-1], large["kept"]) == ("last", ["c"])
