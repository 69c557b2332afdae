"""What ``features=`` puts into a job, and what it refuses before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_provider_air import (
    FeastApplyOperator,
    FeastFeatures,
    RayBatchInferenceOperator,
    RayServeDeployOperator,
    RayTrainOperator,
    RayTuneOperator,
    SmokeTest,
)
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.job import prepare
from tests.fakes.task_context import Store, task_context


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "feature_store.yaml").write_text("project: flights\n")
    return tmp_path


def train(features: Any, **fields: Any) -> RayTrainOperator:
    given = {"datasets": {"train": "s3://b/rows"}, "storage": "s3://b/runs", **fields}
    return RayTrainOperator(task_id="train", train_loop="code:train", features=features, **given)


def told(operator: Any) -> Any:
    request = operator.build_job(task_context(Store()))
    assert request.folders.keys() == {"air_feature_repo"}
    return json.loads(request.payload["features.json"])


def test_each_workload_tells_its_driver_what_to_join(repo: Path) -> None:
    features = FeastFeatures(str(repo), "delay_v1")
    same: dict[str, Any] = {"features": features, "storage": "s3://b/runs"}
    tune = RayTuneOperator(
        task_id="tune", train_loop="c:f", datasets={"train": "/rows"}, param_space={}, metric="m", mode="min", **same
    )
    infer = RayBatchInferenceOperator(task_id="infer", predictor="c:f", input_uri="/rows", output_uri="/out", **same)

    wanted = {"feature_service": "delay_v1", "datasets": [], "storage_path": "s3://b/runs"}
    assert told(train(features)) == told(tune) == told(infer) == wanted


def test_a_joined_data_set_may_be_a_query(repo: Path) -> None:
    features = FeastFeatures(str(repo), "delay_v1", ["train"])
    query = {"sql": "SELECT * FROM flights", "columns": ["mean_delay"], "split": {"valid": 0.2}}
    infer = RayBatchInferenceOperator(
        task_id="infer",
        predictor="c:f",
        input_uri={"sql": "SELECT * FROM flights"},
        output_uri="/out",
        features=FeastFeatures(str(repo), "delay_v1"),
        storage="s3://b/runs",
    )

    trained = train(features, datasets={"train": query, "other": "s3://b/rows"}).build_job(task_context(Store()))
    inferred = infer.build_job(task_context(Store()))

    assert json.loads((trained.payload or {})["config.json"])["datasets"]["train"] == query
    assert json.loads((inferred.payload or {})["config.json"])["input"] == {"sql": "SELECT * FROM flights"}


def infer_by_query(features: Any = None) -> RayBatchInferenceOperator:
    return RayBatchInferenceOperator(
        task_id="infer", predictor="c:f", input_uri={"sql": "SELECT 1"}, output_uri="/out", features=features
    )


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (
            lambda repo: train(None, datasets={"train": {"sql": "SELECT 1"}}),
            "'datasets.train' is SQL, which is for data",
        ),
        (
            lambda repo: train(
                FeastFeatures(repo, "delay_v1", ["train"]), datasets={"train": "/rows", "valid": {"sql": "SELECT 1"}}
            ),
            "'datasets.valid' is SQL",
        ),
        (lambda repo: infer_by_query(), "'input' is SQL"),
        (lambda repo: infer_by_query(FeastFeatures(repo, "delay_v1")), "'features' needs 'storage'"),
        (
            lambda repo: RayTuneOperator(
                task_id="tune", train_loop="c:f", datasets={"t": {"sql": "S"}}, param_space={}, metric="m", mode="min"
            ),
            "'datasets.t' is SQL",
        ),
    ],
)
def test_a_query_that_nobody_would_run_is_refused(repo: Path, operator: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        operator(str(repo)).build_job(task_context(Store()))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"sql": " "}, r"'datasets.train.sql' must be an SQL query"),
        ({"sql": None}, r"'datasets.train.sql' must be an SQL query"),
        ({"sql": "SELECT 1", "uri": "/rows"}, "'datasets.train' has both 'sql' and 'uri'"),
        ({"sql": "SELECT 1", "format": "csv"}, "has both 'sql' and 'format'"),
        ({"sql": "SELECT 1", "options": {}}, "has both 'sql' and 'options'"),
        ({"sql": "SELECT 1", "columns": "mean_delay"}, "'datasets.train.columns' must be a list"),
    ],
)
def test_a_wrong_query_is_refused(repo: Path, spec: dict[str, Any], message: str) -> None:
    operator = train(FeastFeatures(str(repo), "delay_v1"), datasets={"train": spec})

    with pytest.raises(ConfigurationError, match=message):
        operator.build_job(task_context(Store()))


def test_a_tracker_notes_the_service_that_was_asked_for(repo: Path) -> None:
    noted = train(FeastFeatures(str(repo), "delay_v1")).tracked_parameters()

    assert noted["features"] == {"repo": str(repo), "feature_service": "delay_v1", "datasets": []}


def test_the_features_are_in_the_extra_of_the_outlets(repo: Path) -> None:
    model = Asset("model://delays")
    operator = train(FeastFeatures(str(repo), "delay_v1"), outlets=[model])
    context = task_context(Store())
    context["outlet_events"] = {model: type("Event", (), {"extra": {}})()}

    operator.push_result(context, {"metrics": {}, "features": {"feature_service": "delay_v1"}})

    assert context["outlet_events"][model].extra == {"features": {"feature_service": "delay_v1"}}


def test_an_application_gets_the_repository_and_the_module_that_reads_it(repo: Path) -> None:
    deploy = RayServeDeployOperator(
        task_id="deploy",
        import_path="serve:app",
        features=FeastFeatures(str(repo), "delay_v1"),
        runtime_env={"env_vars": {"STAGE": "test"}},
        smoke_test=SmokeTest(),
    )

    request = deploy.build_job(task_context(Store()))
    prepared = prepare(request, "air-1", metadata={}, not_after=None)

    environment = prepared.submission.runtime_env
    assert environment["env_vars"]["FEAST_FEATURE_SERVICE"] == "delay_v1"
    assert environment["env_vars"]["STAGE"] == "test"
    assert request.folders.keys() == {"air_feature_repo", "air_features"}
    # The last two are the job's own; see merge.runtime_env_of_applications.
    packages = {package.uri: package.data for package in prepared.packages}
    shown = [b"air_drivers/" in packages[uri] for uri in environment["py_modules"]]
    assert shown == [False, False, True, False]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("another type", "'features' must be FeastFeatures"),
        ("no storage", "'features' needs 'storage'"),
        ("no datasets", "nothing to join"),
        ("unknown dataset", "names 'valid'; the data sets are: train"),
        ("remote repo", "must be a local folder"),
        ("no repo", "has no feature_store.yaml"),
        ("no service", "'feature_service' must be a name"),
    ],
)
def test_what_cannot_be_joined_is_refused(repo: Path, case: str, message: str) -> None:
    fine = FeastFeatures(str(repo), "delay_v1")
    operator = {
        "another type": lambda: train({"repo": str(repo)}),
        "no storage": lambda: train(fine, storage=None),
        "no datasets": lambda: train(fine, datasets=None),
        "unknown dataset": lambda: train(FeastFeatures(str(repo), "delay_v1", ["valid"])),
        "remote repo": lambda: train(FeastFeatures("s3://b/repo.zip", "delay_v1")),
        "no repo": lambda: train(FeastFeatures("/nowhere", "delay_v1")),
        "no service": lambda: train(FeastFeatures(str(repo), " ")),
    }[case]()

    with pytest.raises(ConfigurationError, match=message):
        operator.build_job(task_context(Store()))


def test_serving_takes_no_datasets(repo: Path) -> None:
    deploy = RayServeDeployOperator(
        task_id="deploy", import_path="serve:app", features=FeastFeatures(str(repo), "delay_v1", ["train"])
    )

    with pytest.raises(ConfigurationError, match="means nothing to what serves"):
        deploy.build_job(task_context(Store()))


def test_a_feast_operator_does_not_drop_a_working_dir(repo: Path) -> None:
    with pytest.raises(ConfigurationError, match="'working_dir' is the feature repository here"):
        FeastApplyOperator(task_id="apply", repo=str(repo), working_dir="/code").build_job(task_context(Store()))
