"""An experiment's configuration, as Tune takes it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.tune import driver
from tests.kinds.logs import caused, raised_by, task_error


def test_an_experiment_is_configured_as_the_author_said(by_hand: Run, tmp_path: Path) -> None:
    pytest.importorskip("ray.tune")
    by_hand.config.update(
        trainable="json:dumps",
        run_name="search",
        storage_path=str(tmp_path),
        metric="loss",
        mode="min",
        num_samples=3,
        scheduler={"name": "asha", "args": {"max_t": 9}},
        time_budget_seconds=60,
        stop={"training_iteration": 5},
    )
    tune_config = driver._tune_config(by_hand, [{"CPU": 1.0}])
    assert (tune_config.metric, tune_config.mode, tune_config.num_samples) == ("loss", "min", 3)
    from airflow_provider_air.drivers.tune import stopping

    assert stopping.WANTED is not None
    assert (stopping.WANTED.budget_seconds, type(tune_config.scheduler).__mro__[1].__name__) == (
        60,
        "AsyncHyperBandScheduler",
    )
    run_config = driver._run_config(by_hand)
    assert (run_config.name, run_config.storage_path) == ("search", str(tmp_path))
    assert stopping.WANTED.thresholds == {"training_iteration": 5}
    assert [run_config.stop("t", {"training_iteration": step}) for step in (4, 5)] == [False, True]


def result(trial: str, error: Any) -> Any:
    """Give what Tune says of a trial at the end."""
    return SimpleNamespace(metrics={"trial_id": trial}, config={}, checkpoint=None, error=error)


# What cannot be pickled, Tune keeps as a text (2.60).
KEPT = [lambda error: error, lambda error: f"Failure # 1 (occurred at 2026-11-29_08-00-00)\n{error}\n"]


@pytest.mark.parametrize("kept", KEPT, ids=["pickled", "as a text"])
def test_the_trial_that_failed_first_is_named_with_its_cause(
    by_hand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: Any
) -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.frame import experiment

    by_hand.config["metric"] = "loss"
    observer = experiment.Observer(by_hand, "loss")
    monkeypatch.setattr(experiment, "OBSERVER", observer)
    trials = [SimpleNamespace(trial_id=name, status="ERROR", last_result={}) for name in ("a", "b", "c")]
    for trial in (trials[2], trials[0]):
        experiment.TrialProgress().on_trial_error(1, trials, trial)
    errors = {"a": task_error(RuntimeError("late")), "b": None, "c": task_error(raised_by(caused))}
    grid = [result(name, error and kept(error)) for name, error in errors.items()]

    with pytest.raises(driver.TrialsFailed) as failed:
        driver._result(by_hand, grid, str(tmp_path))

    assert str(failed.value) == (
        "2 of 3 trials failed, max_failed_trials allows 0; "
        "trial c: ValueError: row 7 is bad\ncaused by KeyError: 'user_id'"
    )


def test_a_trial_that_failed_in_an_earlier_attempt_is_named_where_none_did_in_this_one(
    by_hand: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray.tune")
    from airflow_provider_air.drivers.frame import experiment

    monkeypatch.setattr(experiment, "OBSERVER", None)
    by_hand.config["metric"] = "loss"

    with pytest.raises(driver.TrialsFailed, match=r"1 of 1 trials failed.*; trial a: ValueError: bad"):
        driver._result(by_hand, [result("a", task_error(ValueError("bad")))], str(tmp_path))
