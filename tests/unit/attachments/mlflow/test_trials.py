"""Tune's trials as nested runs: while they run, over failures, restarts and outages, each once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.attachments.mlflow import server as mlflow_server
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracking import MlflowTracking
from airflow_provider_air.attachments.mlflow.trials import Trials
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import UnavailableError
from tests.fakes.mlflow import FakeMlflow

INFO = AttemptInfo(TaskKey("here", "flights", "manual__1", "tune"), "air-1", "flights-tune-g1", 1, 1, "tune", "c")
RETRY = replace(INFO, submission_id="air-2", try_number=2)


@pytest.fixture
def mlflow() -> Iterator[FakeMlflow]:
    with FakeMlflow() as server:
        yield server


def tracking(mlflow: FakeMlflow) -> MlflowTracking:
    return MlflowTracking(MlflowServer(mlflow.url), "delays", tags={})


def state_of(mlflow: FakeMlflow) -> dict[str, Any]:
    return dict(tracking(mlflow).before_submit(INFO).state)


def numbered(*records: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"v": 1, "seq": seq, "t": 100.0 + seq, **record} for seq, record in enumerate(records)]


def starts(trial: str, **config: Any) -> dict[str, Any]:
    return {"kind": "progress", "message": "", "trial": trial, "trial_state": "running", "config": config}


def reports(trial: str, step: int, **values: float) -> dict[str, Any]:
    return {"kind": "metric", "values": values, "step": step, "trial": trial}


def ends(trial: str, state: str = "finished", **more: Any) -> dict[str, Any]:
    return {"kind": "progress", "message": "", "trial": trial, "trial_state": state, **more}


STORY = numbered(
    starts("a", lr=0.1),
    starts("b", lr=0.2),
    reports("a", 1, loss=3.0),
    reports("b", 1, loss=5.0),
    reports("a", 2, loss=1.0),
    ends("a"),
    ends("b", "failed", error="boom"),
)


def nested(mlflow: FakeMlflow) -> dict[str, dict[str, Any]]:
    """Give the runs of trials that are not deleted, by the trial's id."""
    alive = [run for run_id, run in mlflow.runs.items() if run_id not in mlflow.deleted]
    found = [run for run in alive if "air.trial_id" in run["tags"]]
    names = [run["tags"]["air.trial_id"].rpartition("/")[2] for run in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def test_trials_are_nested_runs_while_they_run(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    watch = tracking(mlflow)
    watch.on_records(INFO, state, STORY[:4])
    seen = nested(mlflow)

    assert {name: run["status"] for name, run in seen.items()} == {"a": "RUNNING", "b": "RUNNING"}
    assert {name: run["params"] for name, run in seen.items()} == {"a": {"lr": "0.1"}, "b": {"lr": "0.2"}}
    assert {run["tags"]["mlflow.parentRunId"] for run in seen.values()} == {state["run_id"]}
    assert (seen["a"]["metrics"], seen["a"]["start"]) == ({("loss", 1, "3.0")}, 100_000)

    watch.on_records(INFO, state, STORY[4:])
    seen = nested(mlflow)
    assert seen["a"]["metrics"] == {("loss", 1, "3.0"), ("loss", 2, "1.0")}
    assert {name: (run["status"], run["end"]) for name, run in seen.items()} == {
        "a": ("FINISHED", 105_000),
        "b": ("FAILED", 106_000),
    }
    assert seen["b"]["tags"]["air.message"] == "boom"
    assert mlflow.runs[state["run_id"]]["metrics"] == set(), "no curve is mixed of all trials"


def test_a_failed_experiment_has_its_trials(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    tracking(mlflow).on_records(INFO, state, STORY)
    tracking(mlflow).on_end(INFO, state, Outcome("FAILED", "1 of 2 trials failed"))

    assert {name: run["status"] for name, run in nested(mlflow).items()} == {"a": "FINISHED", "b": "FAILED"}
    assert mlflow.runs[state["run_id"]]["status"] == "FAILED"


@pytest.mark.parametrize(("outcome", "status"), [("STOPPED", "KILLED"), ("LOST", "FAILED"), ("DEADLINE", "KILLED")])
def test_a_trial_ends_with_its_job(mlflow: FakeMlflow, outcome: str, status: str) -> None:
    state = state_of(mlflow)
    tracking(mlflow).on_records(INFO, state, STORY[:6])
    tracking(mlflow).on_end(INFO, state, Outcome(outcome))

    assert {name: run["status"] for name, run in nested(mlflow).items()} == {"a": "FINISHED", "b": status}


def test_a_retry_goes_on_in_the_same_runs(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    tracking(mlflow).on_records(INFO, state, STORY[:6])
    tracking(mlflow).on_end(INFO, state, Outcome("LOST"))
    restored = numbered(starts("b", lr=0.2), reports("b", 2, loss=0.5))
    again = tracking(mlflow)
    again.before_submit(RETRY)
    again.on_records(RETRY, state, restored)
    assert nested(mlflow)["b"]["status"] == "RUNNING"

    rows = [{"trial_id": name, "config": {"lr": 1}, "metrics": {"loss": 0.5}} for name in "ab"]
    for _ in range(2):
        tracking(mlflow).on_records(RETRY, state, [*restored, {**ends("b"), "seq": 2, "t": 200.0}])
        tracking(mlflow).on_end(RETRY, state, Outcome("SUCCEEDED", result={"trials": rows}))

    seen = nested(mlflow)
    assert {name: run["status"] for name, run in seen.items()} == {"a": "FINISHED", "b": "FINISHED"}
    assert seen["b"]["metrics"] == {("loss", 1, "5.0"), ("loss", 2, "0.5")}
    assert seen["b"]["params"] == {"lr": "0.2"}


def test_a_server_that_was_away_gets_all_at_the_end(mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_server, "PAUSES_SECONDS", (0.01,))
    state = state_of(mlflow)
    watch = tracking(mlflow)
    watch.on_records(INFO, state, STORY[:3])
    mlflow.away = True
    with pytest.raises(UnavailableError):
        watch.on_records(INFO, state, STORY[3:5])
    mlflow.away = False
    watch.on_records(INFO, state, STORY[5:])  # what it had missed is not sent again while the job runs

    tracking(mlflow).on_records(INFO, state, STORY)
    tracking(mlflow).on_end(INFO, state, Outcome("SUCCEEDED", result={}))

    seen = nested(mlflow)
    assert seen["a"]["metrics"] == {("loss", 1, "3.0"), ("loss", 2, "1.0")}
    assert seen["b"]["metrics"] == {("loss", 1, "5.0")}
    assert {name: run["status"] for name, run in seen.items()} == {"a": "FINISHED", "b": "FAILED"}


def test_two_that_hand_over_at_one_time_leave_one_run(mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of(mlflow)
    first, second = (Trials(MlflowServer(mlflow.url), "7", state["run_id"]) for _ in range(2))
    with monkeypatch.context() as patch:
        # Each looks before the other makes a run.
        patch.setattr(Trials, "_find", lambda self, trial: None)
        for one in (first, second):
            one._runs()
        for one in (first, second):
            one.take(STORY[:1])
    assert len(mlflow.runs) == 3

    tracking(mlflow).on_records(INFO, state, STORY)
    tracking(mlflow).on_end(INFO, state, Outcome("SUCCEEDED", result={}))

    assert {name: run["status"] for name, run in nested(mlflow).items()} == {"a": "FINISHED", "b": "FAILED"}


def test_what_was_handed_over_live_is_not_sent_again(mlflow: FakeMlflow) -> None:
    info = replace(INFO, workload="train")
    state = state_of(mlflow)
    records = numbered(*({"kind": "metric", "values": {"loss": 1.0}, "step": step} for step in range(3000)))
    live = tracking(mlflow)
    live.on_records(info, state, records[:1500])
    live.on_records(info, state, records[1500:2500])

    tracking(mlflow).on_records(info, state, records)
    tracking(mlflow).on_records(replace(info, submission_id="air-2"), state, records[:10])

    assert mlflow.points == 3010, "another job's records begin anew"
    assert len(mlflow.runs[state["run_id"]]["metrics"]) == 3000


def test_a_gap_is_filled_at_the_end(mlflow: FakeMlflow) -> None:
    info = replace(INFO, workload="train")
    state = state_of(mlflow)
    records = numbered(*({"kind": "metric", "values": {"loss": 1.0}, "step": step} for step in range(30)))
    live = tracking(mlflow)
    for part in (records[:10], records[20:]):
        live.on_records(info, state, part)

    tracking(mlflow).on_records(info, state, records)

    assert len(mlflow.runs[state["run_id"]]["metrics"]) == 30
    assert mlflow.points == 40


def test_many_trials_are_a_few_calls_each_and_none_for_those_that_are_idle(mlflow: FakeMlflow) -> None:
    state = state_of(mlflow)
    events = [event for n in range(200) for event in (starts(str(n), lr=n), reports(str(n), 1, loss=n), ends(str(n)))]
    records = numbered(*events)
    live = tracking(mlflow)
    before = len(mlflow.calls)
    live.on_records(INFO, state, records)
    assert len(mlflow.calls) - before < 6 * 200

    before = len(mlflow.calls)
    live.on_records(INFO, state, [{**reports("7", 2, loss=0.0), "seq": 600, "t": 3000.0}])
    assert len(mlflow.calls) - before == 2

    rows = [{"trial_id": str(n), "config": {"lr": n}, "metrics": {"loss": n}} for n in range(200)]
    before = len(mlflow.calls)
    tracking(mlflow).on_end(INFO, state, Outcome("SUCCEEDED", result={"trials": rows}))
    assert len(mlflow.calls) - before == 3
