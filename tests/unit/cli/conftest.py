"""Runs ``airflow air …`` in this process, against a metadata database of its own and a double of Ray."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from airflow.cli.cli_config import ActionCommand
from airflow.jobs.job import Job
from airflow.models import Connection, import_all_models
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.models.xcom import XComModel
from airflow.sdk.timezone import utcnow
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from airflow_provider_air.cli.definition import get_air_commands
from tests.fakes.ray_dashboard import FakeRayDashboard

import_all_models()
MODELS = (Connection, Job, DagRun, TaskInstance, TaskInstanceHistory, TaskStateStoreModel, XComModel)
TABLES = [Connection.metadata.tables[model.__tablename__] for model in MODELS]


@dataclass
class Cli:
    """The command line, as far as it is ours."""

    capsys: pytest.CaptureFixture[str]
    sessions: sessionmaker[Session]
    err: str = ""

    def run(self, *words: str) -> str:
        """Run ``airflow air WORDS`` and give what it printed to stdout; ``err`` has what it printed to stderr."""
        parser = argparse.ArgumentParser()
        _add(parser, get_air_commands()[0].subcommands)
        args = parser.parse_args(words)
        args.func(args)
        printed = self.capsys.readouterr()
        self.err = printed.err
        return printed.out

    def rows(self, *words: str) -> list[dict[str, Any]]:
        """Run it with ``-o json`` and give the rows."""
        return list(json.loads(self.run(*words, "-o", "json")))

    def add_connection(self, conn_id: str, **fields: Any) -> None:
        """Store a connection of type ray unless told otherwise."""
        with self.sessions.begin() as session:
            session.add(Connection(conn_id=conn_id, **{"conn_type": "ray", **fields}))

    def add_triggerer(self, *, beat_seconds_ago: float = 0) -> None:
        """Let a triggerer have beaten its heart."""
        job = Job(state="running", latest_heartbeat=utcnow() - timedelta(seconds=beat_seconds_ago))
        job.job_type = "TriggererJob"
        with self.sessions.begin() as session:
            session.add(job)

    def add_row(self, table: str, **given: Any) -> None:
        """Write down as much of a row as is read here; the rest is what its columns take."""
        with self.sessions.begin() as session:
            for _, name, kind, is_needed, default, key in session.execute(text(f"PRAGMA table_info({table})")).all():
                if is_needed and default is None and name not in given and not (key and "INT" in kind):
                    given[name] = "2026-01-01 00:00:00" if "TIME" in kind else 0 if "INT" in kind else "manual"
            names = ", ".join(given)
            values = ", ".join(f":{name}" for name in given)
            session.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), given)

    def drop_tables(self) -> None:
        """Let the database be one that Airflow has not set up."""
        with self.sessions() as session:
            Connection.metadata.drop_all(session.get_bind(), tables=TABLES)


def _add(parser: argparse.ArgumentParser, commands: Any) -> None:
    choices = parser.add_subparsers(required=True)
    for command in commands:
        child = choices.add_parser(command.name, help=command.help)
        if isinstance(command, ActionCommand):
            for arg in command.args:
                arg.add_to_parser(child)
            child.set_defaults(func=command.func)
        else:
            _add(child, command.subcommands)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The command line of a deployment with an empty database and no local cluster."""
    folder = tempfile.mkdtemp(prefix="air-", dir="/tmp")
    monkeypatch.setenv("AIR_LOCAL_HOME", folder)
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    Connection.metadata.create_all(engine, tables=TABLES)
    sessions = sessionmaker(engine, expire_on_commit=False)
    monkeypatch.setattr(settings, "Session", sessions)
    # Commands set this for their own process; here it must not outlive the test.
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    yield Cli(capsys, sessions)
    engine.dispose()
    shutil.rmtree(folder)


@pytest.fixture
def dashboard(cli: Cli) -> Iterator[FakeRayDashboard]:
    """A double of Ray's dashboard, behind the connection ``ray_default``."""
    with FakeRayDashboard() as fake:
        host, port = fake.url.removeprefix("http://").split(":")
        cli.add_connection("ray_default", host=host, port=int(port), password=fake.token)
        yield fake
