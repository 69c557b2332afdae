"""What runs leave in a storage goes when its DAG runs are over and it is old, by the storage's own clock."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.contracts.names import TaskKey, digest
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.cleaning import Cleaning, Report, RunState
from airflow_provider_air.runs.left_files import LeftFiles
from airflow_provider_air.runs.marks import Kind, Mark, key_at
from tests.fakes.storage import Memory, MemoryServer

OVER = TaskKey("here", "flights", "manual__1", "train")
LIVE = replace(OVER, run_id="manual__2")
THERE = replace(LIVE, deployment="there")
DAY = 86400.0
KEEP: dict[Kind, float] = {"code": 7 * DAY, "rows": 7 * DAY, "result": 30 * DAY}


class Ahead(Memory):
    """Its clock is not the worker's."""

    ahead_seconds = 0.0

    def put(self, path: str, data: bytes) -> None:
        self._call(lambda files: files.__setitem__(self._file(path), (data, time.time() + self.ahead_seconds)), path)


class Shelf:
    """A storage, and an Airflow in which the first run is over and the second is not."""

    def __init__(self) -> None:
        self.server = MemoryServer({"memory://shelf"})
        self.storage = Ahead("memory://shelf", self.server)
        self.log: list[str] = []

    def put(self, path: str, data: bytes = b"x" * 10) -> None:
        self.storage.put(path, data)

    def mark(self, kind: Kind, name: str, key: TaskKey) -> None:
        Mark(kind, name, key).write(self.storage)

    def age(self, seconds: float) -> None:
        """Let time pass for all that is there."""
        self.server.files = {name: (data, at - seconds) for name, (data, at) in self.server.files.items()}

    def info(self, message: str, /, *values: Any) -> None:
        self.log.append(message % values)

    warning = info

    def clean(self, deployment: str = "here", *, only_tell: bool = False) -> Report:
        def state(key: TaskKey) -> RunState:
            return "live" if key.run_id == LIVE.run_id else "over"

        files = LeftFiles(self.storage, deployment, KEEP)
        return Cleaning(deployment, state, self, only_tell=only_tell).clean([files])

    @property
    def names(self) -> set[str]:
        """All but the marks."""
        return {file.path for file in self.storage.list() if not file.path.startswith("air-marks/")}

    @property
    def marks(self) -> list[str]:
        return [file.path for file in self.storage.list("air-marks")]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def rows(shelf: Shelf, key: TaskKey, name: str = "train-1-g1") -> None:
    shelf.mark("rows", name, key)
    shelf.put(f"{name}-features/train/part-0.parquet")
    shelf.put(f"{name}-features/valid/part-0.parquet")


def test_a_mark_tells_whose_a_thing_is(shelf: Shelf) -> None:
    odd = TaskKey("здесь", "полёты", "scheduled__2026-01-01T00:00:00+00:00", "a/b", 3)
    shelf.mark("rows", "train-1-g1", odd)
    shelf.mark("rows", "train-1-g1", odd)
    (path,) = shelf.marks
    assert key_at(shelf.storage, path) == odd
    assert digest("здесь", length=16) in path


def test_joined_rows_go_with_their_run_once_they_are_old_and_checkpoints_stay(shelf: Shelf) -> None:
    rows(shelf, OVER)
    shelf.put("train-1-g1/checkpoint_1/model.txt")
    assert shelf.clean().count("taken") == 0
    shelf.age(8 * DAY)
    assert shelf.clean(only_tell=True).count("would be taken") == 1
    assert len(shelf.names) == 3
    report = shelf.clean()
    assert report.count("taken") == 1
    assert "2 files of 20 bytes were removed" in report.lines[0].reason
    assert shelf.names == {"train-1-g1/checkpoint_1/model.txt"}
    assert shelf.marks == []
    assert shelf.clean().lines == []


def test_what_is_young_is_said_to_be_in_one_line(shelf: Shelf) -> None:
    rows(shelf, OVER)
    shelf.mark("result", "air-1", OVER)
    shelf.clean()
    (line,) = shelf.log
    assert "of 2 tasks" in line
    assert "younger" in line


def test_rows_of_a_run_that_is_not_over_stay_and_so_do_those_that_were_written_again(shelf: Shelf) -> None:
    rows(shelf, LIVE)
    rows(shelf, OVER, "again-g1")
    shelf.age(8 * DAY)
    shelf.put("again-g1-features/train/part-1.parquet")
    shelf.clean()
    assert len(shelf.names) == 5
    assert any("is not over" in line for line in shelf.log)
    assert any("it is kept until it is 7 days" in line for line in shelf.log)


def test_results_go_by_their_age_and_no_others_of_a_name_that_begins_alike(shelf: Shelf) -> None:
    shelf.mark("result", "air-job-1", OVER)
    kept = {"results/air-job-10.json", "results/air-job-1-more.json", "results/strange.json", "results/air-job-1.txt"}
    for name in ("results/air-job-1.json", "results/air-job-1-1.parquet", "results/air-job-1-12.json", *kept):
        shelf.put(name)
    shelf.age(29 * DAY)
    shelf.clean()
    assert len(shelf.names) == 7
    shelf.age(2 * DAY)
    shelf.clean()
    assert shelf.names == kept


def test_a_result_that_was_never_written_leaves_no_mark(shelf: Shelf) -> None:
    shelf.mark("result", "air-job-1", OVER)
    shelf.age(31 * DAY)
    shelf.clean()
    assert shelf.marks == []


def test_code_goes_when_all_that_shipped_it_are_over(shelf: Shelf) -> None:
    shelf.mark("code", "pack-1.zip", OVER)
    shelf.mark("code", "pack-1.zip", LIVE)
    shelf.put("code/pack-1.zip")
    shelf.age(8 * DAY)
    shelf.clean()
    assert shelf.names == {"code/pack-1.zip"}
    shelf.storage.delete(Mark("code", "pack-1.zip", LIVE).path)
    shelf.clean()
    assert shelf.names == set()


def test_code_that_another_deployment_ships_too_is_not_ours_to_remove(shelf: Shelf) -> None:
    shelf.mark("code", "pack-1.zip", OVER)
    shelf.mark("code", "pack-1.zip", THERE)
    shelf.mark("code", "pack-2.zip", THERE)
    shelf.put("code/pack-1.zip")
    shelf.age(8 * DAY)
    shelf.clean()
    assert shelf.names == {"code/pack-1.zip"}
    assert "other deployments have marked it" in shelf.log[0]
    assert len(shelf.log) == 1


def test_what_a_task_ships_between_the_look_and_the_taking_stays(shelf: Shelf) -> None:
    shelf.mark("code", "pack-1.zip", OVER)
    shelf.put("code/pack-1.zip")
    shelf.age(8 * DAY)
    files = LeftFiles(shelf.storage, "here", KEEP)
    (item,) = files.left()
    assert files.use_of(item) == ""
    shelf.mark("code", "pack-1.zip", LIVE)
    assert "just now" in files.use_of(item)


@pytest.mark.parametrize("days", [-400, 400])
def test_ages_are_by_the_storages_clock(shelf: Shelf, days: int) -> None:
    shelf.storage.ahead_seconds = days * DAY
    rows(shelf, OVER)
    shelf.age(8 * DAY)
    rows(shelf, replace(OVER, task_id="tune"), "tune-1-g1")
    shelf.clean()
    assert shelf.names == {"tune-1-g1-features/train/part-0.parquet", "tune-1-g1-features/valid/part-0.parquet"}


def test_a_storage_that_is_away_is_an_outage(shelf: Shelf) -> None:
    shelf.server.failures.append(UnavailableError("The memory does not answer"))
    assert shelf.clean().outages == {"memory://shelf": "The memory does not answer"}


def test_a_thing_whose_mark_cannot_be_read_stays_and_keeps_no_other_from_going(shelf: Shelf) -> None:
    rows(shelf, OVER)
    path = Mark("rows", "odd-g1", OVER).path
    shelf.put(path, b"no JSON")
    shelf.age(8 * DAY)
    report = shelf.clean()
    assert shelf.names == set()
    assert shelf.marks == [path]
    assert (report.count("taken"), report.count("spared")) == (1, 1)
