"""``max_concurrent_jobs`` where each task has a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.connections import ports
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context

DEADLINE_SECONDS = 240.0
JOB_SECONDS = 0.4
LIMIT = 2
TASKS = 8
OF_THE_HOST = ports._admission


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the processes of this host share; its path must be short."""
    folder = tempfile.mkdtemp(prefix="air-", dir="/tmp")
    monkeypatch.setenv("AIR_LOCAL_HOME", folder)
    yield Path(folder)
    shutil.rmtree(folder)


class Ending:
    """Ends each job a while after it began, and sees how many live at once."""

    def __init__(self, head: FakeRayDashboard) -> None:
        self.most = 0
        self._head = head
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Ending:
        self._thread.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._over.set()
        self._thread.join(DEADLINE_SECONDS)

    def _run(self) -> None:
        since: dict[str, float] = {}
        while not self._over.wait(0.02):
            alive = [name for name, job in list(self._head.jobs.items()) if job.status in ("PENDING", "RUNNING")]
            self.most = max(self.most, len(alive))
            for name in alive:
                if time.monotonic() - since.setdefault(name, time.monotonic()) > JOB_SECONDS:
                    self._head.set_status(name, "SUCCEEDED")


def work(number: int) -> None:
    """One worker's process."""
    ports._admission = OF_THE_HOST
    task = RaySubmitJobOperator(
        task_id=f"task-{number}",
        entrypoint="true",
        deferrable=False,
        max_concurrent_jobs=LIMIT,
        ray_conn_id="ray_default",
    )
    task.execute(task_context(Store(), task_id=f"task-{number}"))


def test_workers_of_one_host_never_run_more_than_the_limit(head: FakeRayDashboard, home: Path) -> None:
    with Ending(head) as ending:
        forked = multiprocessing.get_context("fork")
        workers = [forked.Process(target=work, args=(number,)) for number in range(TASKS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(DEADLINE_SECONDS)

    assert [worker.exitcode for worker in workers] == [0] * TASKS
    assert [job.status for job in head.jobs.values()] == ["SUCCEEDED"] * TASKS
    assert ending.most == LIMIT
    # Each place went with its job, and the cluster with its last place.
    assert json.loads((home / "places.json").read_text()) == {}
