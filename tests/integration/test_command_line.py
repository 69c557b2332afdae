"""The commands as Airflow runs them: its own parser, a real metadata database, a real local cluster."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
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

DAGS = Path(__file__).parent / "dags"

# Airflow takes seconds to import, so one process has done it, and each command is a child of its own.
COMMANDS = """
import json, os, sys
from airflow.__main__ import main

for line in sys.stdin:
    words, path = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = ["airflow", *words]
        code = 1
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class CommandLine:
    """``airflow`` with the settings of one deployment."""

    process: subprocess.Popen[str]
    folder: Path
    count: int = 0

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command that ends with this exit code, and give what it printed."""
        self.count += 1
        output = self.folder / f"output-{self.count}"
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([words, str(output)]) + "\n")
        self.process.stdin.flush()
        ended = self.process.stdout.readline().strip()
        said = output.read_text() if output.exists() else "it did not start"
        assert ended == str(code), said
        return said

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command with ``-o json`` and give its rows."""
        said = self.run(*words, "-o", "json", code=code)
        return list(json.loads(said[said.index("[{") : said.rindex("}]") + 2]))


@pytest.fixture(scope="module")
def stack(local_home: Path, migrated_db: Path) -> Iterator[AirflowStack]:
    made = AirflowStack(DAGS, env={"AIR_LOCAL_HOME": str(local_home)}, template_db=migrated_db)
    made.migrate()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def airflow(stack: AirflowStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    command = [sys.executable, "-c", COMMANDS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=stack.env, stdin=pipe, stdout=pipe, text=True) as process:
        yield CommandLine(process, tmp_path_factory.mktemp("commands"))
        assert process.stdin is not None
        process.stdin.close()


def test_an_operator_finds_a_cluster_reads_a_log_stops_a_job_and_deletes_the_cluster(airflow: CommandLine) -> None:
    with local_cluster("cli") as (ref, transport):
        airflow.run("connections", "add", "ray_default", "--conn-type", "ray", "--conn-host", transport.base_url,
                    "--conn-password", str(transport.token))  # fmt: skip
        with RayClient(transport) as client:
            client.send(submit_job(JobSubmission("sleeper", "echo here I am; sleep 600", metadata={"who": "test"})))
            wait_until(lambda: _runs(client) or None, what="The job runs", timeout_seconds=120)

        def ready() -> dict[str, dict[str, str]] | None:
            # A busy head may miss a look.
            found = {row["connection"] or row["name"]: row for row in airflow.rows("air", "clusters", "list")}
            states = {name: row["state"] for name, row in found.items()}
            return found if states == {"cli": "ready", "ray_default": "ready"} else None

        clusters = wait_until(ready, what="Both clusters are ready", timeout_seconds=120)
        assert "CPU=2" in clusters["cli"]["resources"]
        assert [row["status"] for row in airflow.rows("air", "jobs", "list", "--live")] == ["RUNNING"]
        assert "here I am" in airflow.run("air", "jobs", "logs", "sleeper", "--cluster", "cli")

        found = {row["check"]: row for row in airflow.rows("air", "doctor", code=1)}
        assert [check for check, row in found.items() if row["verdict"] == "broken"] == ["triggerer"]
        assert "in ranges from the node agents" in found["connection ray_default: logs"]["finding"]

        assert "sleeper STOPPED" in airflow.run("air", "jobs", "stop", "sleeper", "--cluster", "cli")
        assert "Deleted" in airflow.run("air", "clusters", "delete", "cli", "--yes")
        assert ref not in [listed.ref for listed in BACKEND.list()]


def test_a_task_is_watched_while_it_runs_and_reported_after_its_cluster_is_gone(
    airflow: CommandLine, stack: AirflowStack, tmp_path: Path
) -> None:
    with local_cluster("reporting") as (_, transport), (tmp_path / "run.log").open("w") as log:
        host = {"conn_type": "ray", "host": transport.base_url, "password": transport.token}
        env = stack.env | {"AIRFLOW_CONN_RAY_DEFAULT": json.dumps(host)}
        command = [sys.executable, "-m", "airflow", "dags", "test", "reporting"]
        with subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, text=True) as run:
            wait_until(lambda: _is_told_of(stack) or run.poll(), what="The task reports", timeout_seconds=180)
            watched = airflow.run("air", "jobs", "watch", "reporting", "train")
            assert run.wait(120) == 0, (tmp_path / "run.log").read_text()[-4000:]
    lines = [line for line in watched.splitlines() if line.startswith("20")]
    assert any("running" in line and "epoch</script>\\u202e" in line and "of 40" in line for line in lines), watched
    assert "success" in lines[-1]
    assert "\x1b" not in watched

    report = tmp_path / "report.html"
    assert str(report) in airflow.run("air", "report", "reporting", "train", "--output", str(report))
    page = report.read_text()
    found = re.search(r'<script type="application/json" id="air-data">(.*?)</script>', page)
    assert found is not None
    sections = json.loads(found[1])["sections"]
    assert sections["state"]["phase"] == "succeeded"
    assert sections["metrics"]["series"]["rmse"]["y"] == pytest.approx([3 / (n + 1) for n in range(40)], rel=1e-5)
    assert sections["result"] == {"best": "</script><script>alert(1)</script>"}
    assert page.count("<script") == 2
    assert "&lt;b&gt;lr&lt;/b&gt;" in page


def _is_told_of(stack: AirflowStack) -> bool:
    with contextlib.closing(sqlite3.connect(stack.home / "airflow.db", timeout=30)) as database:
        asked = database.execute("SELECT count(*) FROM xcom WHERE dag_id = 'reporting' AND key = 'progress'")
        return bool(asked.fetchone()[0])


def _runs(client: RayClient) -> bool:
    job = client.send(get_job("sleeper"))
    return job is not None and job.status.value == "RUNNING"
