"""Two processes that run examples, and the Ray head that most of them share."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from airflow_stack import AirflowStack
from example_settings import EXAMPLES, example_connections, example_variables

from airflow_provider_air.ray_api.transport import Transport
from tests.clusters import BACKEND, delete, local_cluster
from tests.e2e.conftest import local_home, migrated_db

__all__ = ["local_home", "migrated_db"]

REPOSITORY = Path(__file__).parents[2]
DAGS = REPOSITORY / "dags"


@dataclass
class Runner:
    """The process of ``runner.py``, which does one thing after the other; its log tells all that Airflow said."""

    process: subprocess.Popen[str]
    answers: IO[str]
    log: Path
    _line: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def ask(self, action: str, argument: str, timeout_seconds: float = 900) -> Future[dict[str, Any]]:
        """
        Let it do something, in its turn; the end of its log is in the message if it does not answer.

        Then it is killed: a late answer would be taken for that of whoever asks next.
        """
        return self._line.submit(self._ask, action, argument, timeout_seconds)

    def _ask(self, action: str, argument: str, timeout_seconds: float) -> dict[str, Any]:
        start = self.log.stat().st_size
        assert self.process.poll() is None, f"it has ended before {action} {argument}"
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({action: argument}) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.answers], [], [], timeout_seconds)
        line = self.answers.readline() if ready else ""
        if not line:
            self.process.kill()
            self.process.wait()
        said = self.log.read_bytes()[start:].decode(errors="replace")
        assert line, f"no answer to {action} {argument}:\n{said[-6000:]}"
        return {**json.loads(line), "log": said}

    def stop(self) -> None:
        """End it; what still waits for its turn is not done, and what hangs is not waited for."""
        self._line.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=10)
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def examples_cluster(local_home: Path) -> Iterator[Transport]:
    """The cluster of ``ray_default``, there before it is asked for: each adopts it. No cluster is left afterwards."""
    try:
        with local_cluster(**EXAMPLES, object_store_memory_bytes=512 * 1024 * 1024) as (_, transport):
            yield transport
    finally:
        for listed in BACKEND.list():
            delete(listed.ref)


@pytest.fixture(scope="session")
def runner(
    examples_cluster: Transport, local_home: Path, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """Runs what uses the examples' cluster, which takes one at a time."""
    with running(example_connections(), local_home, migrated_db, tmp_path_factory.mktemp("examples")) as made:
        yield made


@pytest.fixture(scope="session")
def second_runner(
    examples_cluster: Transport, local_home: Path, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """Runs what has a cluster of its own, at the same time; here ``ray_default`` is the address of the examples'."""
    address = {"host": examples_cluster.base_url, "password": examples_cluster.token}
    connections = example_connections(**address)
    with running(connections, local_home, migrated_db, tmp_path_factory.mktemp("others")) as made:
        yield made


@contextlib.contextmanager
def running(
    connections: Mapping[str, Mapping[str, Any]],
    local_home: Path,
    migrated_db: Path,
    folder: Path,
    storage: Path | None = None,
) -> Iterator[Runner]:
    """
    Have a process with an Airflow of its own.

    :param connections: by their ids, in Airflow's JSON form
    :param folder: for all that Airflow writes
    :param storage: the examples'; by default a part of that folder, which goes with the tests
    """
    stack = AirflowStack(
        DAGS,
        env={
            "AIR_LOCAL_HOME": str(local_home),
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'scripts'}",
            # No scheduler runs here, which could not bear what comes back soon.
            "AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS": "0",
            **example_variables(storage or folder / "storage"),
        },
        connections={conn_id: dict(fields) for conn_id, fields in connections.items()},
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
        made = Runner(process, answers, log)
        try:
            yield made
        finally:
            made.stop()
            stack.stop()
