"""What is raised by other services' libraries is told apart: a mistake, an outage, credentials that have expired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from airflow_provider_air.drivers.wire.error_kinds import MISTAKE, OUTAGE, kind_of, kind_of_aws, mistake_in
from airflow_provider_air.drivers.wire.outages import said
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


def codes_in(found: Any) -> Iterator[str]:
    """Give the codes for which botocore asks again."""
    for key, value in found.items() if isinstance(found, dict) else ():
        if key == "service_error_code":
            yield value
        yield from codes_in(value)


def test_what_botocore_itself_asks_again_is_an_outage_whatever_the_status() -> None:
    codes = set(codes_in(json.loads((files("botocore") / "data" / "_retry.json").read_text())))

    assert len(codes) > 15
    assert {code: kind_of_aws(code, 400) for code in codes} == dict.fromkeys(codes, OUTAGE)


def test_what_the_client_of_BigQuery_itself_asks_again_is_an_outage() -> None:
    retry = pytest.importorskip("google.cloud.bigquery.retry")
    from google.api_core.exceptions import Forbidden

    reasons = [*retry._RETRYABLE_REASONS, *retry.job_retry_reasons]
    kinds = {reason: kind_of(Forbidden("no", errors=[{"reason": reason}])) for reason in reasons}
    assert kinds == dict.fromkeys(reasons, OUTAGE)


class Hostile(Exception):
    """Whatever is asked of it fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_whatever_an_error_is_like_asking_of_it_raises_nothing() -> None:
    odd = OSError()
    odd.response = {"Error": "a text"}  # type: ignore[attr-defined]

    assert kind_of(Hostile()) is None
    assert said(Hostile()) == "(its text cannot be had: RuntimeError)"
    assert kind_of(odd) == OUTAGE
