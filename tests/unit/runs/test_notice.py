"""What a task says of its waiting: where that changes, and else ever more seldom."""

from __future__ import annotations

import itertools

import pytest

from airflow_provider_air.runs import notice
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.notice import WaitNotice
from tests.unit.runs.conftest import Lines


class SteppedClock(RealClock):
    """Stands still until a test moves it."""

    at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def log() -> Lines:
    return Lines()


def test_what_is_soon_over_needs_no_words(log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock)
    for _ in range(10):
        assert not said.note("its turn")
        clock.at += notice.FIRST_SECONDS / 11
    said.over()
    assert log.lines == []


def test_it_says_what_and_how_long_already(log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock, since=clock.at - 250)
    assert said.note("its turn", "3 are before it")
    assert log.lines == ["Waiting for its turn (3 are before it), for 4 min so far"]


def test_while_nothing_changes_it_is_told_ever_more_seldom(log: Lines, clock: SteppedClock) -> None:
    said, told = WaitNotice(log, clock), []
    for second in range(3600):
        if said.note("its turn", f"{second} looks"):
            told.append(second)
        clock.at += 1

    pauses = [after - before for before, after in itertools.pairwise(told)]
    assert told[0] == notice.FIRST_SECONDS
    for pause, wanted in zip(pauses, [30, 60, 120, 240, 480, 600], strict=False):
        assert 0.79 * wanted <= pause <= 1.21 * wanted + 1
    assert len(told) <= 11


def test_another_reason_is_told_soon(log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock, since=clock.at - 60)
    said.note("a node")
    clock.at += notice.CHANGE_SECONDS
    said.note("an image")
    clock.at += 1
    assert not said.note("a node")
    assert log.lines == ["Waiting for a node, for 60 s so far", "Waiting for an image, for 65 s so far"]


def test_a_reason_that_changes_without_end_does_not_fill_the_log(log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock)
    for second in range(24 * 3600):
        said.note(f"pod {second}")
        clock.at += 1
    assert len(log.lines) < notice.MOST_CHANGES + 24 * 3600 / (0.8 * notice.LONGEST_SECONDS) + 10


def test_a_second_wait_begins_anew(log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock, since=clock.at - 600)
    said.note("its turn")
    clock.at += 1000
    said.over()
    assert not said.note("its turn")
    clock.at += notice.FIRST_SECONDS
    said.note("its turn")
    assert log.lines[1:] == ["Waiting for its turn, for 5 s so far"]


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (89, "89 s"), (90, "2 min"), (7300, "2 h 2 min")])
def test_how_long_reads_well(seconds: float, words: str, log: Lines, clock: SteppedClock) -> None:
    said = WaitNotice(log, clock, since=clock.at - seconds)
    said.note("it")
    assert log.lines == [f"Waiting for it, for {words} so far"]
