"""What people see of an attempt: bounded, and thinned out evenly."""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import Any

import pytest

from airflow_provider_air.contracts.history import MOST_BYTES, MOST_LIVE_BYTES, MOST_POINTS
from airflow_provider_air.runs.history import MOST_SERIES, MOST_TRIALS, RunHistory


def metric(number: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "metric", "seq": number, "step": number, "values": {"loss": 1.0 / (1 + number)}, **fields}


def told(records: list[dict[str, Any]], most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    history = RunHistory()
    history.note_records(records)
    shown = history.to_json(most_bytes)
    json.dumps(shown, allow_nan=False)
    return shown


def test_a_short_curve_is_shown_as_it_is() -> None:
    records = [metric(number) for number in range(3)]

    assert told(records)["series"] == {"loss": [[0.0, 1.0], [1.0, 0.5], [2.0, 1 / 3]]}


@pytest.mark.parametrize("count", [MOST_POINTS - 1, MOST_POINTS, MOST_POINTS + 1, 10 * MOST_POINTS + 7, 123_457])
def test_a_long_curve_is_thinned_out_evenly_from_its_first_to_its_last_point(count: int) -> None:
    points = told([metric(number) for number in range(count)])["series"]["loss"]
    steps = [at for at, _ in points]
    gaps = [after - before for before, after in itertools.pairwise(steps)]

    assert MOST_POINTS / 4 < len(points) <= MOST_POINTS
    assert steps[-1] == count - 1
    assert steps[0] <= max(gaps)
    # The last point is there whatever the stride is.
    assert len(set(gaps[:-1])) <= 2


def test_what_is_too_large_is_thinned_out_until_it_fits() -> None:
    names = [f"metric-{number}" for number in range(50)]
    records = [metric(number, values=dict.fromkeys(names, random.Random(number).random())) for number in range(3000)]

    for most in (MOST_LIVE_BYTES, MOST_BYTES):
        shown = told(records, most)
        assert len(json.dumps(shown, separators=(",", ":"))) <= most
        assert set(shown["series"]) == set(names)
        assert {series[-1][0] for series in shown["series"].values()} == {2999.0}


def test_more_series_and_trials_than_anybody_reads_are_counted() -> None:
    many = {f"m{number}": 1.0 for number in range(MOST_SERIES + 7)}
    trials = [metric(1 + number, trial=f"t{number}") for number in range(MOST_TRIALS + 3)]

    shown = told([metric(0, values=many), *trials])

    assert (len(shown["series"]), len(shown["trials"])) == (MOST_SERIES, MOST_TRIALS)
    assert shown["cut"] == {"series": 7, "trials": 3}


def test_trials_have_a_row_each_with_the_last_of_their_values() -> None:
    records = [
        metric(0, trial="a", config={"lr": 0.1}, values={"loss": 3.0, "acc": 0.1}),
        metric(1, trial="b", config={"lr": 0.2}, values={"loss": 2.0}),
        metric(2, trial="a", status="TERMINATED", values={"loss": 1.0}),
    ]
    shown = told(records)

    assert shown["trials"] == [
        {"trial": "a", "config": {"lr": 0.1}, "step": 2, "values": {"loss": 1.0, "acc": 0.1}, "status": "TERMINATED"},
        {"trial": "b", "config": {"lr": 0.2}, "step": 1, "values": {"loss": 2.0}},
    ]
    assert shown["series"] == {}


def test_what_is_no_number_is_none_and_what_is_none_is_left_out() -> None:
    values = {"nan": math.nan, "inf": -math.inf, "yes": True, "text": "x", "none": None}
    config = {"lr": math.nan, "layers": (1, 2), "of": object}
    shown = told([metric(0, values=values), metric(1, trial="a", config=config, values={"loss": math.nan})])

    assert shown["series"] == {"nan": [[0.0, None]], "inf": [[0.0, None]]}
    (row,) = shown["trials"]
    assert (row["config"]["lr"], row["config"]["layers"], row["values"]) == (None, [1, 2], {"loss": None})


def test_records_that_were_taken_in_before_are_passed_over() -> None:
    history = RunHistory()
    for start in (0, 0, 2):
        history.note_records([metric(number) for number in range(start, 5)])

    assert len(history.to_json()["series"]["loss"]) == 5
    assert history.to_json()["next_record"] == 5


def test_steps_keep_their_first_time_and_resources_and_checkpoints_their_last() -> None:
    history = RunHistory()
    history.note_step("running", 5.0)
    history.note_step("running", 7.0)
    for number in range(600):
        history.note_resources(float(number), {"CPU": number})
    history.note_records([{"kind": "checkpoint", "seq": n, "t": float(n), "uri": f"s3://c/{n}"} for n in range(600)])
    shown = history.to_json()

    assert shown["steps"] == {"running": 5.0}
    assert (shown["resources"][-1], shown["checkpoints"][-1]) == (
        [599.0, {"CPU": 599}],
        {"at": 599.0, "uri": "s3://c/599"},
    )
    assert max(len(shown["resources"]), len(shown["checkpoints"])) <= 500


def test_whatever_a_record_holds_there_is_a_history() -> None:
    odd = {"huge": 10**400, "nan": math.nan, "true": True, "text": "x", "none": None}
    shown = told([metric(0, values={**odd, "loss": 0.5}, step=10**400), metric(1, values=odd, trial="t1")])

    assert shown["series"] == {"loss": [[0.0, 0.5]], "nan": [[0.0, None]]}
    [row] = shown["trials"]
    assert row["values"] == {"nan": None}


def test_a_trial_of_very_many_metrics_stays_small() -> None:
    values = {f"m{number}": 1.0 for number in range(100_000)}

    assert len(told([metric(0, values=values, trial="t1")])["trials"][0]["values"]) == MOST_SERIES
