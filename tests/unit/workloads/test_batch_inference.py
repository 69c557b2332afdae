"""What an author may say about a batch inference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.batch_inference import BatchInferenceSpec

SPEC: dict[str, Any] = {"predictor": "model:Predictor", "input": "s3://b/in", "output": "s3://b/out"}


def config_of(**fields: Any) -> dict[str, Any]:
    payload = BatchInferenceSpec(**{**SPEC, **fields}).payload(run_name="r", fixed_size=True)
    config: dict[str, Any] = json.loads(payload["config.json"])
    return config


def test_an_output_uri_becomes_the_drivers_output() -> None:
    assert config_of()["output"] == {"uri": "s3://b/out"}
    assert config_of(output={"uri": "x", "format": "csv"})["output"] == {"uri": "x", "format": "csv"}


def test_a_short_name_and_an_import_path_travel_as_they_are() -> None:
    assert config_of()["predictor"] == "model:Predictor"
    assert config_of(predictor="lightgbm", checkpoint="s3://b/model")["predictor"] == "lightgbm"


def test_a_class_travels_as_a_pickle() -> None:
    class Predictor:
        pass

    assert config_of(predictor=Predictor)["predictor"]["payload"] == "predictor.pkl"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"predictor": "keras"}, "predictor"),
        ({"predictor": "lightgbm"}, "checkpoint"),
        ({"predictor": "lightgbm", "checkpoint": "x", "batch_format": "numpy"}, "batch_format"),
        ({"checkpoint": ""}, "checkpoint"),
        ({"input": {"format": "csv"}}, "input.uri"),
        ({"input": "s3://key:secret@b/in"}, "input"),
        ({"output": {"format": "csv"}}, "output.uri"),
        ({"output": {"uri": "x", "format": "xml"}}, "output.format"),
        ({"output": {"uri": "x", "mode": "append"}}, "output"),
        ({"output": {"uri": "x", "columns": "a"}}, "output.columns"),
        ({"output": {"uri": "x", "columns": ["a", "a"]}}, "output.columns"),
        ({"output": {"uri": "x", "partition_by": "day"}}, "output.partition_by"),
        ({"output": {"uri": "x", "partition_by": ["_day"]}}, "output.partition_by"),
        ({"output": {"uri": "x", "partition_by": ["day"], "columns": ["day"]}}, "output.columns"),
        ({"output": {"uri": "x", "min_rows_per_file": 0}}, "output.min_rows_per_file"),
        ({"output": {"uri": "x", "min_rows_per_file": 9, "max_rows_per_file": 8}}, "output.min_rows_per_file"),
        ({"input": {"uri": "x", "split": {"valid": 0.1}}}, "input"),
        ({"input": {"reader": "read"}}, "input.reader"),
        ({"input": {"reader": "ray.data.read_iceberg", "uri": "x"}}, "input"),
        (
            {"input": {"reader": "ray.data.read_clickhouse", "options": {"dsn": "clickhouse://u:p@h"}}},
            "input.options.dsn",
        ),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_format": "list"}, "batch_format"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": [4, 2]}, "concurrency"),
        ({"concurrency": [1, 2, 3]}, "concurrency"),
        ({"resources_per_actor": 2}, "resources_per_actor"),
        ({"predictor_args": {"x": object()}}, "predictor_args"),
    ],
)
def test_bad_input_is_refused_by_the_fields_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BatchInferenceSpec(**{**SPEC, **fields}).validate()
    assert f"'{named}'" in str(caught.value)
