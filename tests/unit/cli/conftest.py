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
from airflow.models import Connection
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel  # noqa: F401  # so that its table is known
from airflow.sdk.timezone import utcnow
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from airflow_provider_air.cli.definition import get_air_commands
from tests.fakes.ray_dashboard import FakeRayDashboard

TABLES = [Connection.metadata.tables[name] for name in ("connection", "job", "xcom", DagRun.__tablename__)]


@dataclass
class Cli:
    """The command line, as far as it is ours."""

    capsys: pytest.CaptureFixture[str]
    sessions: sessionmaker[Session]

    def run(self, *words: str) -> str:
        """Run ``airflow air WORDS`` and give what it printed to stdout."""
        parser = argparse.ArgumentParser()
        _add(parser, get_air_commands()[0].subcommands)
        args = parser.parse_args(words)
        args.func(args)
        return self.capsys.readouterr().out

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
