"""What one try sends is fetched once, and what has aged meanwhile anew."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api import backend as jobs_api
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.contracts.storage import JobAccess, Storage
from airflow_provider_air.errors import ClusterUnreachableError, UnavailableError
from airflow_provider_air.ray_api import packages
from airflow_provider_air.runs import sending
from airflow_provider_air.runs.marks import Mark, key_at, thing_of
from airflow_provider_air.storage.shared_folder import Folder, SharedFolder
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.runs.conftest import KEY, Task


@dataclass
class Counted:
    """A storage, and its spec, that notes what it is asked for."""

    calls: list[str] = field(default_factory=list)
    worker_can_open: bool = True
    away: int = 0

    def uri(self, path: str = "") -> str:
        return f"memory://counted/{path}"

    def open(self, connections: Any) -> Counted:
        self.calls.append("open")
        return self

    def probe(self) -> None:
        self.calls.append("probe")
        if self.calls.count("probe") <= self.away:
            raise UnavailableError("The storage does not answer")

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        self.calls.append("access")
        if self.calls.count("access") <= self.away:
            raise UnavailableError("Nobody gives credentials")
        return JobAccess({"NUMBER": str(len(self.calls))})

    def environment(self) -> JobAccess:
        self.calls.append("environment")
        return JobAccess()

    def plan(self) -> dict[str, Any]:
        return {"storage": lambda: self, "environment": self.environment}


def test_a_storage_is_opened_and_asked_once_for_each_submission(task: Task, head: FakeRayDashboard) -> None:
    counted = Counted()

    assert isinstance(task.run(**counted.plan()).begin(), Wait)

    assert counted.calls == ["open", "probe", "access", "environment"]


def test_a_storage_that_is_away_for_a_moment_is_asked_again(task: Task, head: FakeRayDashboard) -> None:
    counted = Counted(away=2)

    assert isinstance(task.run(**counted.plan()).begin(), Wait)

    assert counted.calls == ["open", *["probe"] * 3, *["access"] * 3, "environment"]


def test_a_storage_that_is_away_still_is_left_to_the_next_try(task: Task, head: FakeRayDashboard) -> None:
    with pytest.raises(UnavailableError, match="The storage does not answer"):
        task.run(**Counted(away=10_000).plan()).begin()

    assert not head.jobs


def test_credentials_that_have_aged_while_something_was_waited_for_are_fetched_anew(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "FRESH_SECONDS", -1.0)
    counted = Counted()

    task.run(**counted.plan()).begin()

    assert counted.calls == ["open", "probe", "access", "environment", "access", "environment"]
    (job,) = head.jobs.values()
    assert (job.runtime_env or {})["env_vars"]["NUMBER"] == "5"


def test_people_are_told_while_a_submission_is_tried_again(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.0)
    monkeypatch.setattr(sending, "SUBMIT_SECONDS", 20.0)
    head.plan("POST", "^/api/jobs/$", drop=True, times=None)

    with pytest.raises(ClusterUnreachableError):
        task.run().begin()

    assert len([line for line in task.log.lines if line.startswith("Submitting ")]) > 2


@pytest.mark.parametrize("has_result", [True, False])
def test_whose_files_will_be_in_the_storage_is_written_down_before_the_job_is_sent(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_result: bool
) -> None:
    monkeypatch.setattr(jobs_api, "SUBMIT_SECONDS", 0.0)
    monkeypatch.setattr(sending, "SUBMIT_SECONDS", 0.0)
    head.plan("POST", "^/api/jobs/$", drop=True, times=None)
    run = task.run(storage=lambda: SharedFolder(str(tmp_path)), job={"expects_result": has_result, "payload": {}})

    with pytest.raises(UnavailableError):
        run.begin()

    storage = Folder(tmp_path)
    marks = storage.list("air-marks")
    assert [key_at(storage, mark.path) for mark in marks] == ([KEY] if has_result else [])
    assert [thing_of(mark.path) for mark in marks] == ([task.attempts[-1].submission_id] if has_result else [])


def test_code_in_the_storage_is_marked_before_it_is_there(
    task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "MAX_PACKAGE_BYTES", 1000)
    code, root = tmp_path / "code", tmp_path / "runs"
    code.mkdir()
    root.mkdir()
    (code / "large.bin").write_bytes(random.Random(1).randbytes(4000))
    seen: list[list[str]] = []
    real = Mark.write

    def write(mark: Mark, storage: Storage) -> None:
        seen.append([file.path for file in storage.list("code")])
        real(mark, storage)

    monkeypatch.setattr(Mark, "write", write)
    run = task.run(storage=lambda: SharedFolder(str(root)), job={"working_dir": str(code)})

    assert isinstance(run.begin(), Wait)

    (package,) = Folder(root).list("code")
    (mark,) = Folder(root).list("air-marks")
    assert package.path == f"code/{thing_of(mark.path)}"
    assert key_at(Folder(root), mark.path) == KEY
    assert seen == [[]]
