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
from airflow_provider_air.workloads import batch_inference, function, train
from airflow_provider_air.workloads.batch_inference import BatchInferenceResult, BatchInferenceSpec
from airflow_provider_air.workloads.function import function_payload
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


def test_an_inference_predicts_with_features_of_what_a_reader_gives(
    submit: Submit, place: Path, tmp_path: Path
) -> None:
    source = {"reader": "loops:flights", "options": {"count": 6}, "columns": ["id", "x", "mean_delay"]}
    spec = BatchInferenceSpec("loops:Twice", source, str(tmp_path / "out"), predictor_args={"column": "mean_delay"})
    made = request(place, spec.payload(run_name="read", fixed_size=True))

    job = submit(batch_inference.ENTRYPOINT, made.payload or {}, folders=made.folders)
    result = BatchInferenceResult.from_value(job.succeeded())

    (joined,) = (place / "runs" / "read-features").iterdir()
    assert pandas.read_parquet(joined)["id"].tolist() == [2**60 + number for number in range(6)]
    written = pandas.read_parquet(tmp_path / "out").sort_values("x")
    assert written["id"].tolist() == [2**60 + number for number in range(6)]
    assert written["twice"].tolist() == [2.0, 2.0, 2.0, 2.0, 6.0, 6.0]
    assert (result.rows_written, (result.features or {})["feature_views"]) == (6, ["delays"])


@pytest.mark.full  # beside a reader of Ray's own it is the first training
def test_a_training_reads_features_of_what_a_reader_of_paths_gives(submit: Submit, place: Path) -> None:
    read = {"format": "ray.data.read_parquet", "options": {"override_num_blocks": 3}}
    spec = TrainSpec("loops:sum_of_columns", datasets={"train": {"uri": str(place / "rows.parquet"), **read}})
    made = request(place, spec.payload(run_name="by-path", storage_path=str(place / "runs"), fixed_size=True))

    result = TrainResult.from_value(submit(train.ENTRYPOINT, made.payload or {}, folders=made.folders).succeeded())

    assert result.metrics == {"x": 6.0, "mean_delay": 14.0}


def read_by_ray() -> dict[str, Any]:
    """Open rows as a join does, in a job."""
    import os
    import tempfile

    import ray.data
    from air_drivers.features import entities  # type: ignore[import-not-found, unused-ignore]

    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp()
    found: dict[str, Any] = {}
    for count in (0, 1000):
        spec = {"reader": "loops:flights", "options": {"count": count}, "columns": ["id"], "split": {"valid": 0.2}}
        with entities.opened(spec, "datasets.train", ["carrier"]) as rows:
            table = rows.table(rows.schema.names)
            numbers = [value - 2**60 for value in table.column("id").to_pylist()]
            found[str(count)] = [rows.count(), numbers == list(range(count)), list(map(str, rows.schema.types))]
    with open(os.path.join(os.environ["TMPDIR"], "rows.json"), "w") as file:
        file.write('[{"id": 1152921504606846977}, {"id": 2}]')
    with entities.opened({"uri": file.name}, "datasets.train") as rows:
        found["array"] = rows.table(["id"]).column("id").to_pylist()
    try:
        with entities.opened({"reader": "loops:no_flights"}, "datasets.train"):
            pass
    except Exception as error:  # noqa: BLE001  # its kind is what is asked
        found["absent"] = [type(error).__name__, str(error)]
    found["left"] = [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("air-entities-")]
    found["keeps order"] = ray.data.DataContext.get_current().execution_options.preserve_order
    return found


def test_entities_that_a_reader_gives_keep_ids_types_and_order(submit: Submit) -> None:
    payload = function_payload(read_by_ray, (), {}, code_folders=[str(Path(__file__).parent)])

    found = submit(function.ENTRYPOINT, payload).succeeded()

    types = ["int64", "string", "timestamp[us, tz=UTC]", "double"]
    assert found["0"] == [0, True, types]
    assert found["1000"] == [1000, True, types]
    assert found["array"] == [2**60 + 1, 2]
    kind, said = found["absent"]
    assert kind == "ConfigurationProblem"
    assert said.startswith("datasets.train: loops:no_flights cannot read")
    assert (found["left"], found["keeps order"]) == ([], False)


def joined_in_tasks() -> list[str]:
    """Join rows with two values of one key and time, in a job."""
    import datetime
    import os
    import tempfile

    import pyarrow.parquet
    from air_drivers.features import plan, ray_join, row_join  # type: ignore[import-not-found, unused-ignore]

    folder = tempfile.mkdtemp()
    rows, source = os.path.join(folder, "rows.parquet"), os.path.join(folder, "source.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"k": [1], "t": [datetime.date(2026, 1, 2)]}), rows)
    twice = {"k": [1, 1], "t": [datetime.date(2026, 1, 1)] * 2, "f": [1, 2]}
    pyarrow.parquet.write_table(pyarrow.table(twice), source)
    view = plan.ViewPlan("v", source, "", [["k", "k"]], "t", None, 0.0, [["f", "f"]])
    made = plan.JoinPlan("p", "s", "", True, [view], [], [["v", "f"]])
    wish = row_join.Wish(folder, "s", timestamp="t", num_partitions=2)
    try:
        ray_join.joined_parts(wish, made, {"uri": rows}, folder, "part", "datasets.train")
    except Exception as error:  # noqa: BLE001  # its kind is what is asked
        return [type(error).__name__, str(error)]
    return []


@pytest.mark.full  # a shuffle
def test_a_mistake_that_a_task_finds_is_the_authors_and_needs_no_retry(submit: Submit) -> None:
    payload = function_payload(joined_in_tasks, (), {}, code_folders=[str(Path(__file__).parent)])

    kind, said = submit(function.ENTRYPOINT, payload).succeeded()

    assert kind == "ConfigurationProblem"
    assert said.startswith("feature view v has several values of k=1 at 2026-01-01")
