"""Training and inference whose data is joined with real Feast first, on a real cluster."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas
import pytest

from airflow_provider_air import FeastFeatures
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.workloads import batch_inference, train
from airflow_provider_air.workloads.batch_inference import BatchInferenceResult, BatchInferenceSpec
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from tests.fakes.attachment import FakeConnections
from tests.feature_repo import apply_repo, day, write_entities, write_repo
from tests.integration.drivers.conftest import Submit

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that ``feast apply`` has registered, and rows whose times lie before and after its values."""
    root = tmp_path_factory.mktemp("features")
    apply_repo(write_repo(root))
    write_entities(root / "rows.parquet", [("AA", day(1, 12)), ("AA", day(4)), ("UA", day(2))], x=[1.0, 2.0, 3.0])
    return root


def request(place: Path, payload: dict[str, bytes], **fields: Any) -> JobRequest:
    """Send the features along as a run does."""
    features = FeastFeatures(str(place / "repo"), "delay_v1", **fields)
    key = TaskKey("here", "flights", "manual__1", "train")
    attempt = AttemptInfo(key, "air-1", "featured", 1, 1, "train", "drivers", str(place / "runs"))
    added = features.open(FakeConnections()).before_submit(attempt)
    return JobRequest("", payload=payload).given(payload=added.payload, folders=added.folders)


def test_a_training_reads_the_values_of_each_rows_own_time(submit: Submit, place: Path) -> None:
    spec = TrainSpec("loops:sum_of_columns", datasets={"train": str(place / "rows.parquet")})
    made = spec.payload(run_name="featured", storage_path=str(place / "runs"), fixed_size=True)
    made_request = request(place, made)

    job = submit(train.ENTRYPOINT, made_request.payload or {}, folders=made_request.folders)
    result = TrainResult.from_value(job.succeeded())

    assert result.metrics == {"x": 6.0, "mean_delay": 14.0}
    assert result.features is not None
    assert dataclasses.asdict(result)["features"]["rows"] == {"train": 3}
    assert [r["features"]["feature_service"] for r in job.of_kind("progress") if "features" in r] == ["delay_v1"]


@pytest.mark.full  # beside a shuffle it is the training above
def test_a_join_over_several_tasks_gives_the_same_rows(submit: Submit, place: Path) -> None:
    spec = TrainSpec("loops:sum_of_columns", datasets={"train": str(place / "rows.parquet")})
    made = spec.payload(run_name="divided", storage_path=str(place / "runs"), fixed_size=True)
    made_request = request(place, made, num_partitions=3, full_feature_names=True)

    job = submit(train.ENTRYPOINT, made_request.payload or {}, folders=made_request.folders)
    job.succeeded()

    joined = pandas.read_parquet(place / "runs" / "divided-features" / "train").sort_values("x")
    assert joined["x"].tolist() == [1.0, 2.0, 3.0]
    assert joined["delays__mean_delay"].tolist() == [1.0, 3.0, 10.0]


@pytest.mark.full  # the training above joins the same way in the quick suite
def test_an_inference_predicts_with_features(submit: Submit, place: Path, tmp_path: Path) -> None:
    source = {"uri": str(place / "rows.parquet"), "columns": ["x", "mean_delay"]}
    spec = BatchInferenceSpec("loops:Twice", source, str(tmp_path / "out"), predictor_args={"column": "mean_delay"})
    made = request(place, spec.payload(run_name="predicted", fixed_size=True))

    job = submit(batch_inference.ENTRYPOINT, made.payload or {}, folders=made.folders)
    result = BatchInferenceResult.from_value(job.succeeded())

    written = pandas.read_parquet(tmp_path / "out").sort_values("x")
    assert written["twice"].tolist() == [2.0, 6.0, 20.0]
    assert (result.rows_written, (result.features or {})["feature_views"]) == (3, ["delays"])
