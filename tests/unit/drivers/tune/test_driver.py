"""An experiment's configuration, as Tune takes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.tune import driver


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
    assert (tune_config.time_budget_s, type(tune_config.scheduler).__mro__[1].__name__) == (
        60,
        "AsyncHyperBandScheduler",
    )
    run_config = driver._run_config(by_hand)
    assert (run_config.name, run_config.storage_path) == ("search", str(tmp_path))
    assert run_config.stop == {"training_iteration": 5}
