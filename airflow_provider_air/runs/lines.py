"""
A job's records as lines of the task's log: all of them where a person could read them, else the last now and then.

Trackers and the history get every record; what is thinned out here is only what is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_air.drivers.wire.records import line_of
from airflow_provider_air.drivers.wire.texts import spelled

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Clock, Log

SPAN_SECONDS = 10.0
LINES_IN_A_SPAN = 20
SHOWN = ("progress", "metric", "checkpoint")
# The record's number, what is shown, and whether it is a warning.
Line = tuple[int, str, bool]


@dataclass
class _Kind:
    """
    What was shown of one kind of records.

    :param until: when the span ends, in epoch seconds
    :param room: how many lines may be shown in it yet
    :param held: the last record that was not shown
    :param passed_over: how many before it were not
    """

    until: float = 0.0
    room: int = 0
    held: Mapping[str, Any] | None = None
    passed_over: int = 0


# Of one moment, above which they are logged together.
FLOOD_LINES = 100


def log_entries(lines: list[str]) -> list[str]:
    """
    Give what is logged at once: a line, or a block of lines where there are more than anybody reads.

    An entry costs Airflow 3.3 about 100 µs and 300 bytes, however short it is; and where it merges the logs of
    worker and triggerer for the UI, it keeps their order only within some 2,500 entries.
    """
    step = 1 if len(lines) <= FLOOD_LINES else FLOOD_LINES
    return ["\n".join(lines[start : start + step]) for start in range(0, len(lines), step)]


class RecordLines:
    """Shows one job's records. For one thread or event loop."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._kinds = {kind: _Kind() for kind in SHOWN}

    def show(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Take in new records, in order; called at each look, also where there are none, for what was held back."""
        now = self._clock.now()
        lines: list[Line] = []
        for name, kind in self._kinds.items():
            if now >= kind.until:
                kind.until, kind.room = now + SPAN_SECONDS, LINES_IN_A_SPAN
            lines += self._due(kind, [record for record in records if record["kind"] == name])
        self._write(lines)

    def finish(self) -> None:
        """Show what was held back."""
        self._write([line for kind in self._kinds.values() for line in self._last(kind)])

    def _due(self, kind: _Kind, new: list[Mapping[str, Any]]) -> list[Line]:
        if kind.held is None and len(new) <= kind.room:
            kind.room -= len(new)
            return [_line(record) for record in new]
        if new:
            kind.passed_over += len(new) - (kind.held is None)
            kind.held = new[-1]
        if not kind.room:
            return []
        kind.room = 0
        return self._last(kind)

    def _last(self, kind: _Kind) -> list[Line]:
        if kind.held is None:
            return []
        number, line, is_warning = _line(kind.held)
        if kind.passed_over:
            line += f" ({kind.passed_over:,} before it are not shown)"
        kind.held, kind.passed_over = None, 0
        return [(number, line, is_warning)]

    def _write(self, lines: list[Line]) -> None:
        for _, line, is_warning in sorted(lines):
            log = self._log.warning if is_warning else self._log.info
            log("%s", line)


def _line(record: Mapping[str, Any]) -> Line:
    line = spelled(f"[{record['kind']}] {line_of(dict(record)) or ''}")
    return int(record["seq"]), line, record.get("warning") is True
