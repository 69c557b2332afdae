"""``airflow air clusters clean``: told first, taken with ``--yes``, by the DAG runs of the metadata database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.models.xcom import XComModel
from sqlalchemy import text

from airflow_provider_air.cli import clean
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.cluster_requests import REQUEST_KEY
from airflow_provider_air.runs.marks import Mark
from airflow_provider_air.runs.names import metadata_of
from airflow_provider_air.storage.shared_folder import Folder
from airflow_provider_air.waiting import wait_until
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.cli.conftest import Cli

KEY = TaskKey("tests", "flights", "manual__0", "train")


def add_run(cli: Cli, run_id: str, state: str) -> None:
    """Write down as much of a DAG run as is read here."""
    given: dict[str, Any] = {"dag_id": "flights", "run_id": run_id, "state": state, "id": None}
    with cli.sessions.begin() as session:
        for _, name, kind, is_needed, default, _ in session.execute(text("PRAGMA table_info(dag_run)")).all():
            if is_needed and default is None and name not in given:
                given[name] = "2026-01-01 00:00:00" if "TIME" in kind else 0 if "INT" in kind else "manual"
        names = ", ".join(given)
        session.execute(
            text(f"INSERT INTO dag_run ({names}) VALUES ({', '.join(':' + name for name in given)})"), given
        )


def left(dashboard: FakeRayDashboard, run_id: str) -> None:
    key = TaskKey(KEY.deployment, KEY.dag_id, run_id, KEY.task_id)
    dashboard.add_job(run_id, "RUNNING", metadata=metadata_of(key, generation=1, attempt=1, try_number=1))


def test_what_is_to_go_is_told_first_and_taken_with_yes(
    cli: Cli, dashboard: FakeRayDashboard, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id, state in {"manual__0": "failed", "manual__1": "running"}.items():
        add_run(cli, run_id, state)
        left(dashboard, run_id)
    left(dashboard, "manual__2")

    rows = {row["name"]: row for row in cli.rows("clusters", "clean")}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "manual__0": "would be taken",
        "manual__1": "spared",
        "manual__2": "spared",
    }
    assert "Airflow does not know its DAG run" in rows["manual__2"]["reason"]
    assert dashboard.jobs["manual__0"].status == "RUNNING"

    rows = {row["name"]: row for row in cli.rows("clusters", "clean", "--yes")}
    assert rows["manual__0"]["verdict"] == "taken"
    wait_until(lambda: dashboard.jobs["manual__0"].status == "STOPPED" or None, what="its end", timeout_seconds=10)
    assert dashboard.jobs["manual__1"].status == "RUNNING"


def test_what_is_away_is_told_and_the_rest_is_cleaned(
    cli: Cli, dashboard: FakeRayDashboard, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.add_connection("ray_gone", host="127.0.0.1", port=1)
    add_run(cli, "manual__0", "success")
    left(dashboard, "manual__0")
    with pytest.raises(SystemExit) as ended:
        cli.run("clusters", "clean", "--yes", "-o", "json")
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "jobs on ray_gone could not be looked at" in said.err
    assert '"taken"' in said.out


def test_a_storage_is_cleaned_where_it_is_named(cli: Cli, tmp_path: Path) -> None:
    Mark("result", "air-1", KEY).write(Folder(tmp_path))
    (row,) = cli.rows("clusters", "clean", "--storage", str(tmp_path))
    assert (row["kind"], row["verdict"]) == ("files", "spared")


def test_a_database_that_cannot_be_read_says_nothing_of_a_run(cli: Cli) -> None:
    with cli.sessions.begin() as session:
        session.execute(text("DROP TABLE dag_run"))
    with pytest.raises(UnavailableError, match="metadata database"):
        clean.run_state_of(KEY)


def test_what_a_person_asked_of_a_cluster_is_read_from_its_task_alone(cli: Cli) -> None:
    request = {"action": "end", "cluster": {"backend": "local", "name": "c"}, "asked_at": 1.5}
    names = {"dag_id": KEY.dag_id, "run_id": KEY.run_id, "task_id": KEY.task_id, "dag_run_id": 1}
    with cli.sessions.begin() as session:
        for map_index, value in {-1: request, 3: {"action": "extend"}}.items():
            session.add(XComModel(key=REQUEST_KEY, value=value, map_index=map_index, **names))
    assert clean.request_of(KEY) == request
    assert clean.request_of(replace(KEY, map_index=3)) == {"action": "extend"}
    assert clean.request_of(replace(KEY, run_id="manual__9")) is None


def test_a_database_that_cannot_be_read_does_not_say_what_is_asked(cli: Cli) -> None:
    with cli.sessions.begin() as session:
        session.execute(text("DROP TABLE xcom"))
    with pytest.raises(UnavailableError, match="metadata database"):
        clean.request_of(KEY)
