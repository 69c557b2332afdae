"""A cluster takes so many live jobs; who is admitted and has not submitted yet counts, too."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.jobs_api.backend import JobsApi
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.runs import admission
from airflow_provider_air.runs.admission import Admission, _give
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.names import TASK
from airflow_provider_air.runs.places import HostPlaces
from airflow_provider_air.runs.watch import Watch
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.unit.runs.conftest import Task

SECONDS = 120.0
KEY = TaskKey("here", "flights", "manual__1", "?")


class Room:
    """The room on a cluster that no other test asks for."""

    def __init__(self, task: Task, head: FakeRayDashboard) -> None:
        self.task, self.head = task, head
        self.ref = ClusterRef("existing", f"c-{uuid.uuid4().hex}")
        task.places[self.ref.name] = task.places["ray_default"]

    def watch(self, name: str, limit: int = 2, until: float | None = None) -> Watch:
        key = asdict(replace(KEY, task_id=name))
        attempt = Attempt(1, 1, f"air-{name}", cluster=self.ref.to_json(), limit=limit, key=key)
        return Watch(Wait("room", until, attempt.to_json()), self.task.ports)

    async def wait(self, name: str, limit: int = 2) -> bool:
        event = await self.watch(name, limit).event()
        assert event is not None
        return bool(event["admitted"])

    async def submit(self, name: str, status: str = "RUNNING") -> str:
        return await asyncio.to_thread(self.head.add_job, f"air-{name}", status)


@pytest.fixture
def room(task: Task, head: FakeRayDashboard, monkeypatch: pytest.MonkeyPatch) -> Room:
    """Looks come fast here."""
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.05)
    return Room(task, head)


async def is_waiting(waiting: asyncio.Task[bool]) -> bool:
    await asyncio.sleep(0.3)
    return not waiting.done()


async def test_as_many_as_fit_are_admitted_at_once_and_the_next_when_a_job_has_ended(room: Room) -> None:
    assert await room.wait("a")
    assert await room.wait("b")
    first = await room.submit("a")
    await room.submit("b")
    third = asyncio.create_task(room.wait("c"))
    assert await is_waiting(third)
    await asyncio.to_thread(room.head.set_status, first, "SUCCEEDED")
    assert await asyncio.wait_for(third, SECONDS)


async def test_who_waits_for_room_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_air.runs.notice.FIRST_SECONDS", 0.0)
    await room.submit("a")
    first = asyncio.create_task(room.wait("b", limit=1))
    async with asyncio.timeout(SECONDS):
        await _until(lambda: "progress" in room.task.board.values)
    first.cancel()

    name = room.ref.name
    (line,) = room.task.log.lines
    assert re.fullmatch(
        rf"Waiting for room on {name}, which runs 1 jobs at most \(1 live now\), for \d+ s so far", line
    )
    assert room.task.board.values["progress"]["waiting_for"] == f"room on {name}, which runs 1 jobs at most"


async def test_who_is_admitted_and_has_not_submitted_yet_counts(room: Room) -> None:
    assert await room.wait("a")
    assert await room.wait("b")
    third = asyncio.create_task(room.wait("c"))
    assert await is_waiting(third)
    third.cancel()


async def test_a_job_that_came_and_went_between_two_looks_gives_its_place_back(room: Room) -> None:
    assert await room.wait("a", limit=1)
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    await room.submit("a", "SUCCEEDED")
    assert await asyncio.wait_for(second, SECONDS)


async def test_an_earlier_job_of_the_same_task_does_not_give_the_place_of_the_next_away(room: Room) -> None:
    metadata = {TASK: str(replace(KEY, task_id="a"))}
    await asyncio.to_thread(room.head.add_job, "air-earlier", "FAILED", metadata=metadata)
    assert await room.wait("a", limit=1)
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    second.cancel()


async def test_jobs_of_others_count(room: Room) -> None:
    await asyncio.to_thread(room.head.add_job, "notebook", "RUNNING")
    waiting = asyncio.create_task(room.wait("a", limit=1))
    assert await is_waiting(waiting)
    waiting.cancel()


async def test_a_place_whose_task_never_submits_is_given_on(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PLACE_SECONDS", 0.5)
    assert await room.wait("lost", limit=1)
    assert await asyncio.wait_for(room.wait("next", limit=1), SECONDS)


async def test_a_killed_task_gives_its_place_back(room: Room) -> None:
    assert await room.wait("a", limit=1)
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    await room.watch("a", limit=1).kill()
    assert await asyncio.wait_for(second, SECONDS)


async def test_at_the_deadline_the_task_is_not_admitted(room: Room) -> None:
    await asyncio.to_thread(room.head.add_job, "notebook", "RUNNING")
    event = await room.watch("a", limit=1, until=time.time() + 0.3).event()
    head = {"version": 1, "what": "room", "submission_id": "air-a"}
    assert event == {**head, "admitted": False, "message": ""}


async def test_a_watch_in_place_gives_up_and_another_one_goes_on(room: Room) -> None:
    await asyncio.to_thread(room.head.add_job, "notebook", "RUNNING")
    assert await room.watch("a", limit=1).event(time.time() + 0.3) is None
    await asyncio.to_thread(room.head.set_status, "notebook", "SUCCEEDED")
    assert await room.wait("a", limit=1)


async def test_a_cluster_that_refuses_the_token_is_told_in_the_event(room: Room) -> None:
    room.head.token = "another"
    event = await room.watch("a").event()
    assert event is not None
    assert event["admitted"] is False
    assert "token" in event["message"]


# Who waits costs nothing


async def test_however_many_wait_there_is_one_look_at_a_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    right = JobsApi.jobs_now

    async def jobs_now(jobs: JobsApi) -> Any:
        asked.append(time.monotonic())
        return await right(jobs)

    monkeypatch.setattr(JobsApi, "jobs_now", jobs_now)
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.2)
    await room.submit("other")
    waiting = [asyncio.create_task(room.wait(f"task-{number}", limit=1)) for number in range(200)]
    await asyncio.sleep(1.0)

    # The one that looks, at its pace; not each of them.
    assert 1 <= len(asked) <= 100
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not room.task.admission._queues


async def test_places_are_given_in_the_order_of_arrival(room: Room) -> None:
    admitted: list[str] = []

    async def wait(name: str) -> None:
        assert await room.wait(name, limit=1)
        admitted.append(name)

    await room.submit("other")
    waiting = []
    for name in "abc":
        waiting.append(asyncio.create_task(wait(name)))
        await asyncio.sleep(0)
    for ended, admitted_next in (("other", "a"), ("a", "b"), ("b", "c")):
        if ended in admitted:
            await room.submit(ended, "SUCCEEDED")
        else:
            await asyncio.to_thread(room.head.set_status, f"air-{ended}", "SUCCEEDED")
        await asyncio.wait_for(_until(lambda name=admitted_next: name in admitted), SECONDS)
    assert admitted == ["a", "b", "c"]


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.02)


async def test_another_one_looks_where_the_first_one_leaves(room: Room) -> None:
    await room.submit("other")
    first = asyncio.create_task(room.wait("a", limit=1))
    assert await is_waiting(first)
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    first.cancel()
    await asyncio.to_thread(room.head.set_status, "air-other", "SUCCEEDED")

    assert await asyncio.wait_for(second, SECONDS)


async def test_another_one_looks_where_all_leave_that_were_given_a_place_at_once(room: Room) -> None:
    first = [asyncio.create_task(room.wait(name)) for name in ("a", "b", "c", "d", "e")]
    await asyncio.wait_for(asyncio.gather(*first[:2]), SECONDS)
    for last in ("a", "b", "c"):
        await room.submit(last, "SUCCEEDED")
    await asyncio.wait_for(asyncio.gather(*first), SECONDS)


async def test_who_waits_behind_others_gives_up_at_its_own_deadline(room: Room) -> None:
    await room.submit("other")
    first = asyncio.create_task(room.wait("a", limit=1))
    assert await is_waiting(first)

    event = await asyncio.wait_for(room.watch("b", limit=1, until=time.time() + 0.5).event(), SECONDS)

    assert event is not None
    assert event["admitted"] is False
    first.cancel()


# What is known to all processes of a host


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tempfile.mkdtemp(prefix="air-", dir="/tmp")
    monkeypatch.setenv("AIR_LOCAL_HOME", folder)
    yield Path(folder)
    shutil.rmtree(folder)


async def test_places_are_known_to_other_processes_and_forgotten_with_their_jobs(room: Room, home: Path) -> None:
    room.task.admission = Admission(HostPlaces())
    assert await room.wait("a", limit=1)
    room.task.admission = Admission(HostPlaces())
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    await room.submit("a", "SUCCEEDED")

    assert await asyncio.wait_for(second, SECONDS)
    held = json.loads((home / "places.json").read_text())
    assert [list(places) for places in held.values()] == [["air-b"]]
    room.task.admission.give_back("air-b")
    assert json.loads((home / "places.json").read_text()) == {}


async def test_where_nothing_can_be_kept_one_process_still_counts(room: Room, home: Path) -> None:
    home.chmod(0o777)
    room.task.admission = Admission(HostPlaces())
    assert await room.wait("a", limit=1)
    second = asyncio.create_task(room.wait("b", limit=1))
    assert await is_waiting(second)
    second.cancel()


def test_clusters_without_places_are_forgotten() -> None:
    places: dict[str, Any] = {"gone": {"air-x": {"task": "x", "until": 1.0}}}
    _give(places, cluster="here", wishes=[], jobs=[], now=2.0)
    assert places == {}


# A place that is not used


def admitted(task: Task) -> tuple[Any, Wait]:
    """Give a run whose task is to wait for room, and that step."""
    run = task.run(max_concurrent_jobs=1)
    step = run.begin()
    assert isinstance(step, Wait)
    assert step.what == "room"
    return run, step


def places_of(task: Task) -> list[str]:
    return [name for held in task.places_given.values() for name in held]


def test_a_run_that_gives_up_gives_its_place_back(task: Task, head: FakeRayDashboard) -> None:
    run, step = admitted(task)
    event = run.wait(step)
    assert places_of(task)
    head.plan("POST", "^/api/jobs/$", status=400, body="no", times=None)

    with pytest.raises(ConfigurationError):
        run.resume(event)

    assert not places_of(task)


def test_whose_place_was_given_on_meanwhile_waits_again(task: Task, head: FakeRayDashboard) -> None:
    """It was admitted, and waited too long for a worker."""
    run, step = admitted(task)
    event = run.wait(step)
    assert event is not None
    task.places_given.clear()
    head.add_job("other", "RUNNING")

    again = task.run(max_concurrent_jobs=1).resume({**event, "until": time.time() - 1})

    assert isinstance(again, Wait)
    assert again.what == "room"
    assert list(head.jobs) == ["other"]

    head.set_status("other", "SUCCEEDED")
    late = task.run(max_concurrent_jobs=1).resume({**event, "until": time.time() - 1})
    assert isinstance(late, Wait)
    assert late.what == "end"
