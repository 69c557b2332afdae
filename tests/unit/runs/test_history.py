"""What people see of an attempt: bounded, and thinned out evenly; no peak is lost."""

from __future__ import annotations

import itertools
import json
import math
import random
from typing import Any

import pytest

from airflow_provider_air.contracts.history import MOST_BYTES, MOST_LIVE_BYTES, MOST_POINTS
from airflow_provider_air.runs.history import MOST_EARLIER_BYTES, MOST_SERIES, RunHistory, shortened
from airflow_provider_air.runs.trials import CONFIG_BYTES, MOST_TRIALS


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
    assert (steps[0], steps[-1]) == (0, count - 1)
    # Two stretches at most are between two points, and each has at least two of them.
    assert max(gaps) <= 8 * count / MOST_POINTS


def noisy(count: int, seed: int) -> list[float]:
    """Give values of which some are no numbers, with one peak and one dip far out."""
    chance = random.Random(seed)
    values = [chance.choice([math.nan, math.inf]) if chance.random() < 0.1 else chance.random() for _ in range(count)]
    peak, dip = chance.sample(range(count), 2)
    values[peak], values[dip] = 99.0, -99.0
    return values


@pytest.mark.parametrize("count", [700, MOST_POINTS + 1, 6_000, 40_000])
@pytest.mark.parametrize("seed", range(3))
def test_no_peak_and_no_dip_is_lost(count: int, seed: int) -> None:
    values = {f"m{number}": noisy(count, 100 * seed + number) for number in range(12 if count < 3000 else 2)}
    history = RunHistory()
    history.note_records(
        [metric(at, values={name: curve[at] for name, curve in values.items()}) for at in range(count)]
    )
    live, kept = history.to_json(MOST_LIVE_BYTES), history.to_json()

    for shown in (live, kept, shortened(kept)):
        for name, curve in values.items():
            steps, left = zip(*shown["series"][name], strict=True)
            numbers = [value for value in left if value is not None]
            assert (min(numbers), max(numbers), None in left) == (-99.0, 99.0, True)
            assert list(steps) == sorted(set(steps))
            assert (steps[0], steps[-1]) == (0, count - 1)
            assert all(
                value == curve[int(at)] if math.isfinite(curve[int(at)]) else value is None
                for at, value in shown["series"][name]
            )


@pytest.mark.parametrize("odd", ["x", [], ["x", [1]], [[1, 2, 3], None, {}], [[n, "x"] for n in range(9000)]])
def test_what_another_version_has_kept_is_shortened_whatever_its_curves_are(odd: Any) -> None:
    points = [[float(number), 1.0] for number in range(50_000)]

    short = shortened({"version": 2, "series": {"odd": odd, "loss": points}})

    assert short["series"]["loss"][-1] == points[-1]
    assert len(json.dumps(short, separators=(",", ":"))) <= MOST_EARLIER_BYTES


@pytest.mark.parametrize("trials", [1, 7, 150])
def test_no_peak_of_a_trial_is_lost_however_few_points_there_are_for_it(trials: int) -> None:
    begun = [progress(n, trial=f"t{n}", trial_state="running", metric="loss", mode="min") for n in range(trials)]
    curves = [noisy(700, number) for number in range(trials)]
    reports = [
        metric(trials * (1 + step) + n, trial=f"t{n}", step=step, values={"loss": curves[n][step]})
        for step in range(700)
        for n in range(trials)
    ]

    for curve in told([*begun, *reports])["curves"].values():
        numbers = [value for _, value in curve if value is not None]
        assert (min(numbers), max(numbers)) == (-99.0, 99.0)
        assert (curve[0][0], curve[-1][0]) == (0, 699)


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


def progress(number: int, **fields: Any) -> dict[str, Any]:
    return {"kind": "progress", "seq": number, "t": 1000.0 + number, **fields}


def test_each_trial_has_a_curve_of_what_trials_are_compared_by() -> None:
    starts = progress(0, trial="a", trial_state="running", metric="loss", mode="min", config={"lr": 0.1}, total=8)
    reports = [metric(1 + n, trial="ab"[n % 2], step=n, values={"acc": 0.1, "loss": 9.0 - n}) for n in range(6)]
    ends = progress(7, trial="b", trial_state="failed", error="ValueError: no", states={"running": 1, "error": 1})

    shown = told([starts, *reports, ends])

    assert (shown["metric"], shown["mode"]) == ("loss", "min")
    assert shown["curves"] == {"a": [[0.0, 9.0], [2.0, 7.0], [4.0, 5.0]], "b": [[1.0, 8.0], [3.0, 6.0], [5.0, 4.0]]}
    assert (shown["trial_states"], shown["trials_total"]) == ({"running": 1, "error": 1}, 8)
    first, second = shown["trials"]
    assert (first["status"], first["config"], first["began_at"]) == ("running", {"lr": 0.1}, 1000.0)
    assert (second["status"], second["error"], second["ended_at"]) == ("failed", "ValueError: no", 1007.0)


def test_without_a_metric_told_a_trial_has_a_curve_of_its_first_one() -> None:
    values = {"training_iteration": 1, "rmse": 3.0, "mae": 2.0}

    shown = told([metric(0, trial="a", values=values), metric(1, trial="b", values=values)])

    assert (shown["metric"], shown["curves"]["a"]) == ("rmse", [[0.0, 3.0]])


def test_the_only_trial_is_no_search_and_has_all_its_curves() -> None:
    alone = told([metric(n, trial="a", values={"reward": n, "length": 2 * n}) for n in range(2)])

    assert alone["series"] == {"reward": [[0.0, 0.0], [1.0, 1.0]], "length": [[0.0, 0.0], [1.0, 2.0]]}


def search(trials: int, reports: int) -> list[dict[str, Any]]:
    config = {f"parameter-{number}": 0.123456789 for number in range(8)}
    begun = [
        progress(n, trial=f"trial_{n:05d}", trial_state="running", config=config, metric="loss", mode="min")
        for n in range(trials)
    ]
    values = [{"loss": 1.0 / (1 + n), "accuracy": 0.123456789} for n in range(trials)]
    told = [
        metric(trials * (1 + step) + n, trial=f"trial_{n:05d}", step=step, values=values[n])
        for step in range(reports)
        for n in range(trials)
    ]
    return [*begun, *told]


@pytest.mark.parametrize("most", [MOST_LIVE_BYTES, MOST_BYTES])
def test_a_thousand_trials_and_their_curves_fit(most: int) -> None:
    shown = told(search(MOST_TRIALS, 60), most)

    assert len(json.dumps(shown, separators=(",", ":"))) <= most
    assert {curve[-1][0] for curve in shown["curves"].values()} == {59.0}
    assert set(shown["curves"]) == {row["trial"] for row in shown["trials"]}
    if most == MOST_BYTES:
        assert len(shown["trials"]) == MOST_TRIALS
    else:
        # Some had to go; the best ones stay.
        assert shown["trials"][-1]["trial"] == f"trial_{MOST_TRIALS - 1:05d}"
        assert shown["cut"]["trials"] == MOST_TRIALS - len(shown["trials"])


def test_settings_of_a_trial_that_nobody_can_read_are_left_out() -> None:
    config = {"lr": 0.1, "prompt": "x" * CONFIG_BYTES, "layers": 3}

    [row] = told([progress(0, trial="a", trial_state="running", config=config)])["trials"]

    assert row["config"] == {"lr": 0.1, "layers": 3}


def test_a_batch_inference_has_its_blocks_and_a_rate() -> None:
    batches = [
        progress(n, done=100 * n, batch={"rows": 100 * n, "blocks": n, "total_blocks": 10, "total_rows": 1000})
        for n in range(1, 5)
    ]
    shown = told(batches)

    assert shown["batch"].pop("rate") == [[1000.0 + n, 100.0 * n] for n in range(1, 5)]
    assert shown["batch"] == {
        "rows": 400,
        "blocks": 4,
        "total_rows": 1000,
        "total_blocks": 10,
        "rows_per_second": 100.0,
    }
    assert shown["progress"] == {"at": 1004.0, "done": 400}


@pytest.mark.parametrize(
    ("rows", "total", "rate"),
    [
        ([0, 400, 400], 1000, 0.0),
        # All is read, and the last records tell nothing new: over all the time that it took.
        ([0, 1000, 1000], 1000, 10.0),
        ([0, 500, 500, 1000, 1000], 1000, 5.0),
        # An attempt that began anew counts alone.
        ([0, 600, 0, 500], 1000, 10.0),
        ([0, 600, 0, 1000, 1000], 1000, 10.0),
        ([600, 0], 1000, None),
        ([500], 500, None),
    ],
)
def test_the_rate_of_a_batch_inference_is_of_now_and_at_its_end_of_all(
    rows: list[int], total: int, rate: float | None
) -> None:
    batches = [progress(50 * n, batch={"rows": count, "total_rows": total}) for n, count in enumerate(rows)]

    assert told(batches)["batch"]["rows_per_second"] == rate


@pytest.mark.parametrize("count", range(30_000, 30_300, 23))
def test_the_rate_of_a_long_batch_inference_is_no_moments(count: int) -> None:
    """Rows come in blocks, and of so many records some are close together."""
    batches = [progress(n, batch={"rows": 500 * (n // 5), "total_rows": 10**9}) for n in range(count)]

    assert told(batches)["batch"]["rows_per_second"] == pytest.approx(100.0, rel=0.2)


def test_a_roll_out_has_its_steps_and_its_applications_as_they_are_now() -> None:
    deployments = [{"name": "Model", "status": "UPDATING", "replicas": 0, "target": 2}]
    serve = {"name": "app--1", "application": "app", "status": "DEPLOYING", "deployments": deployments}
    shown = told(
        [
            progress(0, message="app--1 DEPLOYING", step="application", state="DEPLOYING", serve=serve),
            progress(1, message="app--1 passed", step="smoke test", state="passed", application="app--1"),
            progress(2, serve={"name": "app--1", "status": "RUNNING", "route_prefix": "/", "version": "1"}),
        ]
    )

    [application] = shown["serve"]["applications"]
    assert application == {**serve, "status": "RUNNING", "route_prefix": "/", "version": "1"}
    assert [(step["at"], step["name"], step["state"]) for step in shown["serve"]["steps"]] == [
        (1000.0, "application", "DEPLOYING"),
        (1001.0, "smoke test", "passed"),
    ]


def test_workers_data_and_features_are_those_that_were_told_last() -> None:
    history = RunHistory()
    history.note_about(
        {
            "inputs": [{"name": "train", "uri": "s3://rows"}, {"name": "test", "uri": "s3://more"}],
            "features": [{"store": "feast", "feature_service": "delay_v1"}],
            "trackers": [{"kind": "mlflow", "run_id": "r1"}],
        }
    )
    history.note_records(
        [
            progress(0, phase="start", resumed_from=None),
            progress(1, workers=2),
            progress(2, workers=1),
            progress(3, data={"inputs": [{"name": "train", "rows": 5, "schema": {"a": "int64"}}]}),
            progress(4, features={"feature_service": "delay_v1", "fingerprint": "f", "rows": {"train": 5}}),
        ]
    )
    shown = history.to_json()

    assert shown["workers"] == {"count": 1, "starts": 2, "resumed_from": None}
    assert shown["inputs"] == [
        {"name": "train", "uri": "s3://rows", "rows": 5, "schema": {"a": "int64"}},
        {"name": "test", "uri": "s3://more"},
    ]
    assert shown["features"] == [{"store": "feast", "feature_service": "delay_v1", "fingerprint": "f"}]
    assert shown["trackers"] == [{"kind": "mlflow", "run_id": "r1"}]


@pytest.mark.parametrize(
    "field",
    ["batch", "serve", "step", "data", "features", "workers", "states", "config", "trial", "metric", "total", "t"],
)
@pytest.mark.parametrize(
    "odd", [None, [], [1], {"a": 1}, {"inputs": 3}, {"deployments": [7]}, "\udc80\0</script>", 1e400]
)
def test_whatever_a_driver_tells_in_free_fields_there_is_a_history(field: str, odd: Any) -> None:
    record = progress(0, trial="a", trial_state="running", message="\x1b[31m\u202e")

    told([{**record, field: odd}, metric(1)])


def test_what_was_seen_goes_home_with_the_event_and_joins_what_the_records_say() -> None:
    watched = RunHistory()
    watched.note_step("running", 60.0)
    watched.note_cluster({"name": "c", "expires_at": None, "nodes_total": 1})
    watched.note_tasks({"f": {"FINISHED": 2}})
    for number in range(400):
        watched.note_resources(float(number), {"CPU used": 1.0})
    seen = json.loads(json.dumps(watched.seen()))
    kept = RunHistory({"submission_id": "air-1", "workload": "submit"})
    kept.take(seen, since=50.0)
    shown = kept.to_json()

    assert len(json.dumps(seen)) < 20_000
    assert (shown["submission_id"], shown["steps"], shown["tasks"]) == (
        "air-1",
        {"running": 60.0},
        {"f": {"FINISHED": 2}},
    )
    assert shown["cluster"] == {"name": "c", "nodes_total": 1}
    assert shown["resources"][-1] == [399.0, {"CPU used": 1.0}]


@pytest.mark.parametrize("odd", [None, 3, "x", [], {"steps": 3, "cluster": [], "resources": [[1]], "tasks": "x"}])
def test_what_another_version_has_seen_is_passed_over_where_it_has_another_shape(odd: Any) -> None:
    history = RunHistory()
    history.take(odd)

    assert history.to_json()["resources"] == []
