"""A model that a real training has registered in a real MLflow: whoever loads it gives the same predictions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy
import pandas
import pytest
from mlflow_server import mlflow_server

from airflow_provider_air.attachments.mlflow.models import ModelRegistry, ModelVersion
from airflow_provider_air.attachments.mlflow.server import MlflowServer
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.contracts.attachments import Additions, Outcome
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.operators.serve import RayServeDeployOperator
from airflow_provider_air.workloads import batch_inference, train
from airflow_provider_air.workloads.batch_inference import BatchInferenceResult, BatchInferenceSpec
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from tests.fakes.attachment import FakeConnections
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.integration.drivers.conftest import CODE, DriverJob, Submit
from tests.uv import uv

pytestmark = [pytest.mark.integration, pytest.mark.full]
ROWS = 200
# A person's own process, with nothing but mlflow.
LOAD = """
import json, sys, mlflow, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
rows = pandas.read_parquet(sys.argv[2])
names = model.metadata.get_input_schema().input_names()
print(json.dumps({"names": names, "predictions": list(map(float, model.predict(rows[names])))}))
"""
DEPENDENCIES = "import sys, mlflow; print(mlflow.pyfunc.get_model_dependencies(sys.argv[1]))"
ABSENT = "from importlib.util import find_spec; print([find_spec('ray'), find_spec('airflow_provider_air')])"


@pytest.fixture(scope="module")
def mlflow_url() -> Iterator[str]:
    with mlflow_server() as url:
        yield url


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose columns are of several types, one of them an integer."""
    folder = tmp_path_factory.mktemp("rows")
    frame = pandas.DataFrame({"a": [float(i % 13) for i in range(ROWS)], "b": [i % 7 for i in range(ROWS)]})
    frame["y"] = frame["a"] * 2 + frame["b"]
    frame.to_parquet(folder / "part.parquet")
    return folder


class Tracked:
    """One training with a tracker, as an operator has it."""

    def __init__(self, url: str, workload: str = "train", **fields: Any) -> None:
        self.name = f"delays-{uuid.uuid4().hex[:8]}"
        self.server = MlflowServer(url)
        self.registry = ModelRegistry(self.server)
        spec = MlflowTracker(experiment=self.name, register_as=self.name, **fields)
        spec.validate()
        self.tracking = spec.open(FakeConnections(mlflow=self.server))
        key = TaskKey("here", "flights", "manual__1", workload)
        self.attempt = AttemptInfo(key, f"air-{self.name}", self.name, 1, 1, workload, "c", parameters={"metric": "l2"})
        self.added: Additions = self.tracking.before_submit(self.attempt)

    def start(self, submit: Submit, entrypoint: str, payload: dict[str, bytes]) -> DriverJob:
        return submit(
            entrypoint,
            {**payload, **self.added.payload},
            env_vars=self.added.env_vars,
            secrets=self.added.secrets,
        )

    def ended(self, job: DriverJob) -> tuple[TrainResult, ModelVersion]:
        """Do what a worker does at a training's end."""
        result = TrainResult.from_value(job.succeeded())
        self.tracking.on_records(self.attempt, self.added.state, job.records())
        for _ in range(2):
            self.tracking.on_end(self.attempt, self.added.state, Outcome("SUCCEEDED", result=result.to_json()))
        (version,) = self.registry.versions(self.name)
        return result, version


def boosting(data: Path, runs: Path, name: str, **fields: Any) -> dict[str, bytes]:
    spec = TrainSpec(
        "loops:boosting",
        trainer="lightgbm",
        train_loop_config={"label": "y", "rounds": 5},
        datasets={"train": {"uri": str(data)}, "valid": {"uri": str(data)}},
        checkpoint_config={"num_to_keep": 1},
        metric="l2",
        mode="min",
        **fields,
    )
    return spec.payload(run_name=name, storage_path=str(runs), fixed_size=True)


def test_what_a_training_has_registered_is_loaded_by_all_and_predicts_the_same(
    mlflow_url: str,
    data: Path,
    submit: Submit,
    cluster: ClusterRef,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracked = Tracked(mlflow_url)
    job = tracked.start(submit, train.ENTRYPOINT, boosting(data, tmp_path / "runs", tracked.name))
    result, version = tracked.ended(job)

    assert result.model is not None
    assert (result.model["flavor"], result.model["signature"]) == ("lightgbm", True), result.model
    assert (version.source, version.tags["air.format"]) == (result.model["uri"], "mlflow:lightgbm")
    assert result.best_checkpoint_metrics is not None
    assert tracked.registry.metrics(version)["l2"] == result.best_checkpoint_metrics["l2"]
    tracked.registry.promote(version, "champion", instead_of=None)
    expected = by_a_fresh_environment(mlflow_url, f"models:/{tracked.name}@champion", data / "part.parquet", tmp_path)
    assert len(set(expected)) > 1

    for predictor, uri in (("lightgbm", f"models:/{tracked.name}@champion"), ("mlflow", f"models:/{tracked.name}/1")):
        output = tmp_path / predictor
        args = {} if predictor == "lightgbm" else {"features": ["a", "b"]}
        spec = BatchInferenceSpec(predictor, str(data), str(output), checkpoint=uri, predictor_args=args)
        payload = spec.payload(run_name=predictor, fixed_size=True)
        done = submit(batch_inference.ENTRYPOINT, payload, env_vars={"MLFLOW_TRACKING_URI": mlflow_url})
        assert BatchInferenceResult.from_value(done.succeeded()).rows_written == ROWS
        written = pandas.read_parquet(output)
        assert numpy.allclose(written["prediction"], expected)

    assert numpy.allclose(by_an_application(mlflow_url, tracked, cluster, data, monkeypatch), expected)


def by_a_fresh_environment(url: str, uri: str, rows: Path, folder: Path) -> list[float]:
    """Have what the model says that it needs, as MLflow reads it, and nothing else; Ray and this package are not."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "MLFLOW_TRACKING_URI": url}
    needed = _output([sys.executable, "-c", DEPENDENCIES, uri], env, folder)
    python = folder / "fresh" / "bin" / "python"
    _output([uv(), "venv", "--quiet", f"--python={sys.executable}", str(python.parents[1])], None, folder)
    _output([uv(), "pip", "install", "--quiet", f"--python={python}", "--requirements", needed], None, folder)
    assert _output([str(python), "-c", ABSENT], env, folder) == "[None, None]"
    told = json.loads(_output([str(python), "-c", LOAD, uri, str(rows)], env, folder))
    assert told["names"] == ["a", "b"]
    predictions: list[float] = told["predictions"]
    return predictions


def _output(command: list[str], env: dict[str, str] | None, folder: Path) -> str:
    """Give the last line that it prints."""
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return (done.stdout.splitlines() or [""])[-1]


def by_an_application(
    url: str, tracked: Tracked, cluster: ClusterRef, data: Path, monkeypatch: pytest.MonkeyPatch
) -> list[float]:
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", json.dumps({"conn_type": "mlflow", "host": url}))
    operator = RayServeDeployOperator(
        task_id="deploy",
        cluster=cluster.to_json(),
        deferrable=False,
        import_path="served:build",
        working_dir=str(CODE),
        args={"model": f"models:/{tracked.name}@champion"},
        tracker=MlflowTracker(experiment=tracked.name),
        healthy_timeout_seconds=180.0,
    )
    with supervised(Supervisor()):
        deployed = operator.execute(task_context(Store(), task_id="deploy"))
    rows = pandas.read_parquet(data)[["a", "b"]].to_dict(orient="records")
    answer = httpx.post(deployed["url"], json=rows, timeout=60, trust_env=False).raise_for_status().json()
    assert answer["model"] == f"models:/{tracked.name}/1"
    predictions: list[float] = answer["predictions"]
    return predictions


def test_a_checkpoint_that_nobody_can_load_is_registered_as_it_is_and_says_so(
    mlflow_url: str, submit: Submit, tmp_path: Path
) -> None:
    tracked = Tracked(mlflow_url)
    spec = TrainSpec("loops:epochs", train_loop_config={"epochs": 2}, metric="loss", mode="min")
    payload = spec.payload(run_name=tracked.name, storage_path=str(tmp_path / "runs"), fixed_size=True)
    job = tracked.start(submit, train.ENTRYPOINT, payload)
    result, version = tracked.ended(job)

    assert result.model is not None
    assert "flavor='module:function'" in result.model["why"]
    assert [record["warning"] for record in job.of_kind("progress") if record.get("phase") == "model"] == [True]
    assert (version.tags["air.format"], version.tags["air.checkpoint"]) == ("checkpoint", result.best_checkpoint)
    assert version.tags["air.format.why"] == result.model["why"]
    with_mlflow = BatchInferenceSpec("mlflow", "/nowhere", str(tmp_path / "o"), checkpoint=f"models:/{tracked.name}/1")
    payload = with_mlflow.payload(run_name="bare", fixed_size=True)
    refused = submit(batch_inference.ENTRYPOINT, payload, env_vars={"MLFLOW_TRACKING_URI": mlflow_url})
    assert "is a checkpoint as it is, not in MLflow's format" in refused.problem()


def test_the_author_says_how_a_checkpoint_is_loaded(mlflow_url: str, submit: Submit, tmp_path: Path) -> None:
    tracked = Tracked(mlflow_url, flavor="loops:epoch_model", input_example=[{"x": 1.0}, {"x": 2.0}])
    spec = TrainSpec("loops:epochs", train_loop_config={"epochs": 4}, metric="loss", mode="min")
    payload = spec.payload(run_name=tracked.name, storage_path=str(tmp_path / "runs"), fixed_size=True)
    result, version = tracked.ended(tracked.start(submit, train.ENTRYPOINT, payload))

    assert result.model is not None
    assert (result.model.get("flavor"), result.model.get("signature")) == ("python_function", True), result.model
    pandas.DataFrame({"x": [1.0, 2.0, 3.0]}).to_parquet(tmp_path / "x.parquet")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_TRACKING_URI": mlflow_url}
    uri = f"models:/{tracked.name}/{version.version}"
    told = _output([sys.executable, "-c", LOAD, uri, str(tmp_path / "x.parquet")], env, tmp_path)
    assert json.loads(told) == {"names": ["x"], "predictions": [3.0, 6.0, 9.0]}
