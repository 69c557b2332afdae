"""What Feast adds to a job and to an application, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.attachments.feast.features import FeastFeatures
from airflow_provider_air.contracts.attachments import Additions
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, DataRef
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.attachment import FakeConnections

INPUTS = (DataRef("train", "s3://b/rows"), DataRef("valid", is_query=True))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "feature_store.yaml").write_text("project: flights\n")
    return tmp_path


def request(*inputs: DataRef) -> JobRequest:
    return JobRequest("true", payload={}, inputs=inputs)


def added(spec: FeastFeatures, workload: str) -> Additions:
    key = TaskKey("here", "flights", "manual__1", "train")
    attempt = AttemptInfo(key, "air-1", "run", 1, 1, workload, "ray", storage="s3://b/runs", inputs=INPUTS)
    return spec.open(FakeConnections()).before_submit(attempt)


@pytest.mark.parametrize("workload", ["train", "tune", "batch_inference"])
def test_a_job_gets_the_repository_and_is_told_what_to_join(repo: Path, workload: str) -> None:
    given = added(FeastFeatures(str(repo), "delay_v1", ["train"]), workload)

    assert json.loads(given.payload["features.json"]) == {
        "feature_service": "delay_v1",
        "datasets": ["train"],
        "storage_path": "s3://b/runs",
    }
    assert given.folders == {"air_feature_repo": repo}
    assert (given.env_vars, given.application_env, given.secrets) == ({}, {}, {})


def test_an_application_gets_what_its_replicas_read_by(repo: Path) -> None:
    given = added(FeastFeatures(str(repo), "delay_v1"), "serve")

    assert given.application_env == {"FEAST_FEATURE_SERVICE": "delay_v1"}
    assert given.folders.keys() == {"air_feature_repo", "air_features"}
    assert (given.folders["air_features"] / "feast.py").is_file()
    assert (given.env_vars, given.payload) == ({}, {})


def test_it_takes_over_what_it_joins(repo: Path) -> None:
    some, all_of_them = FeastFeatures(str(repo), "delay_v1", ["valid"]), FeastFeatures(str(repo), "delay_v1")

    assert set(some.check(request(*INPUTS), "train", "s3://b/runs")) == {"valid"}
    assert set(all_of_them.check(request(*INPUTS), "train", "s3://b/runs")) == {"train", "valid"}
    assert set(all_of_them.check(request(), "serve", None)) == set()


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda spec: spec().check(request(), "train", "s3://b/runs"), "'features' has nothing to join"),
        (lambda spec: spec("test").check(request(*INPUTS), "train", "s3://b"), "'test'; the data sets are: train, val"),
        (lambda spec: spec().check(request(*INPUTS), "train", None), "'features' needs 'storage'"),
        (lambda spec: spec("train").check(request(), "serve", None), "means nothing to what serves"),
    ],
    ids=["no data sets", "unknown", "no storage", "serving"],
)
def test_what_does_not_suit_is_refused(repo: Path, check: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check(lambda *datasets: FeastFeatures(str(repo), "delay_v1", list(datasets)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("s3://b/repo.zip", "delay_v1"), "must be a local folder"),
        (("/nowhere", "delay_v1"), "has no feature_store.yaml"),
        ((None, " "), "'feature_service' must be a name"),
    ],
)
def test_a_wrong_field_is_refused(repo: Path, fields: tuple[str | None, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FeastFeatures(fields[0] or str(repo), fields[1]).validate()
