"""The batch inference driver on a real cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import lightgbm
import numpy
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import sklearn.linear_model  # type: ignore[import-untyped]

from airflow_provider_air.waiting import wait_until
from airflow_provider_air.workloads import batch_inference
from airflow_provider_air.workloads.batch_inference import BatchInferenceResult, BatchInferenceSpec
from tests.integration.drivers.conftest import DriverJob, Submit

pytestmark = pytest.mark.integration

ROWS = 400


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files of fifty rows."""
    folder = tmp_path_factory.mktemp("data")
    for part in range(8):
        x = numpy.arange(part * 50, (part + 1) * 50, dtype="float64")
        pandas.DataFrame({"x": x, "unused": x}).to_parquet(folder / f"{part}.parquet")
    return folder


def start(submit: Submit, name: str, spec: BatchInferenceSpec) -> DriverJob:
    return submit(batch_inference.ENTRYPOINT, spec.payload(run_name=name, fixed_size=True))


def doubling(data: Path, output: Path, **args: Any) -> BatchInferenceSpec:
    source = {"uri": str(data), "columns": ["x"], "options": {"override_num_blocks": 8}}
    return BatchInferenceSpec("loops:Twice", source, str(output), predictor_args={"column": "x", **args}, batch_size=25)


def test_a_killed_inference_leaves_every_row_once_after_the_retry(submit: Submit, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    ledger = tmp_path / "ledger"
    ledger.touch()
    first = start(submit, "killed", doubling(data, output, seconds_per_batch=4.0, ledger=str(ledger)))
    # Half of the rows. How many of them are in staged files is Ray Data's choice: from none to nearly all.
    wait_until(
        lambda: True if sum(map(int, ledger.read_text().split())) >= ROWS / 2 else None,
        what="half of the rows",
        timeout_seconds=420,
    )
    first.kill()
    assert not (output / "_SUCCESS").exists()

    spec = doubling(data, output)
    second = start(submit, "killed", spec)
    result = BatchInferenceResult.from_value(second.succeeded())
    written = pandas.read_parquet(output)
    assert sorted(written["x"]) == [float(i) for i in range(ROWS)]
    assert (written["twice"] == written["x"] * 2).all()
    assert (result.rows_read, result.rows_written) == (ROWS, ROWS)
    assert json.loads((output / "_SUCCESS").read_text())["run_name"] == "killed"
    assert {path.name for path in output.iterdir() if path.name.startswith("_")} == {"_SUCCESS"}

    third = start(submit, "killed", spec)
    assert BatchInferenceResult.from_value(third.succeeded()) == result
    assert len(pandas.read_parquet(output)) == ROWS


@pytest.mark.full  # example_09 does the like in the quick suite
def test_a_lightgbm_checkpoint_predicts_as_the_booster_itself_does(submit: Submit, data: Path, tmp_path: Path) -> None:
    x = numpy.arange(ROWS, dtype="float64").reshape(-1, 1)
    booster = lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1},
        lightgbm.Dataset(x, x[:, 0] * 3, feature_name=["x"]),
        5,
    )
    (tmp_path / "model").mkdir()
    booster.save_model(tmp_path / "model" / "model.txt")
    spec = BatchInferenceSpec(
        "lightgbm",
        str(data),
        {"uri": str(tmp_path / "out"), "format": "csv", "columns": ["x", "prediction"]},
        checkpoint=str(tmp_path / "model"),
    )
    result = BatchInferenceResult.from_value(start(submit, "lightgbm", spec).succeeded())
    parts = [pandas.read_csv(part) for part in (tmp_path / "out").glob("*.csv")]
    written = pandas.concat(parts).sort_values("x")
    assert result.rows_written == ROWS
    assert list(written.columns) == ["x", "prediction"]
    assert numpy.allclose(written["prediction"], booster.predict(x))


# The second file's columns hold nulls alone.
ODD = pyarrow.table(
    {
        "id": pyarrow.array([2**60 + 1, None]),
        "number": pyarrow.array([1, None]),
        "text": pyarrow.array(["a", None]),
        "kind": pyarrow.array(["a", None]).dictionary_encode(),
        "price": pyarrow.array(["1.20", None]).cast(pyarrow.decimal128(10, 2)),
        "at": pyarrow.array([0, None], pyarrow.timestamp("us", "Europe/Berlin")),
        "tags": pyarrow.array([[{"name": "x", "n": None}], None]),
        "pairs": pyarrow.array([[("k", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        "vector": pyarrow.array([[1.0, 2.0], [3.0, 4.0]], pyarrow.list_(pyarrow.float32(), 2)),
    }
)


def odd_files(folder: Path) -> Path:
    folder.mkdir()
    for row in range(2):
        pyarrow.parquet.write_table(ODD.slice(row, 1), folder / f"{row}.parquet")
    return folder


def test_types_come_out_as_they_went_in_by_an_asynchronous_predictor(submit: Submit, tmp_path: Path) -> None:
    source = {"uri": str(odd_files(tmp_path / "in")), "options": {"override_num_blocks": 2}}
    output = {"uri": str(tmp_path / "out"), "min_rows_per_file": 1}
    spec = BatchInferenceSpec("loops:Copies", source, output, batch_format="numpy", batch_size=1)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    pyarrow.parquet.write_table(ODD.slice(0, 0), nothing / "0.parquet")
    empty = BatchInferenceSpec("loops:Copies", str(nothing), str(tmp_path / "empty"), batch_format="numpy")

    jobs = [start(submit, "odd", spec), start(submit, "empty", empty)]
    result, of_nothing = (BatchInferenceResult.from_value(job.succeeded()) for job in jobs)

    written = [pyarrow.parquet.read_table(part) for part in sorted((tmp_path / "out").glob("*.parquet"))]
    # Ray may write what two tasks predicted in one.
    assert (result.rows_read, result.rows_written, result.files) == (2, 2, len(written))
    # An integer beside a null is a float to numpy: what the sum is depends on what Ray has read together.
    expected = pyarrow.parquet.read_schema(tmp_path / "in" / "0.parquet").remove_metadata()
    given = [table.drop_columns("sum").schema.remove_metadata() for table in written]
    assert given == [expected] * len(written)
    assert len({table.schema.field("sum").type for table in written}) == 1
    rows = sorted((row for table in written for row in table.to_pylist()), key=lambda row: row["number"] or 9)
    assert [{**row, "sum": 0} for row in rows] == [{**row, "sum": 0} for row in ODD.to_pylist()]
    assert [record["done"] for record in jobs[0].of_kind("progress") if "done" in record][-1] == 2

    columns = pyarrow.parquet.read_table(tmp_path / "empty").schema
    assert (columns.names, of_nothing.rows_read, of_nothing.rows_written) == ([*ODD.column_names, "sum"], 0, 0)
    assert columns.field("id").type == pyarrow.int64()


def test_batches_of_which_nothing_is_given_say_nothing_of_the_columns(submit: Submit, tmp_path: Path) -> None:
    rows = pyarrow.table({"id": range(40), "vector": [[1.0, 2.0]] * 40})
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(rows, tmp_path / "in" / "0.parquet")
    found = []
    for name, last in (("hits", 5), ("none", -1)):
        spec = BatchInferenceSpec(
            "loops:hits", str(tmp_path / "in"), str(tmp_path / name), predictor_args={"last": last}, batch_size=4
        )
        found.append(start(submit, name, spec))
    counts = [BatchInferenceResult.from_value(job.succeeded()) for job in found]
    written = [pyarrow.parquet.read_table(tmp_path / name) for name in ("hits", "none")]
    assert [(result.rows_read, result.rows_written) for result in counts] == [(40, 6), (40, 0)]
    assert written[0].to_pydict() == {"id": list("012345"), "score": [[1.0]] * 6}
    # Nobody has said what else there would be.
    assert written[1].column_names == ["id", "vector"]


@pytest.mark.full
def test_a_reader_without_a_place_and_a_generator_write_partitions(submit: Submit, tmp_path: Path) -> None:
    source = {"reader": "loops:orders", "options": {"rows": 6}, "columns": ["id"]}
    output = {"uri": str(tmp_path / "out"), "partition_by": ["id"], "columns": ["n", "id"]}
    function = BatchInferenceSpec("loops:doubled", source, str(tmp_path / "doubled"))
    first = BatchInferenceResult.from_value(start(submit, "reader", function).succeeded())
    assert (first.rows_read, first.rows_written) == (6, 12)

    model = tmp_path / "model"
    model.mkdir()
    fitted = sklearn.linear_model.LinearRegression().fit(pandas.DataFrame({"id": [0, 1]}), [1.0, 3.0])
    joblib.dump(fitted, model / "model.joblib")
    args = {"output_column": "n"}
    spec = BatchInferenceSpec("sklearn", source, output, checkpoint=str(model), predictor_args=args)
    result = BatchInferenceResult.from_value(start(submit, "partitions", spec).succeeded())
    assert (result.rows_written, result.files) == (6, 6)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"_SUCCESS", *(f"id={day}" for day in range(6))}
    assert pandas.read_parquet(tmp_path / "out" / "id=5")["n"].tolist() == [pytest.approx(11.0)]
