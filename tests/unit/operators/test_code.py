"""Code that a DAG names as people do: beside its file, in its bundle, by paths and lists."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_air.operators.feast import FeastApplyOperator
from airflow_provider_air.operators.rllib import RayRLlibOperator
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.operators.train import RayTrainOperator
from airflow_provider_air.operators.tune import RayTuneOperator
from airflow_provider_air.runs.plan import BuildInfo
from tests.deferrals import deferred
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.given_code import Link, plant

FILES = {
    "dags/team/flow.py": "x",
    "dags/team/code/train.py": "x",
    "dags/team/requirements.txt": "-r ../base.txt\nb",
    "dags/base.txt": "a",
    "dags/shared/util.py": "x",
    "dags/features/feature_store.yaml": "project: p",
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A DAG's bundle as git-sync mounts it."""
    plant(tmp_path, {f"rev-1/{name}": text for name, text in FILES.items()} | {"current": Link("rev-1")})
    return tmp_path / "current" / "dags"


def begin(task: Any, bundle: Path, store: Store) -> None:
    context = task_context(store)
    context["ti"].bundle_instance = SimpleNamespace(path=bundle)
    deferred(task, context)


def in_dag(bundle: Path) -> DAG:
    dag = DAG("d", schedule=None)
    dag.fileloc = str(bundle / "team" / "flow.py")
    return dag


def names(head: FakeRayDashboard) -> list[set[str]]:
    archives = [zipfile.ZipFile(io.BytesIO(data)) for data in head.packages.values()]
    return [set(archive.namelist()) for archive in archives]


def test_relative_code_starts_at_the_dags_file_and_its_bundle(
    head: FakeRayDashboard, bundle: Path, store: Store
) -> None:
    with in_dag(bundle):
        task = RaySubmitJobOperator(
            task_id="train",
            entrypoint=["python", Path("train.py"), "--n", 3],
            working_dir=Path("code"),
            runtime_env={"pip": "requirements.txt", "py_modules": ["shared"]},
        )

    begin(task, bundle, store)

    (job,) = head.jobs.values()
    assert job.entrypoint == "python train.py --n 3"
    assert job.runtime_env is not None
    assert job.runtime_env["pip"] == ["a", "b"]
    assert names(head) == [{"train.py"}, {"shared/util.py"}]


def test_our_own_drivers_take_relative_code_too(head: FakeRayDashboard, bundle: Path, store: Store) -> None:
    with in_dag(bundle):
        task = RayTrainOperator(task_id="train", train_loop="train:loop", working_dir="code")

    begin(task, bundle, store)

    assert {"train.py"} in names(head)


def test_a_feature_repository_is_found_in_the_bundle(head: FakeRayDashboard, bundle: Path, store: Store) -> None:
    with in_dag(bundle):
        task = FeastApplyOperator(task_id="apply", repo="features")

    begin(task, bundle, store)

    assert {"feature_store.yaml"} in names(head)


def test_a_dag_with_paths_and_lists_is_stored_as_any_other() -> None:
    with DAG("d", schedule=None) as dag:
        RaySubmitJobOperator(
            task_id="a",
            entrypoint=["python", Path("train.py"), 3],
            working_dir=Path("code"),
            runtime_env={"pip": Path("requirements.txt")},
        )

    (task,) = DagSerialization.to_dict(dag)["dag"]["tasks"]

    assert task["__var"]["working_dir"] == "code"
    assert task["__var"]["entrypoint"][0] == "python"


# Functions of the DAG's file, inside of fields that describe Ray's objects


def alert() -> None:
    """Give a callback of the author's."""


def settings() -> None:
    """Give an AlgorithmConfig."""


def test_functions_inside_of_fields_travel_with_the_job_and_are_told_by_name(store: Store) -> None:
    callbacks = {"callbacks": [alert, "mine:Callback"]}
    for task, file in (
        (RayTrainOperator(task_id="a", train_loop="t:t", run_config=callbacks), "run_config-0.pkl"),
        (RayRLlibOperator(task_id="b", config=settings, stop={"training_iteration": 1}), "config-0.pkl"),
        (
            RayTuneOperator(
                task_id="c", trainable="t:t", param_space={}, metric="m", mode="min", run_config=callbacks, stop=alert
            ),
            "stop-0.pkl",
        ),
    ):
        request = task.build_job(task_context(store), BuildInfo("run"))
        assert request.payload is not None
        assert file in request.payload
        noted = json.dumps(task.tracked_parameters())  # what trackers get is plain JSON
        assert "alert" in noted or "settings" in noted
        assert " at 0x" not in noted
