"""What a watch shows of a view: as lines, and as a picture of a terminal."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from airflow_provider_air.cli.screen import Lines, Picture, numbers_of, picture, screen, words_of
from tests.architecture.source import REPOSITORY

NASTY = "\x1b[31mred\x1b]0;title\x07\rover\b\x9b2J\u202eevil\nnext\x00"


def view(now: float = 1_700_000_000.0, **sections: Any) -> dict[str, Any]:
    task = {"dag_id": "flights", "run_id": "manual__1", "task_id": "train", "map_index": 3, "state": "deferred"}
    return {"now": now, "sections": {"task": {**task, **sections.pop("task", {})}, **sections}}


def drawn(of: dict[str, Any], *, width: int = 100, encoding: str = "utf-8") -> str:
    """Draw a picture as a terminal gets it."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    console.print(picture(of))
    file.seek(0)
    return file.read()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"task": {"state": None}}, "not scheduled"),
        ({"task": {"state": "queued"}, "state": {"phase": "none"}}, "queued"),
        (
            {"state": {"phase": "waiting_cluster", "waiting_for": "an image", "waiting_since": 1_700_000_000}},
            "deferred: waiting cluster | waits for an image since 2023-11-14T22:13:20Z",
        ),
        ({"state": {"waiting_for": "room", "waiting_since": 1e300}}, "deferred | waits for room since 1e+300"),
        ({"state": {"phase": "running", "message": "epoch (3/10)"}}, "deferred: running | epoch (3/10)"),
        (
            {"task": {"state": "failed", "try_number": 2}, "state": {"phase": "failed", "error": "out of memory"}},
            "failed | out of memory | try 2",
        ),
        ({"state": None}, "deferred"),
    ],
)
def test_words_tell_what_it_does_or_waits_for(sections: dict[str, Any], words: str) -> None:
    assert words_of(view(**sections)) == words


@pytest.mark.parametrize(
    ("sections", "numbers"),
    [
        ({}, ""),
        ({"state": {"done": 3, "total": 10}}, "3 of 10 (30%)"),
        ({"state": {"done": 996, "total": 1000}}, "996 of 1000 (99%)"),
        ({"state": {"done": 999_999, "total": 1_000_000}}, "999999 of 1000000 (99%)"),
        ({"state": {"done": 1000, "total": 1000}}, "1000 of 1000 (100%)"),
        ({"state": {"done": 3}}, "3 done"),
        ({"state": {"done": 0, "total": 0}}, "0 done"),
        ({"state": {"done": 10**30, "total": float("inf")}}, "1e+30 done"),
        ({"metrics": {"last": {"rmse": 1.25, "odd": None, "n": 3}}}, "rmse=1.25, n=3"),
        (
            {"metrics": {"last": {f"m{n}": float(n) for n in range(9)}}},
            "m0=0, m1=1, m2=2, m3=3, m4=4, m5=5, 3 more",
        ),
        (
            {"batch": {"rows": 1200, "total_rows": 5000, "rows_per_second": 41.6, "seconds_left": 91}},
            "1,200 of 5,000 rows, 42 rows/s, 91 s left",
        ),
        ({"batch": {"rows": 5, "rows_per_second": 0.2}}, "5 rows, 0.2 rows/s"),
        ({"batch": {"rows": 5, "rows_per_second": 1 / 300}}, "5 rows, 0.0033 rows/s"),
        ({"batch": {"rows": 5, "rows_per_second": 9.96}}, "5 rows, 10 rows/s"),
        ({"batch": {"rows": 5, "rows_per_second": 0.0}}, "5 rows, 0 rows/s"),
        (
            {
                "trials": {
                    "counts": {"RUNNING": 2, "TERMINATED": 1},
                    "total": 20,
                    "metric": "acc",
                    "best": "t1",
                    "rows": [{"trial": "t0"}, {"trial": "t1", "values": {"acc": 0.5}}],
                }
            },
            "trials: 2 RUNNING, 1 TERMINATED of 20, best acc=0.5 of t1",
        ),
    ],
)
def test_numbers_tell_how_far_it_is(sections: dict[str, Any], numbers: str) -> None:
    assert numbers_of(view(**sections)) == numbers


def test_a_picture_has_a_bar_and_a_curve_for_each_metric() -> None:
    series = {"rmse": {"x": list(range(8)), "y": list(range(8))}}
    shown = drawn(
        view(
            state={"phase": "running", "done": 5, "total": 10},
            metrics={"last": {"plain": 2.0, "rmse": 7.0}, "series": series},
            tasks={"train_one": {"RUNNING": 2, "FINISHED": 5}},
        )
    )
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "flights / manual__1 / train[3]"
    assert lines[1] == "deferred: running"
    assert lines[2].endswith("5 of 10 (50%)")
    assert "━" in lines[2]
    assert lines[3].split() == ["rmse", "7", "▁▂▃▄▅▆▇█"]
    assert lines[4].split() == ["plain", "2"]
    assert lines[5].split(maxsplit=1) == ["train_one", "2 RUNNING, 5 FINISHED"]


@pytest.mark.parametrize("width", [100, 60, 40, 30])
def test_a_curve_is_drawn_for_the_width_there_is_up_to_its_newest_value(width: int) -> None:
    values = [*(7919 * number % 101 for number in range(500)), 1000]
    of = view(metrics={"last": {"loss": 1000.0}, "series": {"loss": {"y": values}}})
    [line] = [line.rstrip() for line in drawn(of, width=width).splitlines() if line.startswith("loss")]
    assert line.endswith("█")
    assert line.count("█") == 1
    assert "…" not in line


@pytest.mark.parametrize("file", sorted((REPOSITORY / "ui" / "fixtures").glob("*.json")), ids=lambda file: file.stem)
def test_the_views_that_the_pages_are_tested_with_are_shown(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = json.loads(file.read_text())
    Lines().show(of)
    text = f"{drawn(of)}{capsys.readouterr().out}"
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert "\n\n" not in text


def test_a_terminal_of_ascii_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    shown = Picture(Console(file=file, force_terminal=True, width=100, color_system=None))
    shown.show(view(metrics={"last": {"rmse": 7.0}, "series": {"rmse": {"y": list(range(8))}}}))
    shown.close()
    file.seek(0)
    assert "_.-=+*#@" in file.read()


@pytest.mark.parametrize("width", [20, 100])
def test_nothing_that_a_terminal_obeys_comes_through(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    nasty = view(
        task={"dag_id": NASTY, "run_id": NASTY, "task_id": NASTY, "state": NASTY},
        state={
            "phase": NASTY,
            "waiting_for": NASTY,
            "message": NASTY,
            "error": NASTY + "[bold]",
            "done": 1,
            "total": 2,
        },
        metrics={"last": {NASTY: 1.0}, "series": {NASTY: {"y": [1, 2]}}},
        trials={"counts": {NASTY: 1}, "metric": NASTY, "best": NASTY, "rows": [{"trial": NASTY, "values": {NASTY: 1}}]},
        tasks={NASTY: {NASTY: 1}},
    )
    Lines().show(nasty)
    Lines().tell(NASTY)
    printed = capsys.readouterr()
    assert printed.out.count("\n") == printed.err.count("\n") == 1
    for text in (drawn(nasty, width=width), printed.out, printed.err):
        assert all(sign.isprintable() or sign == "\n" for sign in text)
        assert "\\u202e" in text.replace("\n", "")
    assert "[bold]" in printed.out


def test_odd_views_are_shown_as_far_as_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    for odd in ({}, {"sections": None, "now": "x"}, view(state=3, metrics={"series": 1, "last": [2]}, tasks={"f": 3})):
        Lines().show(odd)
        drawn(odd)
    assert capsys.readouterr().out.count("\n") == 3


def test_lines_come_with_news_and_those_of_numbers_not_too_often(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    for second in range(0, 70, 2):
        message = "late" if second >= 44 else "early"
        lines.show(view(second, state={"message": message}, metrics={"last": {"loss": float(second)}}))
    for second in range(200, 300, 2):
        lines.show(view(second, state={"message": "late"}, metrics={"last": {"loss": 68.0}}))
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "deferred | early | loss=0",
        "deferred | early | loss=30",
        "deferred | late | loss=44",
        "deferred | late | loss=68",
    ]


def test_a_stream_that_cannot_spell_a_text_gets_its_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Lines().show(view(state={"message": "日"}))
    stream.seek(0)
    assert "\\u65e5" in stream.read()


@pytest.mark.parametrize("colours", [{}, {"FORCE_COLOR": "1"}], ids=str)
def test_a_pipe_gets_lines_and_a_terminal_a_picture_that_stays(
    colours: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name, value in colours.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(screen(), Lines)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    shown = screen()
    assert isinstance(shown, Picture)
    shown.show(view(state={"message": "one"}))
    shown.tell("The database is away")
    shown.show(view(state={"message": "two"}))
    shown.close()
    text = terminal.getvalue()
    assert text.index("one") < text.index("The database is away") < text.index("two")
