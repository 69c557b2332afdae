"""A log's lines are what a terminal would leave, in reads of any size, also for who takes over in the middle."""

from __future__ import annotations

import random

import pytest

from airflow_provider_air.ray_api import lines
from airflow_provider_air.ray_api.lines import BAR_SECONDS, LogLines, lines_of
from tests.kinds.logs import STATES, Written, named, nested_bars, rich_bars, tqdm_bar

LOGS = named(Written)
ONE_BELOW_THE_OTHER = ("a bar in a bar", "two bars of rich")
SHORT = [(name, written) for name, written in LOGS if len(written.log) < 8000]
BLOCKS = [(name, written) for name, written in SHORT if name in ONE_BELOW_THE_OTHER]
OTHERS = [(name, written) for name, written in SHORT if name not in ONE_BELOW_THE_OTHER]


def read(log: LogLines, data: bytes, size: int) -> list[str]:
    start = log.read_to
    return [line for at in range(start, len(data), size) for line in log.feed(data[at : at + size])]


@pytest.mark.parametrize("written", [value for _, value in LOGS], ids=[name for name, _ in LOGS])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
def test_reads_of_any_size_give_the_same_lines(written: Written, size: int) -> None:
    log = LogLines()

    assert read(log, written.log, size) + log.rest() == written.lines
    assert log.offset == log.read_to == len(written.log)


def taken_over(data: bytes, cut: int) -> list[str]:
    """Give what two that follow each other show, but for empty lines."""
    first = LogLines()
    shown = first.feed(data[:cut])
    second = LogLines(first.offset)
    shown += read(second, data, 1 << 20) + second.rest()
    return [line for line in shown if line.strip()]


@pytest.mark.parametrize("written", [value for _, value in OTHERS], ids=[name for name, _ in OTHERS])
def test_who_takes_over_at_any_byte_leaves_no_gap_and_repeats_nothing(written: Written) -> None:
    for cut in range(0, len(written.log), 1 if len(written.log) < 1000 else 7):
        assert taken_over(written.log, cut) == [line for line in written.lines if line.strip()], cut


@pytest.mark.parametrize("written", [value for _, value in BLOCKS], ids=[name for name, _ in BLOCKS])
def test_who_takes_over_among_bars_that_are_drawn_anew_takes_the_first_for_a_line_at_most(written: Written) -> None:
    for cut in range(0, len(written.log), 5):
        shown = iter(found := taken_over(written.log, cut))

        assert all(line in shown for line in written.lines), cut
        assert len(found) <= len(written.lines) + 1, cut


@pytest.mark.parametrize(
    "bar", [STATES, tqdm_bar(100), nested_bars(), rich_bars()], ids=["states", "tqdm", *ONE_BELOW_THE_OTHER]
)
@pytest.mark.parametrize("size", [3, 64, 500])
def test_who_takes_over_from_a_bar_that_was_shown_goes_on_behind_what_was_shown(bar: bytes, size: int) -> None:
    """Each state is shown at most once, by either, and the end by the second."""
    data = b"before\n" + bar + b"\nafter\n"
    source = random.Random(size)
    for _ in range(30):
        cut, log, now, shown = source.randrange(len(data)), LogLines(), 0.0, []
        offsets = [0]
        for at in range(0, cut, size):
            shown += log.feed(data[at : min(at + size, cut)])
            now += BAR_SECONDS
            shown += log.state(now, is_still=False)
            offsets.append(log.offset)
        second = LogLines(log.offset)
        later = read(second, data, size) + second.rest()

        assert offsets == sorted(offsets)
        assert later[-1] == "after"
        assert (shown + later)[0] == "before"
        if b"\x1b" not in bar:
            assert not {line for line in shown if line.strip()} & {line for line in later if line.strip()}


def test_a_bar_is_shown_now_and_then_and_once_at_its_end() -> None:
    log, shown = LogLines(), []
    for second in range(100):
        shown += log.feed(b"\rstep %d" % second)
        shown += log.state(float(second), is_still=False)
    shown += log.feed(b"\n") + log.rest()

    assert shown == [f"step {second}" for second in (14, 29, 44, 59, 74, 89, 99)]


def test_a_bar_that_has_come_to_a_halt_is_shown_as_it_stands_and_once() -> None:
    log = LogLines()
    shown = log.feed(b"\rstep 1\rstep 2") + log.state(0.0, is_still=False)
    shown += [line for second in range(1, 100) for line in log.state(float(second), is_still=True)]
    offset = log.offset
    shown += log.feed(b"\n") + log.rest()

    assert shown == ["step 2"]
    assert offset == len(b"\rstep 1\rstep 2")


def test_what_is_added_to_a_bar_that_was_shown_is_shown_with_it_and_alone_by_another() -> None:
    shown, rest = b"\rstep 1\rstep 2", b", done\r\n"
    log = LogLines()
    log.feed(shown)
    log.state(0.0, is_still=True)
    assert log.state(BAR_SECONDS, is_still=True) == ["step 2"]
    early = log.offset
    log.feed(rest[:-1])
    late = log.offset

    assert log.feed(rest[-1:]) == ["step 2, done"]
    assert [LogLines(at).feed((shown + rest)[at:]) for at in (early, late)] == [[", done"], [", done"]]


def test_a_short_wait_between_return_and_line_end_shows_nothing_twice() -> None:
    log = LogLines()
    shown = log.feed(b"one\r") + log.state(0.0, is_still=False) + log.state(BAR_SECONDS, is_still=True)

    assert shown + log.feed(b"\ntwo\n") == ["one", "two"]


def test_a_prompt_without_an_end_is_no_bar() -> None:
    log = LogLines()
    log.feed(b"loading ...")

    assert log.state(0.0, is_still=True) + log.state(1000.0, is_still=True) == []
    assert log.offset == 0


def test_a_bar_of_hours_takes_no_memory_and_few_lines() -> None:
    log, shown, state = LogLines(), [], b"\r%d it [\x1b[32m" + b"#" * 80 + b"\x1b[0m]"
    for hour in range(5000):
        shown += log.feed(b"".join(state % number for number in range(hour, hour + 10)))
        shown += log.state(float(hour), is_still=False)

        assert len(log._raw) < 200
        assert log.read_to - log.offset < 200
    assert len(shown) == 5000 // BAR_SECONDS


def test_what_never_ends_takes_no_memory() -> None:
    log = LogLines()
    for _ in range(1000):
        log.feed(b"x" * 10_000)

        assert len(log._raw) + len(log._rows[0].text) <= lines.LINE_LIMIT_BYTES + 10_000
    assert log.offset == log.read_to
    assert log.rest() == [f"[{10_000_000 - lines.LINE_LIMIT_BYTES} more bytes of that line are left out]"]


def test_no_cursor_goes_up_without_an_end() -> None:
    log = LogLines()
    log.feed(b"\x1b[9999A\rtop" * 1000)

    assert len(log._rows) <= lines.MOST_ROWS


@pytest.mark.parametrize("size", [1, 50, 1000, 100_000])
def test_plain_lines_and_drawn_ones_are_told_apart_wherever_a_read_ends(size: int) -> None:
    line, bar = b"one of many \x1b[31mlines\x1b[0m\n", b"\r10%\r20%\r30%\n"
    long = b"x" * (lines.LINE_LIMIT_BYTES + 1) + b"\n" if size > 1 else b""
    data = line * 20 + bar + line * 3 + long + line + b"\n" + bar * 2 + line * 2
    log = LogLines()
    shown = read(log, data, size) + log.rest()

    plain, cut = "one of many \x1b[31mlines\x1b[0m", []
    if long:
        cut = [f"{'x' * lines.LINE_LIMIT_BYTES} […]", "[1 more bytes of that line are left out]"]
    assert shown == [plain] * 20 + ["30%"] + [plain] * 3 + cut + [plain, "", "30%", "30%", plain, plain]
    assert log.offset == len(data)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_limit_leaves_what_follows_to_be_read_again(limit: int) -> None:
    data = b"one\r\ntwo\n" + b"10%\r20%\r\n" + b"three\nfour\nfi"
    log, shown = LogLines(), []
    while (at := log.read_to) < len(data):
        found = log.feed(data[at:], limit)
        assert len(found) <= limit
        shown += found

    assert shown + log.rest() == ["one", "two", "20%", "three", "four", "fi"]


def test_a_text_that_is_complete_is_read_at_once() -> None:
    assert lines_of("one\r\n10%\r20%\nthree") == ["one", "20%", "three"]
