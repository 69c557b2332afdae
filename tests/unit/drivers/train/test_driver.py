"""What a training tells and brings home of its reports, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy
import pytest

from airflow_provider_air.drivers.frame.metrics import fitted
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.train.driver import _Reporter
from airflow_provider_air.drivers.train.history import History
from airflow_provider_air.drivers.wire.metrics import finite_of
from airflow_provider_air.drivers.wire.records import MAX_RECORD_BYTES, RecordBuffer
from airflow_provider_air.drivers.wire.values import decode
from tests.kinds import parameters
from tests.kinds.metrics import COMING

VALUES, NAMES = parameters(COMING)


def trained(run: Run, reports: list[dict[str, Any]], **config: Any) -> dict[str, Any]:
    """Give the result of a training that reported these, each with a checkpoint."""
    run.config.update(run_name="run", storage_path="/runs", **config)
    reporter, history = _Reporter(run, "/runs/run"), History()
    reporter.begin(None, 0)
    for number, metrics in enumerate(reports):
        reporter.row(history.add(metrics, f"c{number}"))
    kept = [(row["checkpoint"], row["metrics"]) for row in history.rows]
    value = fitted(reporter.result(history, kept, None), "history", "checkpoints")
    run.records.write("result", value=value)
    decoded: dict[str, Any] = decode(json.loads(json.dumps(value, allow_nan=False)))
    return decoded


@pytest.mark.parametrize(("reports", "metric", "best"), VALUES, ids=NAMES)
def test_a_metric_is_judged_at_the_end(
    by_hand: Run, reports: list[dict[str, Any]], metric: str, best: float | None, capfd: pytest.CaptureFixture[str]
) -> None:
    result = trained(by_hand, reports, metric=metric, mode="max")

    assert (result["best_metrics"] is None) == (result["best_checkpoint"] is None) == (best is None)
    if best is None:
        said = capfd.readouterr().err
        assert said.count("nothing is best") == 1
        assert f"'{metric}'" in said
    else:
        row = next(row for row in result["history"] if row["checkpoint"] == result["best_checkpoint"])
        assert row["metrics"] == result["best_metrics"]
        assert finite_of(row["metrics"], metric) == best


def test_what_checkpoints_are_scored_by_may_be_missing_too(by_hand: Run, capfd: pytest.CaptureFixture[str]) -> None:
    result = trained(by_hand, [{"loss": 1.0}], checkpoint_config={"checkpoint_score_attribute": "val_loss"})

    assert (result["best_metrics"], result["checkpoint"]) == (None, "/runs/run/c0")
    assert "'val_loss'" in capfd.readouterr().err


def test_large_values_never_keep_a_result_from_coming_home(by_hand: Run, tmp_path: Path) -> None:
    matrix, texts = numpy.zeros((800, 800)), {f"t{number}": "x" * 10_000 for number in range(300)}
    result = trained(by_hand, [{"loss": 1.0, "matrix": matrix, **texts}] * 3, metric="loss", mode="min")

    assert result["metrics"]["loss"] == 1.0
    assert result["metrics"]["matrix"] == "<numpy.ndarray of shape (800, 800), 5120000 bytes: left out>"
    found = RecordBuffer().feed(Path(by_hand.records.path).read_bytes())
    assert [record["kind"] for record in found][-1] == "result"
    assert max(len(json.dumps(record)) for record in found) < MAX_RECORD_BYTES
    assert [record["values"] for record in found if record["kind"] == "metric"] == [{"loss": 1.0}] * 3


def test_nan_is_in_the_records_and_in_the_result(by_hand: Run) -> None:
    result = trained(by_hand, [{"loss": math.nan, "inf": math.inf}], metric="loss", mode="min")

    assert math.isnan(result["metrics"]["loss"])
    assert math.isnan(result["history"][0]["metrics"]["loss"])
    found = RecordBuffer().feed(Path(by_hand.records.path).read_bytes())
    [values] = [record["values"] for record in found if record["kind"] == "metric"]
    assert math.isnan(values["loss"])
    assert values["inf"] == math.inf


def test_what_came_after_its_report_is_told_at_its_step(by_hand: Run) -> None:
    by_hand.config.update(run_name="run", storage_path="/runs")
    reporter, history = _Reporter(by_hand, "/runs/run"), History()
    history.add({"loss": 1.0}, "c0")
    history.add({"loss": 0.5}, "c1")

    reporter.late(history.complete("c0", {"loss": 1.0, "acc": 0.75}))
    reporter.late(history.complete("c1", {"loss": 0.5}))

    [record] = RecordBuffer().feed(Path(by_hand.records.path).read_bytes())
    assert (record["step"], record["values"]) == (0, {"acc": 0.75})
