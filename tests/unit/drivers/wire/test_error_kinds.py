"""What is raised by other services' libraries is told apart: a mistake, an outage, credentials that have expired."""

from __future__ import annotations

import pytest

from airflow_provider_air.drivers.wire.error_kinds import MISTAKE, kind_of, mistake_in
from tests.kinds import parameters
from tests.kinds.outages import ERRORS, Raised

RAISED, NAMES = parameters(ERRORS)


@pytest.mark.parametrize("raised", RAISED, ids=NAMES)
def test_each_kind_of_error_is_told(raised: Raised) -> None:
    assert kind_of(raised.made()) == raised.kind


@pytest.mark.parametrize("raised", RAISED, ids=NAMES)
def test_what_led_to_an_error_counts(raised: Raised) -> None:
    outer = RuntimeError("cannot do it")
    outer.__cause__ = raised.made()

    assert kind_of(outer) == raised.kind
    assert (mistake_in(outer) is None) is (raised.kind != MISTAKE)


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), AssertionError(), Exception("odd"), ArithmeticError()], ids=repr
)
def test_of_some_nobody_knows(error: Exception) -> None:
    assert kind_of(error) is None
    assert mistake_in(error) is None


def test_an_error_that_led_to_itself_ends() -> None:
    error = RuntimeError("odd")
    error.cause = error  # type: ignore[attr-defined]

    assert kind_of(error) is None
