"""A job's records reach its attachments while it runs, and no server holds up the watch."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_air.attachments.registry import to_json
from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.attached import (
    HAND_OVER_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Attached,
    LiveRecords,
    told_in_time,
)
from airflow_provider_air.runs.clock import SPARE_THREADS, RealClock
from airflow_provider_air.runs.ledger import AttachmentEntry, Attempt
from airflow_provider_air.runs.watch import Watch
from tests.fakes.attachment import CALLS, SERVERS, FakeCatalog, FakeTracker, FakeTrackerSpec
from tests.fakes.connections import DictConnections
from tests.unit.runs.conftest import Lines, Task

ATTEMPT = Attempt(1, 1, "air-1", key={"deployment": "here", "dag_id": "d", "run_id": "r", "task_id": "t"})
INFO = ATTEMPT.info
CONNECTIONS = DictConnections({})


class SteppedClock(RealClock):
    """Stands still until a test moves it."""

    at = 1000.0

    def now(self) -> float:
        return self.at


class Taking(FakeTracker):
    """Counts its calls, and may be away."""

    calls = 0
    is_away = False

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        self.calls += 1
        if self.is_away:
            raise UnavailableError("away")
        super().on_records(attempt, state, records)


@pytest.fixture
def tracker() -> Iterator[Taking]:
    made = SERVERS["live"] = Taking()
    yield made
    del SERVERS["live"]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def log() -> Lines:
    return Lines()


def attached(log: Lines, *specs: Any) -> Attached:
    """Give attachments that are prepared for the attempt."""
    prepared = Attached(Attached.entries_of(specs), CONNECTIONS, log)
    _, entries, _ = prepared.before_submit(INFO, JobRequest("true", payload={}), lambda ask: ask())
    return Attached(entries, CONNECTIONS, log)


def live(tracker: Taking, clock: SteppedClock, log: Lines) -> LiveRecords:
    return LiveRecords(attached(log, FakeTrackerSpec("live")), ATTEMPT, clock, log)


def records(*numbers: int) -> list[dict[str, Any]]:
    return [{"kind": "metric", "seq": number, "values": {"loss": 1.0}} for number in numbers]


def taken(tracker: Taking) -> list[int]:
    (run,) = tracker.runs.values()
    return [number for _, number in run.records]


async def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def test_they_arrive_while_the_job_runs(tracker: Taking, clock: SteppedClock, log: Lines) -> None:
    watched = live(tracker, clock, log)
    clock.at += HAND_OVER_SECONDS
    watched.note(records(0, 1))
    await until(lambda: taken(tracker))
    assert taken(tracker) == [0, 1]
    (run,) = tracker.runs.values()
    assert run.status == "RUNNING"


async def test_what_is_not_due_waits_and_goes_together(tracker: Taking, clock: SteppedClock, log: Lines) -> None:
    watched = live(tracker, clock, log)
    for number in range(5):
        watched.note(records(number))
    await watched.finish()
    assert tracker.calls == 0
    clock.at += HAND_OVER_SECONDS
    watched.note([])
    await watched.finish()
    assert (tracker.calls, taken(tracker)) == (1, [0, 1, 2, 3, 4])


async def test_a_server_that_is_away_is_asked_ever_more_seldom(
    tracker: Taking, clock: SteppedClock, log: Lines
) -> None:
    async def pause_before_a_call() -> float:
        """Give how long after a call the next one comes."""
        calls, began = tracker.calls, clock.at
        while tracker.calls == calls:
            clock.at += HAND_OVER_SECONDS / 2
            watched.note(records(int(clock.at)))
            await watched.finish()
        return clock.at - began

    tracker.is_away = True
    watched = live(tracker, clock, log)
    pauses = [await pause_before_a_call() for _ in range(8)]
    wanted = [HAND_OVER_SECONDS * 2**number for number in range(8)]
    assert pauses == [min(pause, LONGEST_PAUSE_SECONDS) for pause in wanted]
    assert any("handed over later" in line for line in log.lines)
    tracker.is_away = False
    await pause_before_a_call()
    assert await pause_before_a_call() == HAND_OVER_SECONDS


async def test_without_attachments_nothing_is_kept(tracker: Taking, clock: SteppedClock, log: Lines) -> None:
    watched = LiveRecords(Attached((), CONNECTIONS, log), ATTEMPT, clock, log)
    clock.at += HAND_OVER_SECONDS
    watched.note(records(0))
    await watched.finish()
    assert tracker.calls == 0


# The end


def test_each_is_told_once_and_one_that_does_not_take_it_is_recorded_as_untold(tracker: Taking, log: Lines) -> None:
    CALLS.clear()
    all_of_them = attached(log, FakeCatalog("away", fails=["on_end"]), FakeTrackerSpec("live"))

    entries = all_of_them.on_end(INFO, Outcome("SUCCEEDED"))

    away, told = entries
    assert (away.told, away.untold) == (None, "The catalog 'away' fails in on_end")
    assert (told.told, told.untold) == ("SUCCEEDED", None)
    assert any("did not take the outcome SUCCEEDED" in line for line in log.lines)
    # Again: only who has not taken it is told.
    (run,) = tracker.runs.values()
    run.status = "changed by a person"
    Attached(entries, CONNECTIONS, log).on_end(INFO, Outcome("SUCCEEDED"))
    assert [call for call, _ in CALLS["away"]].count("on_end") == 2
    assert run.status == "changed by a person"


def test_an_outcome_that_changed_is_told_anew(tracker: Taking, log: Lines) -> None:
    entries = attached(log, FakeTrackerSpec("live")).on_end(INFO, Outcome("STOPPED"))

    (entry,) = Attached(entries, CONNECTIONS, log).on_end(INFO, Outcome("SUCCEEDED"))

    (run,) = tracker.runs.values()
    assert (entry.told, run.status) == ("SUCCEEDED", "SUCCEEDED")


def test_one_that_was_never_prepared_is_told_nothing(tracker: Taking, log: Lines) -> None:
    entry = AttachmentEntry(to_json(FakeTrackerSpec("live")))

    assert Attached([entry], CONNECTIONS, log).on_end(INFO, Outcome("STOPPED")) == (entry,)
    assert Attached([entry], CONNECTIONS, log).is_empty
    assert tracker.runs == {}


def test_all_records_are_handed_over_at_the_end(tracker: Taking, log: Lines) -> None:
    attached(log, FakeTrackerSpec("live")).on_end(INFO, Outcome("SUCCEEDED"), records(0, 1, 2))

    assert taken(tracker) == [0, 1, 2]


# A server that hangs


class Hanging(FakeTracker):
    """Answers nobody until it is let; counts whom it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()
        self.kept: set[threading.Thread] = set()

    def hang(self) -> None:
        self.kept.add(threading.current_thread())
        self.let.wait(30)

    def on_records(self, attempt: AttemptInfo, state: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        self.hang()

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        self.hang()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    made = SERVERS["hanging"] = Hanging()
    yield made
    made.let.set()
    del SERVERS["hanging"]


async def test_many_jobs_with_a_hanging_tracker_take_a_few_threads_and_none_that_others_need(
    hanging: Hanging, clock: SteppedClock, log: Lines
) -> None:
    watched = [LiveRecords(attached(log, FakeTrackerSpec("hanging")), ATTEMPT, clock, log) for _ in range(50)]
    clock.at += HAND_OVER_SECONDS
    for one in watched:
        one.note(records(0))
    await until(lambda: len(hanging.kept) >= SPARE_THREADS)

    # An XCom, a look, a stop.
    needed = asyncio.ensure_future(clock.in_thread(int))
    await asyncio.wait([needed], timeout=25)
    assert needed.done(), "no thread is left for what a task depends on"
    assert len(hanging.kept) == SPARE_THREADS


async def test_a_kill_does_not_wait_for_a_hanging_tracker(
    hanging: Hanging, task: Task, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_air.runs.stopping.TELLING_SECONDS", 0.05)
    _, entries, _ = attached(log, FakeTrackerSpec("hanging")).before_submit(
        INFO, JobRequest("true", payload={}), lambda ask: ask()
    )
    ref = {"backend": "existing", "name": "ray_default"}
    attempt = replace(ATTEMPT, cluster=ref, attachments=entries)

    kill = asyncio.ensure_future(Watch(attempt.wait("cluster", None), task.ports).kill())
    await asyncio.wait([kill], timeout=25)

    assert kill.done(), "the kill waits for the tracker"
    assert not hanging.let.is_set()
    assert any("not told in time" in line for line in task.log.lines)
    hanging.let.set()


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_an_end_does_not_wait_for_a_hanging_tracker_and_the_others_are_told(
    hanging: Hanging, tracker: Taking, task: Task, log: Lines, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    for name in ("TELLING_SECONDS", "UPLOADING_SECONDS"):
        monkeypatch.setattr(f"airflow_provider_air.runs.attached.{name}", 2.0)
    _, entries, _ = attached(log, FakeTrackerSpec("hanging"), FakeTrackerSpec("live")).before_submit(
        INFO, JobRequest("true", payload={}), lambda ask: ask()
    )
    started = time.monotonic()

    told = asyncio.run(told_in_time(replace(ATTEMPT, attachments=entries), Outcome(status), records(0), task.ports))

    assert time.monotonic() - started < 25
    assert [(entry.told, entry.untold) for entry in told] == [
        (None, "It did not answer within 2 s"),
        (status, None),
    ]
    assert taken(tracker) == [0]
    assert any(f"has not taken the outcome {status}" in line for line in task.log.lines)


def test_what_takes_records_is_opened_once_and_anew_after_it_refused(
    tracker: Taking, clock: SteppedClock, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = FakeTrackerSpec.open

    def open_and_count(self: FakeTrackerSpec, connections: Any) -> Any:
        opened.append(1)
        return real(self, connections)

    handing = attached(log, FakeTrackerSpec("live"))
    monkeypatch.setattr(FakeTrackerSpec, "open", open_and_count)
    for number in range(3):
        handing.on_records(INFO, records(number))
    assert len(opened) == 1

    tracker.is_away = True
    with pytest.raises(UnavailableError):
        handing.on_records(INFO, records(3))
    tracker.is_away = False
    handing.on_records(INFO, records(3))
    assert len(opened) == 2
    assert taken(tracker) == [0, 1, 2, 3]


class Registering(FakeTracker):
    """Says what has come of a run, in some form."""

    gives: Any = None

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> Any:
        super().on_end(attempt, state, outcome)
        return self.gives


@pytest.mark.parametrize(
    ("gives", "joins"), [({"model": {"version": 3}}, {"model": {"version": 3}}), (None, {}), (7, None)]
)
def test_what_has_come_of_a_run_joins_what_is_kept_of_its_tracker(log: Lines, gives: Any, joins: Any) -> None:
    made = SERVERS["live"] = Registering()
    made.gives = gives
    (entry,) = attached(log, FakeTrackerSpec("live")).on_end(INFO, Outcome("SUCCEEDED"))
    del SERVERS["live"]

    assert entry.state == {"run_id": INFO.run_name, **(joins or {})}
    assert (entry.told, bool(entry.untold)) == (("SUCCEEDED", False) if joins is not None else (None, True))
