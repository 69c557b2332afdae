"""The commands as Airflow runs them: real processes, a real metadata database, a real local cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow_stack import AirflowStack

from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import get_job, submit_job
from airflow_provider_air.waiting import wait_until
from tests.clusters import BACKEND, local_cluster
from tests.e2e.conftest import local_home, migrated_db

__all__ = ["local_home", "migrated_db"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@dataclass
class CommandLine:
    """``airflow`` with the settings of one deployment."""

    env: dict[str, str]

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with this exit code, and give what it printed."""
        command = [sys.executable, "-m", "airflow", *words]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=200)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr * bool(code)

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command with ``-o json`` and give its rows."""
        said = self.run(*words, "-o", "json", code=code)
        return list(json.loads(said[said.index("[") : said.rindex("]") + 1]))


@pytest.fixture(scope="module")
def airflow(local_home: Path, migrated_db: Path) -> Iterator[CommandLine]:
    stack = AirflowStack(Path(os.devnull), env={"AIR_LOCAL_HOME": str(local_home)}, template_db=migrated_db)
    stack.migrate()
    yield CommandLine(stack.env)
    stack.stop()


def test_an_operator_finds_a_cluster_reads_a_log_stops_a_job_and_deletes_the_cluster(airflow: CommandLine) -> None:
    with local_cluster("cli") as (ref, transport):
        airflow.run("connections", "add", "ray_default", "--conn-type", "ray", "--conn-host", transport.base_url,
                    "--conn-password", str(transport.token))  # fmt: skip
        with RayClient(transport) as client:
            client.send(submit_job(JobSubmission("sleeper", "echo here I am; sleep 600", metadata={"who": "test"})))
            wait_until(lambda: _runs(client) or None, what="The job runs", timeout_seconds=120)

        clusters = {row["connection"] or row["name"]: row for row in airflow.rows("air", "clusters", "list")}
        assert {name: row["state"] for name, row in clusters.items()} == {"cli": "ready", "ray_default": "ready"}
        assert "CPU=2" in clusters["cli"]["resources"]
        assert [row["status"] for row in airflow.rows("air", "jobs", "list", "--live")] == ["RUNNING"]
        assert "here I am" in airflow.run("air", "jobs", "logs", "sleeper", "--cluster", "cli")

        found = {row["check"]: row for row in airflow.rows("air", "doctor", code=1)}
        assert [check for check, row in found.items() if row["verdict"] == "broken"] == ["triggerer"]
        assert "in ranges from the node agents" in found["connection ray_default: logs"]["finding"]

        assert "sleeper STOPPED" in airflow.run("air", "jobs", "stop", "sleeper", "--cluster", "cli")
        assert "Deleted" in airflow.run("air", "clusters", "delete", "cli", "--yes")
        assert ref not in BACKEND.list_refs()


def _runs(client: RayClient) -> bool:
    job = client.send(get_job("sleeper"))
    return job is not None and job.status.value == "RUNNING"
