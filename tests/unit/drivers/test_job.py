"""Drivers as the real processes they are: exit codes, records, refusals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from airflow_provider_air import drivers
from airflow_provider_air.records import RecordBuffer, records_name, result_of

HERE = ".".join(map(str, sys.version_info[:2]))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What Ray unpacks: our drivers under the name they have on a cluster, and a payload."""
    source = Path(drivers.__path__[0])
    shutil.copytree(source, tmp_path / "air_drivers", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "payload").mkdir()
    (tmp_path / "logs").mkdir()
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(folder),
            "AIR_SUBMISSION_ID": "air-1",
            "AIR_PAYLOAD": "payload",
            "AIR_RECORDS_DIR": str(folder / "logs"),
            **environment,
        }
        return subprocess.run(
            [sys.executable, *command],
            env={key: value for key, value in variables.items() if value},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def records(folder: Path) -> list[dict[str, Any]]:
    return RecordBuffer().feed((folder / "logs" / records_name("air-1")).read_bytes())


def ship(folder: Path, function: Any, *args: Any, python: str = HERE, **kwargs: Any) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        call = cloudpickle.dumps((function, args, kwargs))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    (folder / "payload" / "call.pkl").write_bytes(call)
    (folder / "payload" / "config.json").write_text(json.dumps({"python": python}))


# A function


def test_a_functions_value_comes_home(folder: Path, run: Run) -> None:
    ship(folder, lambda a, b: {"sum": a + b}, 1, b=2)

    done = run("-m", "air_drivers.function")

    assert done.returncode == 0, done.stderr
    assert result_of(records(folder), where="air-1") == {"sum": 3}


def test_a_function_reports_on_its_way(folder: Path, run: Run) -> None:
    def work() -> int:
        from air_drivers import report

        report.progress("epoch", done=1, total=2)
        report.metric({"rmse": 1.5}, step=1)
        return 7

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 0, done.stderr
    assert [record["kind"] for record in records(folder)] == ["progress", "metric", "result", "end"]


def test_a_coroutine_is_awaited(folder: Path, run: Run) -> None:
    async def work() -> int:
        return 7

    ship(folder, work)

    assert run("-m", "air_drivers.function").returncode == 0
    assert result_of(records(folder), where="air-1") == 7


def test_a_function_that_raises_exits_1_with_its_trace_and_its_error(folder: Path, run: Run) -> None:
    def work() -> None:
        raise KeyError("column")

    ship(folder, work)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert records(folder)[-1]["error"] == {"type": "KeyError", "message": "'column'"}


def test_a_value_that_does_not_travel_is_the_authors_to_fix(folder: Path, run: Run) -> None:
    ship(folder, lambda: {"model": object()})
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "the return value['model']" in done.stderr
    assert "Traceback" not in done.stderr
    assert records(folder)[-1]["status"] == "failed"


def test_a_value_that_is_too_large_is_the_authors_to_fix(folder: Path, run: Run) -> None:
    ship(folder, lambda: "x" * 5_000_000)
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "storage" in records(folder)[-1]["error"]["message"]


def test_another_python_is_refused_before_the_pickle_is_opened(folder: Path, run: Run) -> None:
    ship(folder, lambda: 1, python="3.8")
    (folder / "payload" / "call.pkl").write_bytes(b"would crash")
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "Python 3.8" in done.stderr
    assert f"Python {HERE}" in done.stderr


def test_a_module_that_the_cluster_lacks_is_named(folder: Path, run: Run, tmp_path: Path) -> None:
    (folder / "payload" / "config.json").write_text(json.dumps({"python": HERE}))
    (folder / "payload" / "call.pkl").write_bytes(b"cnowhere_module\nwork\n.")
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "'nowhere_module'" in done.stderr


def test_leaving_without_a_word_leaves_no_end(folder: Path, run: Run) -> None:
    ship(folder, lambda: os._exit(0))

    assert run("-m", "air_drivers.function").returncode == 0
    assert records(folder) == []


# The frame


@pytest.mark.parametrize("payload", ["", "absent"])
def test_a_missing_payload_is_told(folder: Path, run: Run, payload: str) -> None:
    done = run("-m", "air_drivers.function", AIR_PAYLOAD=payload)

    assert done.returncode in (1, 64)
    assert "Error" in done.stderr or "configuration error" in done.stderr


def test_a_missing_payload_file_is_told(folder: Path, run: Run) -> None:
    (folder / "payload" / "config.json").write_text(json.dumps({"python": HERE}))
    done = run("-m", "air_drivers.function")

    assert done.returncode == 64
    assert "'call.pkl'" in done.stderr


def test_a_job_that_is_late_refuses_to_start(folder: Path, run: Run) -> None:
    ship(folder, lambda: 1)
    done = run("-m", "air_drivers.function", AIR_NOT_AFTER=repr(time.time() - 1))

    assert done.returncode == 75
    assert "not-after" in done.stderr
    assert not (folder / "logs" / records_name("air-1")).exists()


def test_a_job_that_runs_too_long_ends_itself(folder: Path, run: Run) -> None:
    def work() -> None:
        import time

        time.sleep(600)

    ship(folder, work)
    done = run("-m", "air_drivers.function", AIR_NOT_AFTER=repr(time.time() + 2))

    assert done.returncode == 75
    assert records(folder)[-1]["error"]["type"] == "NotAfter"


def test_a_job_that_is_done_in_time_does_not_wait_for_its_time(folder: Path, run: Run) -> None:
    ship(folder, lambda: 1)

    assert run("-m", "air_drivers.function", AIR_NOT_AFTER=repr(time.time() + 3600)).returncode == 0


# A script of the user's own


def script(folder: Path, text: str) -> str:
    path = folder / "train.py"
    path.write_text(f"from air_drivers import report\n{text}\n")
    return str(path)


def test_a_script_reports_progress_metrics_and_its_result(folder: Path, run: Run) -> None:
    path = script(
        folder,
        "report.progress('epoch', done=1, total=2)\n"
        "report.metric({'rmse': 1}, step=1)\n"
        "report.checkpoint('s3://b/c')\n"
        "report.result((1, 2))",
    )

    assert run(path).returncode == 0
    found = records(folder)
    assert [item["kind"] for item in found] == ["progress", "metric", "checkpoint", "result", "end"]
    assert result_of(found, where="air-1") == (1, 2)


def test_a_script_that_raises_says_so_in_its_end(folder: Path, run: Run) -> None:
    path = script(folder, "report.progress('x')\nraise ValueError('bad data')")
    done = run(path)

    assert done.returncode == 1
    assert "ValueError: bad data" in done.stderr
    assert records(folder)[-1]["error"] == {"type": "ValueError", "message": "bad data"}


def test_a_script_runs_by_hand_too(folder: Path, run: Run) -> None:
    path = script(folder, "report.progress('x')\nreport.result(object)\nprint('done')")
    done = run(path, AIR_SUBMISSION_ID="")

    assert (done.returncode, done.stdout) == (1, "")
    path = script(folder, "report.progress('x')\nreport.result(1)\nprint('done')")
    assert run(path, AIR_SUBMISSION_ID="").stdout == "done\n"
    assert not list((folder / "logs").iterdir())


def test_a_child_of_the_script_cannot_spoil_its_records(folder: Path, run: Run) -> None:
    path = script(
        folder,
        "import subprocess, sys\n"
        "report.progress('mine')\n"
        "code = 'from air_drivers import report; report.progress(\"child\")'\n"
        "assert subprocess.run([sys.executable, '-c', code], stderr=subprocess.DEVNULL).returncode == 1\n"
        "report.result(1)",
    )
    done = run(path)

    assert done.returncode == 0, done.stderr
    assert [item["kind"] for item in records(folder)] == ["progress", "result", "end"]


def test_drivers_need_neither_us_nor_airflow(folder: Path, run: Run) -> None:
    code = "import sys, air_drivers.function, air_drivers.report; print([m for m in sys.modules if 'airflow' in m])"

    assert run("-c", code).stdout == "[]\n"
