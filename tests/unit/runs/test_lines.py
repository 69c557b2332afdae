"""What people see of a job's records: all that they can read, and of a flood how many they do not."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.lines import LINES_IN_A_SPAN, SPAN_SECONDS, RecordLines


class SteppedClock(RealClock):
    """Stands still until a test moves it."""

    at = 1000.0

    def now(self) -> float:
        return self.at


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, *values: object) -> None:
        self.lines.append(message % values if values else message)

    warning = info


def metrics(*numbers: int) -> list[dict[str, Any]]:
    return [{"seq": number, "kind": "metric", "values": {"loss": 0.5}, "step": number} for number in numbers]


def test_thirty_thousand_records_in_ten_seconds_are_a_handful_of_lines() -> None:
    log, clock = Lines(), SteppedClock()
    lines = RecordLines(log, clock)
    for second in range(10):
        lines.show(metrics(*range(second * 3000, (second + 1) * 3000)))
        clock.at += 1.0
    lines.finish()

    assert log.lines == [
        "[metric] step 2999: loss=0.5 (2,999 before it are not shown)",
        "[metric] step 29999: loss=0.5 (26,999 before it are not shown)",
    ]


def test_two_records_a_second_are_all_shown_for_ever() -> None:
    log, clock = Lines(), SteppedClock()
    lines = RecordLines(log, clock)
    for second in range(300):
        lines.show(metrics(2 * second, 2 * second + 1))
        clock.at += 1.0

    assert log.lines == [f"[metric] step {number}: loss=0.5" for number in range(600)]


def test_what_was_held_back_is_shown_when_its_time_has_come() -> None:
    log, clock = Lines(), SteppedClock()
    lines = RecordLines(log, clock)
    lines.show(metrics(*range(LINES_IN_A_SPAN)))
    lines.show(metrics(100))
    lines.show(metrics(101, 102))
    assert len(log.lines) == LINES_IN_A_SPAN

    clock.at += SPAN_SECONDS
    lines.show([])
    lines.show([])
    assert log.lines[LINES_IN_A_SPAN:] == ["[metric] step 102: loss=0.5 (2 before it are not shown)"]
    lines.finish()
    assert len(log.lines) == LINES_IN_A_SPAN + 1


def test_every_record_is_shown_or_counted_whatever_their_pace() -> None:
    for pace in (1, 3, 19, 20, 21, 500):
        log, clock = Lines(), SteppedClock()
        lines = RecordLines(log, clock)
        for look in range(100):
            lines.show(metrics(*range(look * pace, (look + 1) * pace)))
            clock.at += 0.7
        lines.finish()
        counted = [int(line.partition(" (")[2].split(" ")[0].replace(",", "")) for line in log.lines if " (" in line]

        assert len(log.lines) + sum(counted) == 100 * pace
        assert len(log.lines) <= 9 * LINES_IN_A_SPAN
        assert log.lines[-1].startswith(f"[metric] step {100 * pace - 1}:")


def test_a_flood_of_one_kind_hides_no_other() -> None:
    log = Lines()
    lines = RecordLines(log, SteppedClock())
    checkpoint = {"seq": 50, "kind": "checkpoint", "uri": "s3://b/c"}
    lines.show([*metrics(*range(50)), checkpoint, {"seq": 51, "kind": "progress", "message": "half"}, *metrics(52)])

    assert log.lines == [
        "[checkpoint] checkpoint s3://b/c",
        "[progress] half",
        "[metric] step 52: loss=0.5 (50 before it are not shown)",
    ]


def test_results_and_ends_are_no_lines() -> None:
    log = Lines()
    RecordLines(log, SteppedClock()).show([{"seq": 0, "kind": "result"}, {"seq": 1, "kind": "end"}])

    assert log.lines == []
