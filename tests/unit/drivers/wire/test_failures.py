"""What an exception says of itself, whatever it is like, and who of several workers failed first."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.drivers.wire import failures
from airflow_provider_air.drivers.wire.failures import MOST_CAUSES, MOST_MEMBERS, by_worker, error_of, text_of
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, WorkFailed
from tests.kinds.logs import Raises, caused, chained, fail, named, raised_by, task_error


@pytest.mark.parametrize(("name", "raises"), named(Raises), ids=[name for name, _ in named(Raises)])
def test_nothing_goes_wrong_on_the_way(name: str, raises: Raises, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a net below, for what nobody has thought of; none of these needs it."""
    raised = raised_by(raises.function)

    assert failures._raised_of(raised) == failures.raised_of(raised)


class Hostile(Exception):
    """Whatever is asked of it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_what_nobody_has_thought_of_is_told_by_its_type() -> None:
    assert error_of(Hostile())["type"] == "Hostile"


def test_of_a_long_chain_the_first_are_named() -> None:
    assert error_of(raised_by(lambda: chained(100)))["message"].count("caused by") == MOST_CAUSES


@pytest.mark.parametrize("kind", [ConfigurationProblem, WorkFailed])
def test_what_says_its_cause_itself_does_not_say_it_twice(kind: type[Exception]) -> None:
    def refuse() -> None:
        try:
            caused()
        except ValueError as error:
            raise kind(f"refused: {error}") from error

    assert error_of(raised_by(refuse))["message"] == "refused: row 7 is bad"


def test_the_text_of_a_traceback_says_what_an_exception_would() -> None:
    """All that Tune keeps of what it cannot pickle (2.60)."""
    text = f"Failure # 1 (occurred at 2026-11-29_08-00-00)\n{task_error(raised_by(caused))}\n"

    assert text_of(text) == text_of(raised_by(caused)) == "ValueError: row 7 is bad\ncaused by KeyError: 'user_id'"
    assert text_of("\x1b[31mno traceback\x1b[0m\n") == "no traceback"


def test_a_message_of_several_lines_is_read_whole() -> None:
    raised = raised_by(lambda: fail(ValueError("one\n  two\nthree")))

    assert text_of(str(task_error(raised))) == "ValueError: one\n  two\nthree"


def test_workers_that_raise_the_same_are_told_together() -> None:
    raised: dict[int, BaseException] = {rank: RuntimeError("NCCL aborted") for rank in range(100)}
    raised[7] = MemoryError("full")

    alike, other = by_worker(raised)
    named = ", ".join(str(rank) for rank in range(MOST_MEMBERS + 1) if rank != 7)
    assert alike == f"workers {named}, … (99 in all): RuntimeError: NCCL aborted"
    assert other == "worker 7: MemoryError: full"
