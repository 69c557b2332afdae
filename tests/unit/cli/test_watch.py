"""``airflow air jobs watch``: until the end, over outages, and what its exit code says."""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from airflow_provider_air.cli import watch
from airflow_provider_air.cli.targets import command
from airflow_provider_air.errors import UnavailableError
from tests.unit.cli.conftest import Cli
from tests.unit.cli.stored_tasks import (
    DAG,
    LEDGER,
    RUN,
    TASK,
    add_run,
    add_task,
    delete_tasks,
    history,
    push,
    set_state,
    store,
)


class Recorder:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def show(self, view: Any) -> None:
        self.seen.append(("view", view["sections"]["task"]["state"]))

    def tell(self, notice: str) -> None:
        self.seen.append(("notice", notice))

    def close(self) -> None:
        self.seen.append(("close", None))


@pytest.fixture
def deferred(cli: Cli) -> Cli:
    """A task that waits for its job."""
    add_run(cli)
    add_task(cli)
    store(cli, "air_ledger", LEDGER)
    push(cli, "air_history", history(rmse=[3.0, 2.0]))
    push(
        cli,
        "progress",
        {"submission_id": "air-1", "status": "RUNNING", "message": "epoch (1/9)", "done": 1, "total": 9},
    )
    return cli


@pytest.fixture
def steps(deferred: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], Any]]]:
    """What happens while the command waits for its next look, one after the other."""
    todo: list[Callable[[], Any]] = []
    monkeypatch.setattr(watch.follow, "__defaults__", (lambda seconds: todo.pop(0)(),))
    yield todo
    assert not todo


def test_it_follows_a_task_over_its_tries_to_its_end(deferred: Cli, steps: list[Callable[[], Any]]) -> None:
    words = {"submission_id": "air-1", "status": "RUNNING"}
    steps += [
        lambda: push(deferred, "progress", {**words, "message": "epoch (2/9)", "done": 2, "total": 9}),
        lambda: set_state(deferred, "up_for_retry"),
        lambda: set_state(deferred, "success"),
    ]
    lines = [line.split(" ", 1)[1] for line in deferred.run("jobs", "watch", DAG, TASK, RUN).splitlines()]
    assert lines[0] == "deferred: running | epoch (1/9) | 1 of 9 (11%), rmse=2"
    assert lines[1].startswith("deferred: running | epoch (2/9) | 2 of 9 (22%)")
    assert [line.split(" |")[0].split(":")[0] for line in lines[2:]] == ["up_for_retry", "success"]


@pytest.mark.parametrize(
    ("state", "code"), [("success", None), ("skipped", 3), ("failed", 1), ("upstream_failed", 1), ("removed", 1)]
)
def test_the_exit_code_tells_the_outcome(
    deferred: Cli, steps: list[Callable[[], Any]], state: str, code: int | None
) -> None:
    set_state(deferred, state)
    if code is None:
        deferred.run("jobs", "watch", DAG, TASK)
        return
    with pytest.raises(SystemExit) as ended:
        deferred.run("jobs", "watch", DAG, TASK)
    assert ended.value.code == code


def test_ctrl_c_changes_nothing_and_says_so(
    deferred: Cli, steps: list[Callable[[], Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    steps.append(lambda: signal.raise_signal(signal.SIGINT))
    before = stored(deferred)
    # What a shell has put in the background ignores it.
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            deferred.run("jobs", "watch", DAG, TASK)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert ended.value.code == 130
    assert f"{DAG}/{RUN}/{TASK} goes on" in capsys.readouterr().err
    assert stored(deferred) == before


@pytest.mark.parametrize("words", [("jobs", "watch", DAG, TASK), ("report", DAG, TASK, "--output", "-")], ids=" ".join)
def test_that_nobody_reads_on_ends_it_without_a_word(
    deferred: Cli, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as ended:
            deferred.run(*words)
    assert ended.value.code == 141


def test_another_pipe_that_breaks_is_no_such_end() -> None:
    @command
    def broken(args: Namespace) -> None:
        raise BrokenPipeError("of a connection")

    with pytest.raises(BrokenPipeError):
        broken(Namespace(verbose=False))


def stored(cli: Cli) -> list[Any]:
    with cli.sessions() as session:
        return [
            session.execute(text(f"SELECT * FROM {table}")).all() for table in ("task_instance", "task_state_store")
        ]


def test_a_run_that_is_deleted_ends_the_watch_with_a_reason(deferred: Cli, steps: list[Callable[[], Any]]) -> None:
    steps.append(lambda: delete_tasks(deferred))
    with pytest.raises(SystemExit, match=r"has the task instance no longer.*airflow air jobs list"):
        deferred.run("jobs", "watch", DAG, TASK)


def test_a_cleared_task_is_waited_for_again(deferred: Cli, steps: list[Callable[[], Any]]) -> None:
    steps += [
        lambda: set_state(deferred, None),
        lambda: set_state(deferred, "queued"),
        lambda: set_state(deferred, "success"),
    ]
    said = deferred.run("jobs", "watch", DAG, TASK)
    assert "not scheduled" in said
    assert "success" in said.splitlines()[-1]


def test_an_outage_of_the_database_is_told_once_and_waited_out(deferred: Cli, steps: list[Callable[[], Any]]) -> None:
    steps += [
        lambda: rename(deferred, "task_instance", "away"),
        lambda: None,
        lambda: rename(deferred, "away", "task_instance"),
        lambda: set_state(deferred, "success"),
    ]
    lines = deferred.run("jobs", "watch", DAG, TASK).splitlines()
    assert lines[-1].split(" ", 1)[1].startswith("success")
    assert deferred.err.count("metadata database cannot be read") == 1
    assert "asks again every 15 s" in deferred.err


def rename(cli: Cli, old: str, new: str) -> None:
    with cli.sessions.begin() as session:
        session.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_an_outage_at_the_first_look_is_an_error() -> None:
    def read() -> Any:
        raise UnavailableError("away")

    with pytest.raises(UnavailableError):
        watch.follow(read, Recorder())


def test_a_notice_is_taken_back_when_the_outage_is_over() -> None:
    answers: list[Any] = ["deferred", None, None, "running", "success"]
    waited: list[float] = []

    def read() -> Any:
        state = answers.pop(0)
        if state is None:
            raise UnavailableError("away")
        return {"sections": {"task": {"state": state}}}

    recorder = Recorder()
    assert watch.follow(read, recorder, waited.append) == "success"
    assert waited == [2.0, 15.0, 15.0, 2.0]
    assert [kind for kind, _ in recorder.seen] == ["view", "notice", "notice", "view", "view"]
    assert [told for kind, told in recorder.seen if kind == "notice"][1] == ""


def test_a_task_of_somebody_else_is_refused(cli: Cli) -> None:
    add_run(cli)
    add_task(cli, operator="BashOperator")
    with pytest.raises(SystemExit, match="none of this provider's, but a BashOperator"):
        cli.run("jobs", "watch", DAG, TASK)
