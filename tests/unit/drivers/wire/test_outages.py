"""How what is away is met: asked again for a while, before the work and at any time."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.wire import imports, outages
from airflow_provider_air.drivers.wire.error_kinds import EXPIRED, MISTAKE, OUTAGE
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable
from tests.kinds import parameters
from tests.kinds.outages import ERRORS, Raised

RAISED, NAMES = parameters(ERRORS)
Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A time that only sleeping moves."""
    clock = SimpleNamespace(at=0.0)

    def sleep(seconds: float) -> None:
        clock.at += seconds

    monkeypatch.setattr(outages, "time", SimpleNamespace(monotonic=lambda: clock.at, sleep=sleep))
    return clock


class Answers:
    """Raises these, one each, and answers then; without an end, the last one is raised for ever."""

    def __init__(self, *errors: BaseException, for_ever: bool = False) -> None:
        self._errors = list(errors)
        self._for_ever = for_ever
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if not self._errors:
            return "answer"
        raise self._errors[0] if self._for_ever else self._errors.pop(0)


@pytest.mark.parametrize("ask", [outages.asked, outages.patiently])
@pytest.mark.parametrize("raised", [each for each in RAISED if each.kind == OUTAGE], ids=lambda each: "outage")
def test_what_is_back_in_time_is_no_trouble(ask: Ask, raised: Raised, clock: SimpleNamespace) -> None:
    call = Answers(raised.made(), raised.made(), raised.made())

    assert ask(call, "storage_path: cannot look") == "answer"
    assert call.calls == 4
    assert 0 < clock.at < outages.PATIENCE_SECONDS


@pytest.mark.parametrize("ask", [outages.asked, outages.patiently])
def test_what_is_away_still_is_unavailable(
    ask: Ask, clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    call = Answers(ConnectionRefusedError(111, "Connection refused"), for_ever=True)

    with pytest.raises(Unavailable, match=r"storage_path: cannot look: .*Connection refused") as raised:
        ask(call, "storage_path: cannot look")

    assert raised.value.again
    assert call.calls > 5
    assert outages.PATIENCE_SECONDS - outages.LONGEST_PAUSE_SECONDS <= clock.at <= outages.PATIENCE_SECONDS
    assert "Connection refused; asking again" in capsys.readouterr().err


@pytest.mark.parametrize("ask", [outages.asked, outages.patiently])
@pytest.mark.parametrize("raised", [each for each in RAISED if each.kind == EXPIRED], ids=lambda each: "expired")
def test_credentials_that_have_expired_are_left_to_the_next_attempt(ask: Ask, raised: Raised) -> None:
    call = Answers(raised.made(), for_ever=True)

    with pytest.raises(Unavailable) as unavailable:
        ask(call, "cannot look")

    assert (call.calls, unavailable.value.again) == (1, False)


@pytest.mark.parametrize("raised", [each for each in RAISED if each.kind == MISTAKE], ids=lambda each: "mistake")
def test_a_mistake_is_the_authors_before_the_work_and_raised_as_it_is_later(raised: Raised) -> None:
    error = raised.made()
    call = Answers(error, for_ever=True)

    with pytest.raises(ConfigurationProblem, match=r"input: cannot read: "):
        outages.asked(call, "input: cannot read")
    with pytest.raises(type(error)) as later:
        outages.patiently(call, "input: cannot read")

    assert (later.value, call.calls) == (error, 2)


@pytest.mark.parametrize("ask", [outages.asked, outages.patiently])
@pytest.mark.parametrize("error", [RuntimeError("odd"), ConfigurationProblem("mine"), Unavailable("theirs")], ids=repr)
def test_what_nobody_knows_and_what_is_told_already_is_raised_as_it_is(ask: Ask, error: Exception) -> None:
    call = Answers(error, for_ever=True)

    with pytest.raises(type(error)) as raised:
        ask(call, "cannot look")

    assert (raised.value, call.calls) == (error, 1)


def test_without_patience_it_is_asked_once() -> None:
    call = Answers(TimeoutError("late"), for_ever=True)

    with pytest.raises(Unavailable):
        outages.patiently(call, "cannot look", 0)

    assert call.calls == 1


def test_code_that_asks_what_is_away_when_it_is_imported_is_not_the_authors_mistake(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asks_when_imported.py").write_text("raise ConnectionRefusedError(111, 'Connection refused')")
    (tmp_path / "odd_when_imported.py").write_text("raise RuntimeError('no GPU')")
    (tmp_path / "wrong_when_imported.py").write_text("nobody_knows_this")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(Unavailable, match=r"train_loop: importing 'asks_when_imported': .*refused"):
        imports.by_path("asks_when_imported:loop", "train_loop")
    with pytest.raises(RuntimeError, match="no GPU"):
        imports.by_path("odd_when_imported:loop", "train_loop")
    with pytest.raises(ConfigurationProblem, match="nobody_knows_this"):
        imports.by_path("wrong_when_imported:loop", "train_loop")
