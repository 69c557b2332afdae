"""A script of the user's own, which reports to Airflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_air.drivers.wire.values import decode
from airflow_provider_air.runs.ends import encoded_result_of
from tests.unit.drivers.conftest import Process, records


def script(folder: Path, text: str) -> str:
    path = folder / "train.py"
    path.write_text(f"from air_drivers import report\n{text}\n")
    return str(path)


def test_a_script_reports_progress_metrics_and_its_result(folder: Path, run: Process) -> None:
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
    assert decode(encoded_result_of(found, where="air-1")) == (1, 2)


def test_a_script_that_raises_says_so_in_its_end(folder: Path, run: Process) -> None:
    path = script(folder, "report.progress('x')\nraise ValueError('bad data')")
    done = run(path)

    assert done.returncode == 1
    assert "ValueError: bad data" in done.stderr
    assert records(folder)[-1]["error"] == {"type": "ValueError", "message": "bad data"}


def test_a_script_runs_by_hand_too(folder: Path, run: Process) -> None:
    path = script(folder, "report.progress('x')\nreport.result(object)\nprint('done')")
    assert run(path, AIR_SUBMISSION_ID="").stdout == "done\n"
    assert not list((folder / "logs").iterdir())


def test_a_child_of_the_script_cannot_spoil_its_records(folder: Path, run: Process) -> None:
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


SKIPS = {
    "at once": "report.skip('no new files')",
    "after a report": "report.progress('x')\nreport.skip('no new files')",
    "by Airflow's own": "class AirflowSkipException(Exception): pass\nraise AirflowSkipException('no new files')",
}


@pytest.mark.parametrize("text", SKIPS.values(), ids=SKIPS.keys())
def test_a_script_that_finds_nothing_to_do_ends_well_and_says_so(text: str, folder: Path, run: Process) -> None:
    done = run(script(folder, text))

    assert (done.returncode, done.stderr) == (0, "skipped: no new files\n")
    end = records(folder)[-1]
    assert (end["kind"], end["status"], end["message"]) == ("end", "skipped", "no new files")


def test_a_script_that_gives_up_says_that_no_retry_can_help(folder: Path, run: Process) -> None:
    text = "class AirflowFailException(Exception): pass\nreport.progress('x')\nraise AirflowFailException('bad table')"

    assert run(script(folder, text)).returncode == 1
    assert records(folder)[-1]["no_retry"] is True


def test_a_skip_by_hand_raises_what_is_skipped(folder: Path, run: Process) -> None:
    done = run(script(folder, "report.skip('no new files')"), AIR_SUBMISSION_ID="")

    assert done.returncode == 1
    assert "Skipped: no new files" in done.stderr
