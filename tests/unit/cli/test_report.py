"""``airflow air report`` over a database: the file, and what is wrong, in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.pages import report
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stored_tasks import DAG, LEDGER, RUN, TASK, add_run, add_task, history, push, store


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs; with a bundle of its own."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "air.js").write_text("")
    (tmp_path / "static" / "air.css").write_text("")
    monkeypatch.setattr(report, "STATIC", tmp_path / "static")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def trained(cli: Cli) -> Cli:
    """A run whose task has stored all that it does."""
    add_run(cli)
    add_task(cli)
    store(cli, "air_ledger", LEDGER)
    push(cli, "air_history", history(rmse=[3.0, 2.0, 1.5]))
    push(cli, "progress", {"submission_id": "air-1", "status": "RUNNING", "message": "epoch 3 </script>"})
    return cli


def data_of(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="air-data">(.*?)</script>', html)
    assert found is not None
    return json.loads(found[1])


def test_a_file_is_named_after_the_task_instance_and_holds_what_is_stored(trained: Cli, folder: Path) -> None:
    name = trained.run("report", DAG, TASK, RUN).strip()
    assert re.fullmatch(r"air-report-flights-manual-1-train-[0-9a-f]{8}\.html", name)
    sections = data_of((folder / name).read_text())["sections"]
    assert sections["metrics"]["series"]["rmse"]["y"] == [3.0, 2.0, 1.5]
    assert sections["state"]["message"] == "epoch 3 </script>"
    assert sections["attempts"][0]["submission_id"] == "air-1"


def test_output_names_the_file_and_a_dash_is_stdout(trained: Cli, folder: Path) -> None:
    assert trained.run("report", DAG, TASK, RUN, "--output", "a b.html") == "a b.html\n"
    printed = trained.run("report", DAG, TASK, "-o", "-")
    assert data_of(printed)["sections"] == data_of((folder / "a b.html").read_text())["sections"]


def test_the_latest_run_is_the_default_and_a_logical_date_names_one(cli: Cli) -> None:
    for day in (2, 3, 1):
        date = f"2026-01-0{day} 00:00:00.000000"
        add_run(cli, f"run {day}", date, logical_date=date)
        add_task(cli, run_id=f"run {day}")
        push_result(cli, f"run {day}")
    assert data_of(cli.run("report", DAG, TASK, "-o", "-"))["sections"]["task"]["run_id"] == "run 3"
    dated = cli.run("report", DAG, TASK, "2026-01-02T00:00:00+00:00", "-o", "-")
    assert data_of(dated)["sections"]["task"]["run_id"] == "run 2"


def push_result(cli: Cli, run_id: str) -> None:
    names = {"dag_id": DAG, "run_id": run_id, "task_id": TASK, "map_index": -1}
    cli.add_row("xcom", dag_run_id=int(run_id[-1]), key="return_value", value='{"a": 1}', **names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody", TASK), "The DAG 'nobody' has no run. See: airflow dags list-runs nobody"),
        ((DAG, TASK, "nobody"), "has no run 'nobody'"),
        ((DAG, "nobody"), "This run has no task 'nobody'.*states-for-dag-run"),
        ((DAG, TASK, RUN, "--map-index", "2"), "no map index 2: it is not mapped.*Leave out --map-index"),
        ((DAG, TASK, "-o", "no/such/folder.html"), r"cannot be written: No such file.*--output, or - for stdout"),
        ((DAG, TASK, "-o", "static"), "cannot be written: Is a directory"),
    ],
)
def test_what_is_wrong_ends_with_one_line(trained: Cli, words: tuple[str, ...], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        trained.run("report", *words)


def test_of_a_mapped_task_one_has_to_be_named(cli: Cli) -> None:
    add_run(cli)
    for index in range(3):
        add_task(cli, map_index=index)
    store(cli, "air_ledger", LEDGER, map_index=1)
    with pytest.raises(SystemExit, match=r"no map index -1: it has 0 to 2.*Give one of them with --map-index"):
        cli.run("report", DAG, TASK)
    assert data_of(cli.run("report", DAG, TASK, "--map-index", "1", "-o", "-"))["sections"]["task"]["map_index"] == 1


def test_a_task_of_somebody_else_is_refused(cli: Cli) -> None:
    add_run(cli)
    add_task(cli, operator="BashOperator")
    with pytest.raises(SystemExit, match="none of this provider's, but a BashOperator"):
        cli.run("report", DAG, TASK)


def test_where_nothing_is_kept_it_says_why(cli: Cli, folder: Path) -> None:
    add_run(cli)
    add_task(cli, None)
    with pytest.raises(
        SystemExit, match=r"Nothing is kept of this task.*It has not begun, or Airflow has taken it away"
    ):
        cli.run("report", DAG, TASK)
    assert not list(folder.glob("*.html"))


def test_a_database_that_cannot_be_read_is_no_traceback(cli: Cli) -> None:
    cli.drop_tables()
    with pytest.raises(SystemExit, match=r"metadata database cannot be read: .*no such table"):
        cli.run("report", DAG, TASK)
