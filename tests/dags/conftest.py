"""One process that runs examples, and one Ray head that they share."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from airflow_stack import AirflowStack

from airflow_provider_air.ray_api.transport import Transport
from tests.clusters import BACKEND, local_cluster
from tests.e2e.conftest import local_home, migrated_db

__all__ = ["local_home", "migrated_db"]

REPOSITORY = Path(__file__).parents[2]
DAGS = REPOSITORY / "dags"


@dataclass
class Runner:
    """The process of ``runner.py``; its log tells all that Airflow said."""

    process: subprocess.Popen[str]
    answers: IO[str]
    log: Path

    def ask(self, action: str, argument: str, timeout_seconds: float = 300) -> dict[str, Any]:
        """Let it do something; the end of its log is in the message if it does not answer."""
        start = self.log.stat().st_size
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({action: argument}) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.answers], [], [], timeout_seconds)
        line = self.answers.readline() if ready else ""
        said = self.log.read_bytes()[start:].decode(errors="replace")
        assert line, f"no answer to {action} {argument}:\n{said[-6000:]}"
        return {**json.loads(line), "log": said}


@pytest.fixture(scope="session")
def examples_cluster(local_home: Path) -> Iterator[Transport]:
    """The cluster that the examples ask for, there before they do: each adopts it."""
    with local_cluster("examples", num_cpus=2, object_store_memory_bytes=512 * 1024 * 1024) as (_, transport):
        yield transport


@pytest.fixture(scope="session")
def runner(
    examples_cluster: Transport, local_home: Path, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """A process with an Airflow of its own, whose ``ray_default`` leads to the examples' cluster."""
    folder = tmp_path_factory.mktemp("examples")
    connection = {"conn_type": "ray", "host": examples_cluster.base_url, "password": examples_cluster.token}
    stack = AirflowStack(
        DAGS,
        env={"AIR_LOCAL_HOME": str(local_home), "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'scripts'}"},
        connections={"ray_default": connection},
        template_db=migrated_db,
        home=folder / "airflow",
    )
    stack.migrate()
    read, write = os.pipe()
    log = folder / "runner.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.dags.runner", str(write)],
            env=stack.env,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=[write],
            text=True,
        )
    os.close(write)
    with os.fdopen(read) as answers:
        try:
            yield Runner(process, answers, log)
        finally:
            # One that hangs in the middle of a run is not waited for.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
            process.kill()
            process.wait()
            stack.stop()
            for ref in BACKEND.list_refs():
                BACKEND.delete(ref)
