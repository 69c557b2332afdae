"""Libraries inside of Train and Tune: they are in the development environment, but for torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import pytest

from airflow_provider_air.workloads import train, tune
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from airflow_provider_air.workloads.tune import TuneResult, TuneSpec
from tests.integration.drivers.conftest import Submit

pytestmark = pytest.mark.integration


def data(folder: Path, name: str, rows: int) -> str:
    """Write rows of y = 2a."""
    place = folder / name
    place.mkdir()
    frame = pandas.DataFrame({"a": [float(i % 13) for i in range(rows)]})
    frame["y"] = frame["a"] * 2
    frame.to_parquet(place / "part.parquet")
    return str(place)


def trained(submit: Submit, folder: Path, spec: TrainSpec) -> TrainResult:
    payload = spec.payload(run_name="run", storage_path=str(folder / "runs"), fixed_size=True)
    return TrainResult.from_value(submit(train.ENTRYPOINT, payload).succeeded())


@pytest.mark.full  # 40 s
def test_two_workers_of_xgboost_split_one_data_set_and_share_the_other(submit: Submit, tmp_path: Path) -> None:
    result = trained(
        submit,
        tmp_path,
        TrainSpec(
            "loops:boosted_by_xgboost",
            trainer="xgboost",
            trainer_args={"dataset_config": {"datasets_to_split": ["train"]}, "xgboost_config": {}},
            train_loop_config={"rounds": 4, "rows": {"train": 200, "valid": 100}},
            scaling_config={"num_workers": 2},
            run_config={
                "logging_config": {"log_level": "WARNING"},
                "worker_runtime_env": {"env_vars": {"WORKERS_ONLY": "yes"}},
            },
            datasets={"train": data(tmp_path, "train", 400), "valid": data(tmp_path, "valid", 100)},
            metric="rmse",
            mode="min",
        ),
    )

    losses = [row["metrics"]["rmse"] for row in result.history]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert result.best_checkpoint is not None
    assert Path(result.best_checkpoint, "model.ubj").is_file()


def test_optuna_draws_by_a_function_with_a_sampler_of_the_authors_choice(submit: Submit, tmp_path: Path) -> None:
    optuna: dict[str, Any] = {"space": "loops:drawn", "sampler": {"name": "TPESampler", "args": {"seed": 3}}}
    spec = TuneSpec(
        {"offset": 10},
        "loss",
        "min",
        trainable="loops:of_drawn",
        searcher={"name": "optuna", "args": optuna},
        points_to_evaluate=[{"kind": "bow", "bend": 0.125}],
        num_samples=3,
    )
    payload = spec.payload(run_name="search", storage_path=str(tmp_path), fixed_size=True)
    result = TuneResult.from_value(submit(tune.ENTRYPOINT, payload).succeeded())

    assert result.trials_total == 3
    configs = [row["config"] for row in result.trials]
    assert {"offset": 10, "kind": "bow", "bend": 0.125, "fixed": 7} in configs
    assert [("bend" in config) for config in configs] == [config["kind"] == "bow" for config in configs]
    assert result.best_metrics is not None
    assert result.best_metrics["loss"] == min(row["metrics"]["loss"] for row in result.trials)


@pytest.mark.full
def test_a_model_of_scikit_learn_is_fitted_and_kept(submit: Submit, tmp_path: Path) -> None:
    spec = TrainSpec("loops:forest", train_loop_config={"trees": 5}, datasets={"train": data(tmp_path, "train", 200)})
    result = trained(submit, tmp_path, spec)

    assert result.metrics["r2"] > 0.9
    assert Path(str(result.checkpoint), "model.joblib").is_file()
