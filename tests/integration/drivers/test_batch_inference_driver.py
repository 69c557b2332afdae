"""The batch inference driver on a real cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy
import pandas
import pytest

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
    first = start(submit, "killed", doubling(data, output, seconds_per_batch=2.0, ledger=str(ledger)))
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
