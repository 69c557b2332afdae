"""Deadlines and back-off."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import pytest

from airflow_provider_air.errors import ConfigurationError, DeadlineExceededError, UnavailableError
from airflow_provider_air.waiting import backoff_seconds, patiently, wait_until


def test_pauses_grow_to_the_ceiling_with_jitter() -> None:
    pauses = list(islice(backoff_seconds(1.0, 100.0), 12))

    assert 0.8 <= pauses[0] <= 1.2
    assert all(later > earlier for earlier, later in pairwise(pauses[:7]))
    assert all(pause <= 120.0 for pause in pauses)
    assert all(pause >= 80.0 for pause in pauses[7:])


def test_many_waiters_do_not_knock_in_step() -> None:
    assert len({next(backoff_seconds(1.0, 1.0)) for _ in range(50)}) > 40


def test_the_first_value_that_is_there_comes_back() -> None:
    answers = iter([None, None, 0])

    assert wait_until(lambda: next(answers), what="it", timeout_seconds=30, poll_interval_seconds=0.001) == 0


def test_time_that_is_up_is_told_with_the_last_state() -> None:
    with pytest.raises(DeadlineExceededError, match=r"The cluster did not happen within 0\.01 s; last state: starting"):
        wait_until(
            lambda: None,
            what="The cluster",
            timeout_seconds=0.01,
            poll_interval_seconds=0.001,
            last_state=lambda: "starting",
        )


def test_a_check_is_made_even_where_no_time_is_left() -> None:
    assert wait_until(lambda: "there", what="it", timeout_seconds=0) == "there"


def _answers(*answers: int | Exception) -> Callable[[], int]:
    answer = iter(answers)

    def call() -> int:
        value = next(answer)
        if isinstance(value, Exception):
            raise value
        return value

    return call


def test_patience_waits_for_what_is_unavailable_and_nothing_else() -> None:
    quick: dict[str, Any] = {"first_pause_seconds": 0.001, "longest_pause_seconds": 0.002}
    away = UnavailableError("away")

    assert patiently(_answers(away, away, 5), patience_seconds=30, **quick) == 5
    with pytest.raises(ConfigurationError):
        patiently(_answers(away, ConfigurationError("no"), 5), patience_seconds=30, **quick)
    with pytest.raises(UnavailableError):
        patiently(_answers(away, 5), patience_seconds=0, **quick)
