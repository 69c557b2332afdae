"""What an author may say about a training run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError, ProtocolError
from airflow_provider_air.workloads.train import TrainResult, TrainSpec

VALUE: dict[str, Any] = {
    "run_name": "r",
    "uri": "/runs/r",
    "metrics": {"loss": 1.0},
    "best_metrics": None,
    "checkpoint": None,
    "best_checkpoint": None,
    "checkpoints": [],
    "history": [],
    "history_rows": 0,
    "history_uri": "/runs/r/h",
    "resumed_from": None,
    "seconds": 1.0,
}


def config_of(spec: TrainSpec) -> dict[str, Any]:
    payload = spec.payload(run_name="run-1", storage_path="s3://b/p", fixed_size=True)
    config: dict[str, Any] = json.loads(payload["config.json"])
    return config


def test_the_driver_is_told_what_the_author_said_and_nothing_that_is_none() -> None:
    spec = TrainSpec("train:loop", trainer="lightgbm", scaling_config={"num_workers": 2}, metric="rmse", mode="min")
    assert config_of(spec) == {
        "run_name": "run-1",
        "storage_path": "s3://b/p",
        "fixed_size": True,
        "train_loop": "train:loop",
        "trainer": "lightgbm",
        "scaling_config": {"num_workers": 2},
        "metric": "rmse",
        "mode": "min",
        "resources_timeout_seconds": 600.0,
    }


def test_a_callable_travels_as_a_pickle_with_its_python_version() -> None:
    payload = TrainSpec(lambda config: None).payload(run_name="r", storage_path=None, fixed_size=False)
    config = json.loads(payload["config.json"])
    assert config["train_loop"]["payload"] in payload
    assert config["train_loop"]["python"].startswith("3.")
    assert "storage_path" not in config


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"train_loop": "no path"}, "train_loop"),
        ({"train_loop": 3}, "train_loop"),
        ({"trainer": "keras"}, "trainer"),
        ({"train_loop_config": [1]}, "train_loop_config"),
        ({"train_loop_config": {"x": object()}}, "train_loop_config"),
        ({"scaling_config": {"num_workers": 0}}, "scaling_config.num_workers"),
        ({"scaling_config": {"num_workers": "two"}}, "scaling_config.num_workers"),
        ({"scaling_config": {"num_workers": (4, 1)}}, "scaling_config.num_workers"),
        ({"scaling_config": {"num_workers": (1, 2, 3)}}, "scaling_config.num_workers"),
        ({"scaling_config": {"num_workers": (1, None)}}, "scaling_config.num_workers"),
        ({"trainer_args": {"torch_config": object()}}, "trainer_args"),
        ({"trainer_args": {"run_config": {}}}, "trainer_args.run_config"),
        ({"trainer_args": {"scaling_config": {}}}, "trainer_args.scaling_config"),
        ({"run_config": {"storage_path": "x"}}, "run_config.storage_path"),
        ({"run_config": {"callbacks": "mine:Callback"}}, "run_config.callbacks"),
        ({"run_config": []}, "run_config"),
        ({"datasets": {"train": 3}}, "datasets.train"),
        ({"datasets": {"train": {"url": "x"}}}, "datasets.train"),
        ({"datasets": {"train": {"uri": ""}}}, "datasets.train.uri"),
        ({"datasets": {"train": {"uri": "x", "format": "xml"}}}, "datasets.train.format"),
        ({"datasets": {"train": {"uri": "x", "columns": "a"}}}, "datasets.train.columns"),
        ({"datasets": {"train": {"uri": "x", "split": {"valid": 2}}}}, "datasets.train.split.valid"),
        ({"datasets": {"train": {"uri": "x", "split": {"a": 0.5, "b": 0.5}}}}, "datasets.train.split"),
        ({"datasets": {"train": {"uri": "x", "split": {}}}}, "datasets.train.split"),
        ({"datasets": {"train": {"uri": "x", "split_by": "id"}}}, "datasets.train.split_by"),
        ({"datasets": {"train": {"uri": "x", "seed": 1}}}, "datasets.train.seed"),
        ({"datasets": {"train": {"uri": "x", "split": {"v": 0.1}, "split_by": 3}}}, "datasets.train.split_by"),
        ({"datasets": {"train": {"uri": "x", "split": {"v": 0.1}, "split_type": "time"}}}, "datasets.train.split_type"),
        (
            {"datasets": {"train": {"uri": "x", "split": {"v": 0.1}, "split_type": "order"}}},
            "datasets.train.split_type",
        ),
        (
            {"datasets": {"train": {"uri": "x", "split": {"v": 0.1}, "split_type": "random", "split_by": "id"}}},
            "datasets.train.split_type",
        ),
        (
            {
                "datasets": {
                    "train": {"uri": "x", "split": {"v": 0.1}, "split_type": "order", "split_by": "t", "seed": 1}
                }
            },
            "datasets.train.seed",
        ),
        ({"metric": "rmse"}, "mode"),
        ({"mode": "min"}, "metric"),
        ({"metric": "rmse", "mode": "lowest"}, "mode"),
        ({"resources_timeout_seconds": -1}, "resources_timeout_seconds"),
        ({"report_interval_seconds": 0}, "report_interval_seconds"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TrainSpec(**{"train_loop": "train:loop", **fields}).validate()
    assert f"'{named}'" in str(caught.value)


def test_rays_classes_are_said_by_their_fields_paths_and_functions() -> None:
    def listening() -> None:
        """Make a callback."""

    spec = TrainSpec(
        "train:loop",
        trainer_args={"torch_config": {"backend": "gloo"}, "dataset_config": "mine:config"},
        scaling_config={"num_workers": (1, 4)},
        run_config={"callbacks": [listening, {"name": "mine:Callback", "args": {"x": 1}}], "logging_config": {}},
    )
    config = config_of(spec)
    assert config["trainer_args"] == spec.trainer_args
    assert config["scaling_config"] == {"num_workers": [1, 4]}
    first, second = config["run_config"]["callbacks"]
    assert (first["payload"], second) == ("run_config-0.pkl", {"name": "mine:Callback", "args": {"x": 1}})


def test_the_trainers_that_authors_may_name_are_those_that_the_driver_knows() -> None:
    from airflow_provider_air.drivers.train import trainers
    from airflow_provider_air.workloads import train

    assert sorted(trainers.TRAINERS) == list(train.TRAINERS)


def test_a_result_is_read_into_its_fields_and_back() -> None:
    result = TrainResult.from_value({**VALUE, "of_a_newer_driver": 1})
    assert result.to_json() == {**VALUE, "features": None, "best_checkpoint_metrics": None, "model": None}


def test_a_result_of_another_shape_is_no_result() -> None:
    with pytest.raises(ProtocolError, match="history_rows"):
        TrainResult.from_value({k: v for k, v in VALUE.items() if k != "history_rows"})
    with pytest.raises(ProtocolError, match="run_name"):
        TrainResult.from_value(None)
