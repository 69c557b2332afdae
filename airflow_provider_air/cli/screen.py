"""
What ``airflow air jobs watch`` shows of a task's view: a picture, drawn anew, or lines where there is no terminal.

Each text of a job takes one way to the terminal, :func:`_line`: on one line, without what a terminal would obey.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from airflow_provider_air.cli.sparkline import BLOCKS, SIGNS, sparkline
from airflow_provider_air.cli.targets import moment
from airflow_provider_air.pages.lenient import items, mapping, number, objects, text
from airflow_provider_air.pages.tables import name_of

MOST_METRICS, MOST_FUNCTIONS = 12, 8
LINE_METRICS = 6
SPARKLINE_COLUMNS, BAR_COLUMNS = 40, 40
# Lines that only tell of new numbers come no more often.
NUMBERS_SECONDS = 30.0
STYLES = {"success": "green", "failed": "red", "upstream_failed": "red", "skipped": "magenta", "running": "cyan"}


class Screen(Protocol):
    """Where a watch shows what it sees."""

    def show(self, view: Mapping[str, Any]) -> None:
        """Show the newest view."""

    def tell(self, notice: str) -> None:
        """Show something about the watch itself; empty: it no longer holds."""

    def close(self) -> None:
        """Give the terminal back; what was shown last stays."""


class Lines:
    """A line for each change, for what is no terminal: a log of CI, a pipe."""

    def __init__(self) -> None:
        self._words = ""
        self._numbers = ""
        self._next = 0.0

    def show(self, view: Mapping[str, Any]) -> None:
        """Print a line where there is news."""
        words, numbers, now = words_of(view), numbers_of(view), number(view.get("now")) or 0.0
        if words == self._words and (numbers == self._numbers or now < self._next):
            return
        self._words, self._numbers, self._next = words, numbers, now + NUMBERS_SECONDS
        _print(sys.stdout, f"{moment(now)} {words}{f' | {numbers}' if numbers else ''}")

    def tell(self, notice: str) -> None:
        """Print it on stderr."""
        if notice:
            _print(sys.stderr, _line(notice))

    def close(self) -> None:
        """Nothing is held."""


class Picture:
    """One picture, drawn over the last one."""

    def __init__(self, console: Console) -> None:
        self._blocks = SIGNS if console.options.ascii_only else BLOCKS
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")
        self._live.start()
        self._view: Mapping[str, Any] = {}
        self._notice = ""

    def show(self, view: Mapping[str, Any]) -> None:
        """Draw it."""
        self._view = view
        self._draw()

    def tell(self, notice: str) -> None:
        """Draw it below what was seen last."""
        self._notice = notice
        self._draw()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._live.stop()

    def _draw(self) -> None:
        notice = [Text(_line(self._notice), style="yellow")] if self._notice else []
        self._live.update(Group(picture(self._view, self._blocks), *notice), refresh=True)


def screen() -> Screen:
    """Give the one that stdout is fit for."""
    console = Console(highlight=False, markup=False, emoji=False)
    # Rich takes a pipe for a terminal where colours are forced.
    is_terminal = sys.stdout.isatty() and console.is_terminal and not console.is_dumb_terminal
    return Picture(console) if is_terminal else Lines()


def words_of(view: Mapping[str, Any]) -> str:
    """Say in one line what a task does or waits for, without its numbers."""
    sections = mapping(view.get("sections"))
    task, state = mapping(sections.get("task")), mapping(sections.get("state"))
    airflows, phase = _line(task.get("state")) or "not scheduled", _line(state.get("phase"))
    told = [airflows if phase in ("", "none", airflows) else f"{airflows}: {phase.replace('_', ' ')}"]
    if waiting_for := _line(state.get("waiting_for")):
        since = number(state.get("waiting_since"))
        told.append(f"waits for {waiting_for}{'' if since is None else f' since {moment(since)}'}")
    told += [_line(state.get(name)) for name in ("message", "error")]
    if (tried := number(task.get("try_number"))) is not None and tried > 1:
        told.append(f"try {tried}")
    return " | ".join(part for part in told if part)


def numbers_of(view: Mapping[str, Any]) -> str:
    """Say in one line how far it is, and the last values of some metrics."""
    sections = mapping(view.get("sections"))
    last = list(last_values(sections).items())
    told = [_progress(mapping(sections.get("state"))), _batch(mapping(sections.get("batch")))]
    told += [f"{name}={value:.6g}" for name, value in last[:LINE_METRICS]]
    told += [f"{len(last) - LINE_METRICS} more"] if len(last) > LINE_METRICS else []
    return ", ".join(part for part in (*told, _trials(mapping(sections.get("trials")))) if part)


def last_values(sections: Mapping[str, Any]) -> dict[str, float]:
    """Give the last value of each metric that has one."""
    last = mapping(mapping(sections.get("metrics")).get("last"))
    known = {_line(name): number(value) for name, value in last.items()}
    return {name: value for name, value in known.items() if value is not None}


def picture(view: Mapping[str, Any], blocks: str = BLOCKS) -> RenderableType:
    """Give all of a view that fits a terminal."""
    sections = mapping(view.get("sections"))
    task, state = mapping(sections.get("task")), mapping(sections.get("state"))
    parts: list[RenderableType] = [
        Text(_line(name_of(view)), style="bold", no_wrap=True, overflow="ellipsis"),
        Text(words_of(view), style=STYLES.get(str(task.get("state")), "")),
    ]
    done, total = number(state.get("done")), number(state.get("total"))
    if done is not None and total:
        bar = ProgressBar(total=total, completed=min(max(done, 0), total), width=BAR_COLUMNS)
        parts.append(_grid([[bar, Text(_progress(state))]]))
    parts += [
        Text(told)
        for told in (_batch(mapping(sections.get("batch"))), _trials(mapping(sections.get("trials"))))
        if told
    ]
    parts += [grid for grid in (_metrics(sections, blocks), _tasks(mapping(sections.get("tasks")))) if grid.rows]
    return Group(*parts)


def _metrics(sections: Mapping[str, Any], blocks: str) -> Table:
    series = {
        _line(name): mapping(points) for name, points in mapping(mapping(sections.get("metrics")).get("series")).items()
    }
    last = last_values(sections)
    shown = [*[name for name in last if name in series], *[name for name in last if name not in series]]
    rows: list[list[RenderableType]] = [
        [Text(name), Text(f"{last[name]:.6g}"), _Curve(items(series.get(name, {}).get("y")), blocks)]
        for name in shown[:MOST_METRICS]
    ]
    more = [[Text(f"and {len(shown) - MOST_METRICS} more", style="dim")]] if len(shown) > MOST_METRICS else []
    return _grid([*rows, *more])


@dataclass(frozen=True)
class _Curve:
    """A curve on as many columns as there are for it."""

    values: Sequence[Any]
    blocks: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(sparkline(self.values, options.max_width, self.blocks), style="cyan")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        columns = min(len(self.values), SPARKLINE_COLUMNS, options.max_width)
        return Measurement(min(1, columns), columns)


def _tasks(section: Mapping[str, Any]) -> Table:
    rows = [
        [Text(_line(name)), Text(", ".join(f"{count} {_line(state)}" for state, count in mapping(states).items()))]
        for name, states in list(section.items())[:MOST_FUNCTIONS]
    ]
    more = [[Text(f"and {len(section) - MOST_FUNCTIONS} more", style="dim")]] if len(section) > MOST_FUNCTIONS else []
    return _grid([*rows, *more])


def _grid(rows: Sequence[Sequence[RenderableType]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for row in rows:
        grid.add_row(*row)
    return grid


def _progress(state: Mapping[str, Any]) -> str:
    done, total = number(state.get("done")), number(state.get("total"))
    if done is None:
        return ""
    return f"{done:.10g} of {total:.10g} ({_percent(done / total)})" if total else f"{done:.10g} done"


def _percent(share: float) -> str:
    # All is said to be done only where it is.
    return f"{share if share >= 1 else min(share, 0.99):.0%}"


def _batch(batch: Mapping[str, Any]) -> str:
    known = {name: number(batch.get(name)) for name in ("rows", "total_rows", "rows_per_second", "seconds_left")}
    if known["rows"] is None:
        return ""
    told = (
        f"{known['rows']:,.0f}" + ("" if known["total_rows"] is None else f" of {known['total_rows']:,.0f}") + " rows"
    )
    told += "" if known["rows_per_second"] is None else f", {_rate(known['rows_per_second'])} rows/s"
    return told + ("" if known["seconds_left"] is None else f", {known['seconds_left']:,.0f} s left")


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if abs(per_second) >= 10 else f"{per_second:.2g}"


def _trials(trials: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {_line(status)}" for status, count in mapping(trials.get("counts")).items())
    if not counts:
        return ""
    metric, best = _line(trials.get("metric")), trials.get("best")
    row = next((row for row in objects(trials.get("rows")) if row.get("trial") == best), {})
    value = number(mapping(row.get("values")).get(str(trials.get("metric"))))
    total = number(trials.get("total"))
    of = "" if total is None else f" of {total:.10g}"
    return f"trials: {counts}{of}" + ("" if value is None else f", best {metric}={value:.6g} of {_line(best)}")


def _line(value: Any) -> str:
    return " ".join((text(value) or "").split())


def _print(stream: Any, line: str) -> None:
    # Whatever the encoding is, a line is better told in escapes than not.
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()
