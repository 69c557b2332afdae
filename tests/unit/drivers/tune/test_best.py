"""Which trial is best, by what Tune knows of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.tune import driver
from airflow_provider_air.drivers.wire.metrics import metrics_of
from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.workloads.tune import TuneResult
from tests.kinds import parameters
from tests.kinds.metrics import COMING

pytest.importorskip("ray.tune")
experiment = pytest.importorskip("airflow_provider_air.drivers.frame.experiment")
Trial = pytest.importorskip("ray.tune.experiment").Trial
VALUES, NAMES = parameters(COMING)


@dataclass
class Result:
    """What Tune gives of a trial, but for its files."""

    metrics: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    checkpoint: None = None


class Grid(list[Result]):
    """Tune's results of trials that reported these, with what Tune's own trials know of them."""

    def __init__(self, *trials: list[dict[str, Any]], failed: bool = False) -> None:
        super().__init__()
        known = []
        for number, reports in enumerate(trials):
            trial = Trial("loop", stub=True, trial_id=f"t{number}")
            for step, reported in enumerate(reports, 1):
                trial.update_last_result({**reported, "training_iteration": step, "trial_id": trial.trial_id})
            known.append(trial)
            error = ValueError("the loop failed") if failed else None
            last = dict(trial.last_result or {"trial_id": trial.trial_id})
            self.append(Result(last, {"x": number}, error))
        self._experiment_analysis = SimpleNamespace(trials=known)


def result(run: Run, tmp_path: Path, grid: Grid, metric: str, **config: Any) -> dict[str, Any]:
    run.config.update(run_name="search", storage_path=str(tmp_path), metric=metric, mode="max", **config)
    experiment.OBSERVER = experiment.Observer(run, metric)
    try:
        value: dict[str, Any] = decode(driver._result(run, grid, str(tmp_path)))
    finally:
        experiment.OBSERVER = None
    TuneResult.from_value({**value, "seconds": 1.0})
    return value


def finite_or_nan(reports: list[dict[str, Any]], metric: str) -> float:
    """Give the last number that there is of a metric."""
    found = [number for report in reports if (number := metrics_of(report).get(metric)) is not None]
    return found[-1] if found else math.nan


@pytest.mark.parametrize(("reports", "metric", "best"), VALUES, ids=NAMES)
def test_a_trial_is_judged_by_its_last_value_as_tune_does(
    by_hand: Run,
    tmp_path: Path,
    reports: list[dict[str, Any]],
    metric: str,
    best: float | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    value = result(by_hand, tmp_path, Grid(reports, [{metric: -1.0}] if best is not None else []), metric)

    last = "t1" if math.isnan(finite_or_nan(reports, metric)) else "t0"
    assert value["best_trial_id"] == (None if best is None else last)
    if best is None:
        assert [value[f"best_{name}"] for name in ("config", "metrics", "checkpoint", "trial_id")] == [None] * 4
        assert capfd.readouterr().err.count("nothing is best") == 1
    assert value["trials_total"] == 2


def test_a_metric_that_the_last_report_lacks_is_in_the_best_metrics(by_hand: Run, tmp_path: Path) -> None:
    late = Grid([{"val": {"acc": 0.5}}, {"loss": 1.0}], [{"val": {"acc": 0.75}}, {"loss": 2.0}], [{"loss": 0.0}])

    value = result(by_hand, tmp_path, late, "val/acc")

    assert (value["best_trial_id"], value["best_config"]) == ("t1", {"x": 1})
    assert value["best_metrics"]["val/acc"] == 0.75
    assert "val/acc" not in value["trials"][2]["metrics"]


def test_a_nested_metric_stays_nested_where_it_is_in_the_last_report(by_hand: Run, tmp_path: Path) -> None:
    value = result(by_hand, tmp_path, Grid([{"val": {"acc": 0.5}}]), "val/acc")

    assert value["best_metrics"]["val"] == {"acc": 0.5}
    assert "val/acc" not in value["best_metrics"]


def test_a_trial_that_waits_still_when_the_time_is_over_is_none_of_the_table(by_hand: Run, tmp_path: Path) -> None:
    grid = Grid([{"acc": 0.5}], [], [])
    for trial in grid._experiment_analysis.trials[:2]:
        trial.set_status("TERMINATED")
    grid._experiment_analysis.trials[0].run_metadata.start_time = 1.0

    value = result(by_hand, tmp_path, grid, "acc")
    # The third one is still on its way to its end, for all that Tune says.
    assert [row["trial_id"] for row in value["trials"]] == ["t0", "t2"]
    assert value["trials_total"] == 2


def test_failed_trials_still_fail_the_search_and_allowed_ones_do_not(by_hand: Run, tmp_path: Path) -> None:
    with pytest.raises(driver.TrialsFailed):
        result(by_hand, tmp_path, Grid([{"acc": 1.0}], failed=True), "acc")

    value = result(by_hand, tmp_path, Grid([{"acc": 1.0}], failed=True), "acc", max_failed_trials=1)
    assert (value["best_config"], value["trials_failed"]) == (None, 1)
