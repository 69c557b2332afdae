"""What a Tune experiment tells of its trials, by hand."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.wire.records import RecordBuffer
from tests.kinds import parameters
from tests.kinds.metrics import NUMBERS

experiment = pytest.importorskip("airflow_provider_air.drivers.frame.experiment")
VALUES, NAMES = parameters(NUMBERS)


@dataclass
class Trial:
    trial_id: str = "t1"
    status: str = "RUNNING"


def told(run: Run) -> list[dict[str, Any]]:
    return RecordBuffer().feed(Path(run.records.path).read_bytes())


def test_every_report_is_told_once_however_fast_they_come(by_hand: Run) -> None:
    observer = experiment.Observer(by_hand, "loss")
    for step in range(1, 101):
        observer.reported(Trial(), {"loss": 1 / step, "training_iteration": step, "pid": 7, "config": {"x": 1}})
    observer.reported(Trial(), {"loss": 0.01, "training_iteration": 100}, last=True)
    observer.reported(Trial("t2"), {"loss": 0.5, "training_iteration": 3}, last=True)
    observer.reported(Trial("t3"), {}, last=True)

    found = told(by_hand)
    assert [(record["trial"], record["step"]) for record in found] == [("t1", n) for n in range(1, 101)] + [("t2", 3)]
    assert found[0]["values"] == {"loss": 1.0, "training_iteration": 1}


@pytest.mark.parametrize(("reported", "expected"), VALUES, ids=NAMES)
def test_whatever_a_trial_reports(by_hand: Run, reported: Any, expected: dict[str, Any]) -> None:
    experiment.Observer(by_hand, "loss").reported(Trial(), {**reported, "training_iteration": 1})

    [record] = told(by_hand)
    found = {name: value for name, value in record["values"].items() if name != "training_iteration"}
    assert found == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(("told_total", "total"), [(7, 7), (sys.maxsize, 2)])
def test_a_search_that_draws_for_ever_has_as_many_trials_as_there_are(
    by_hand: Run, monkeypatch: pytest.MonkeyPatch, told_total: int, total: int
) -> None:
    monkeypatch.setattr(experiment, "OBSERVER", experiment.Observer(by_hand, "loss"))
    progress = experiment.TrialProgress()
    progress.setup(stop={}, num_samples=told_total, total_num_samples=told_total)
    progress.on_trial_start(1, [Trial(), Trial("t2")], Trial())

    [record] = told(by_hand)
    assert record["total"] == total


def test_a_closed_record_does_not_end_the_experiment(by_hand: Run, capfd: pytest.CaptureFixture[str]) -> None:
    observer = experiment.Observer(by_hand, "loss")
    by_hand.records.close()

    observer.reported(Trial(), {"loss": math.nan, "training_iteration": 1})
    observer.changed([Trial()], Trial(), "starts")

    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_trial_tells_its_config_as_it_starts_and_its_state_as_it_ends(by_hand: Run) -> None:
    observer = experiment.Observer(by_hand, "loss", config_of=lambda trial: {"lr": 0.1, "of": trial.trial_id})
    for what in ("starts", "finished", "failed"):
        observer.changed([Trial()], Trial(), what)

    found = [(record["trial_state"], record.get("config")) for record in told(by_hand)]
    assert found == [("running", {"lr": 0.1, "of": "t1"}), ("finished", None), ("failed", None)]
