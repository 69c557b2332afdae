"""What is odd about metrics, on a real cluster: the work ends well, and its result comes home."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from airflow_provider_air.workloads import train, tune
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from airflow_provider_air.workloads.tune import TuneResult, TuneSpec
from tests.integration.drivers.conftest import DriverJob, Submit

pytestmark = pytest.mark.integration

SPACE = {"x": {"grid_search": [1, 3, 2]}}


@pytest.fixture(scope="module")
def jobs(submit: Submit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DriverJob]:
    """All of them at once: most of their time is waiting for Ray."""
    base = tmp_path_factory.mktemp("odd")
    loop = {"epochs": 12, "late_at": 11}
    specs: dict[str, TrainSpec | TuneSpec] = {
        "late": TrainSpec("loops:odd", train_loop_config=loop, metric="val/acc", mode="max"),
        "never": TrainSpec(
            "loops:odd", train_loop_config={"epochs": 3}, checkpoint_config={"checkpoint_score_attribute": "auc"}
        ),
        "tuned": TuneSpec(SPACE, "val/acc", "max", trainable="loops:odd_trial", scheduler={"name": "asha"}),
        "tuned-never": TuneSpec({"x": 1}, "auc", "max", trainable="loops:odd_trial"),
    }
    return {
        name: submit(
            (train if isinstance(spec, TrainSpec) else tune).ENTRYPOINT,
            spec.payload(run_name=name, storage_path=str(base), fixed_size=True),
        )
        for name, spec in specs.items()
    }


def test_a_nested_metric_may_come_first_in_the_twelfth_report(jobs: dict[str, DriverJob]) -> None:
    result = TrainResult.from_value(jobs["late"].succeeded())

    assert result.best_metrics == result.metrics
    assert (result.metrics["val"], result.metrics["ndcg@10"]) == ({"acc": 0.75}, 0.5)
    assert result.metrics["matrix"] == "<numpy.ndarray of shape (800, 800), 5120000 bytes: left out>"
    values = [record["values"] for record in jobs["late"].of_kind("metric")]
    assert (len(values), values[11]["val/acc"], set(values[0])) == (12, 0.75, {"loss", "ndcg@10"})
    assert math.isnan(values[1]["loss"])
    assert math.isnan(result.history[1]["metrics"]["loss"])
    rows = [json.loads(line) for line in Path(result.history_uri).read_text().splitlines()]
    assert math.isnan(rows[1]["metrics"]["loss"])


def test_a_metric_that_never_comes_costs_what_is_best_and_nothing_else(jobs: dict[str, DriverJob]) -> None:
    result = TrainResult.from_value(jobs["never"].succeeded())

    assert (result.best_metrics, result.history_rows) == (None, 3)


def test_a_trial_is_judged_by_its_last_value_of_a_nested_metric(jobs: dict[str, DriverJob]) -> None:
    result = TuneResult.from_value(jobs["tuned"].succeeded())

    assert result.best_config == {"x": 3}
    assert result.best_metrics is not None
    assert (result.best_metrics["val/acc"], result.best_metrics["loss"]) == (3.0, 0.5)
    told = [record for record in jobs["tuned"].of_kind("metric") if "val/acc" in record["values"]]
    assert sorted(record["values"]["val/acc"] for record in told) == [1.0, 2.0, 3.0]


def test_a_search_whose_metric_never_comes_keeps_its_trials(jobs: dict[str, DriverJob]) -> None:
    result = TuneResult.from_value(jobs["tuned-never"].succeeded())

    assert (result.best_config, result.best_metrics, result.best_checkpoint) == (None, None, None)
    assert (result.trials_total, result.trials[0]["metrics"]["loss"]) == (1, 0.5)
