"""A Python function as a job: its value, and what keeps it from one."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

from airflow_provider_air import load_result
from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.runs.ends import encoded_result_of
from tests.unit.drivers.conftest import HERE, Process, records, ship


def test_a_functions_value_comes_home(folder: Path, run: Process) -> None:
    ship(folder, lambda a, b: {"sum": a + b}, 1, b=2)

    done = run("-m", "air_drivers.function")

    assert done.returncode == 0, done.stderr
    assert decode(encoded_result_of(records(folder), where="air-1")) == {"sum": 3}


def test_a_function_reports_on_its_way(folder: Path, run: Process) -> None:
    def work() -> int:
        from air_drivers import report

        report.progress("epoch", done=1, total=2)
        report.metric({"rmse": 1.5}, step=1)
        return 7

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 0, done.stderr
    assert [record["kind"] for record in records(folder)] == ["progress", "metric", "result", "end"]


def test_a_coroutine_is_awaited(folder: Path, run: Process) -> None:
    async def work() -> int:
        return 7

    ship(folder, work)

    assert run("-m", "air_drivers.function").returncode == 0
    assert decode(encoded_result_of(records(folder), where="air-1")) == 7


def test_a_function_that_raises_exits_1_with_its_trace_and_its_error(folder: Path, run: Process) -> None:
    def work() -> None:
        raise KeyError("column")

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert records(folder)[-1]["error"] == {"type": "KeyError", "message": "'column'"}


def test_a_value_that_does_not_travel_loses_only_itself(folder: Path, run: Process) -> None:
    def work() -> object:
        class Net:
            def __str__(self) -> str:
                return "Net" * 1000

        return {"model": Net(), "auc": 0.9}

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 0, done.stderr
    warning, result, end = records(folder)
    assert (warning["kind"], warning["warning"]) == ("progress", True)
    assert "the return value['model'] (" in warning["message"]
    assert decode(result["value"])["auc"] == 0.9
    assert decode(result["value"])["model"].startswith("NetNet")
    assert len(decode(result["value"])["model"]) == 200
    assert end["status"] == "succeeded"


def test_a_table_travels_beside_its_numbers(folder: Path, run: Process) -> None:
    def work() -> object:
        import numpy
        import pandas

        table = pandas.DataFrame({"score": numpy.random.default_rng(1).random(200_000)})
        return {"table": table, "head": table[:2], "loss": numpy.float32("nan"), "by": {1: table.score[0]}}

    ship(folder, work)
    done = run("-m", "air_drivers.function", AIR_STORAGE=str(folder / "storage"))

    assert done.returncode == 0, done.stderr
    value = decode(encoded_result_of(records(folder), where="air-1"))
    assert value["table"]["air_stored_result"] == str(folder / "storage" / "results" / "air-1-1.parquet")
    assert len(load_result(value["table"])) == 200_000
    assert len(value["head"]) == 2
    assert math.isnan(value["loss"])
    assert list(value["by"]) == [1]


def test_a_value_that_is_too_large_is_the_authors_to_fix(folder: Path, run: Process) -> None:
    ship(folder, lambda: "x" * 5_000_000)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "storage" in records(folder)[-1]["error"]["message"]


def test_another_python_is_refused_before_the_pickle_is_opened(folder: Path, run: Process) -> None:
    ship(folder, lambda: 1, python="3.8")
    (folder / "payload" / "call.pkl").write_bytes(b"would crash")
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "Python 3.8" in done.stderr
    assert f"Python {HERE} ({sys.executable})" in done.stderr


def test_a_module_that_the_cluster_lacks_is_named(folder: Path, run: Process, tmp_path: Path) -> None:
    (folder / "payload" / "config.json").write_text(json.dumps({"python": HERE}))
    (folder / "payload" / "call.pkl").write_bytes(b"cnowhere_module\nwork\n.")
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "'nowhere_module'" in done.stderr


def test_leaving_without_a_word_leaves_no_end(folder: Path, run: Process) -> None:
    ship(folder, lambda: os._exit(0))

    assert run("-m", "air_drivers.function").returncode == 0
    assert records(folder) == []
