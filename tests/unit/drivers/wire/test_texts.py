"""A text that does not fit says so, and keeps its begin and its end."""

from __future__ import annotations

import json

import pytest

from airflow_provider_air.drivers.wire.failures import MAX_ERROR_CHARACTERS, error_of
from airflow_provider_air.drivers.wire.records import MAX_RECORD_BYTES
from airflow_provider_air.drivers.wire.texts import shortened


@pytest.mark.parametrize("length", [0, 499, 500])
def test_what_fits_stays_as_it_is(length: int) -> None:
    assert shortened("x" * length, 500) == "x" * length


@pytest.mark.parametrize("length", [501, 10_000, 1_000_000])
def test_what_does_not_fit_says_how_much_is_missing(length: int) -> None:
    text = "begin" + "x" * (length - 8) + "end"

    short = shortened(text, 500)

    assert len(short) <= 500
    assert short.startswith("begin")
    assert short.endswith("end")
    missing = int(short.split("[... ")[1].split(" ")[0])
    assert missing == length - (len(short) - len(f"\n[... {missing} characters are left out here ...]\n"))


def test_a_persons_exception_travels_whole_and_the_longest_one_fits_a_record() -> None:
    text = "\n".join(f"line {number} " + "ü" * 100 for number in range(1000))

    assert error_of(ValueError(text)) == {"type": "ValueError", "message": text}
    longest = error_of(ValueError("\U0001f600" * 2 * MAX_ERROR_CHARACTERS))
    assert len(json.dumps({"v": 1, "seq": 1, "t": 0.0, "kind": "end", "status": "failed", "error": longest})) < (
        MAX_RECORD_BYTES
    )
