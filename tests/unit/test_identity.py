"""Names of what runs remotely, and the ledger that tells a retry from a clear."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.identity import ATTEMPTS_KEPT, Attempt, Ledger, OnClear, TaskKey, digest, slug

KEY = TaskKey("here", "flights", "manual__1", "train")
CLUSTER = {"backend": "existing", "name": "ray_default"}


def opened(ledger: Ledger, *, max_tries: int = 2, clear_number: int = 0, on_clear: OnClear = "auto") -> Ledger:
    return ledger.open_try(max_tries=max_tries, clear_number=clear_number, on_clear=on_clear)


def intended(ledger: Ledger, phase: str | None = None) -> Ledger:
    ledger = ledger.intend(KEY, CLUSTER, has_records=True)
    assert ledger.current is not None
    return ledger if phase is None else ledger.mark(ledger.current.submission_id, phase)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("My DAG.v2", 30, "my-dag-v2"),
        ("a" * 50, 10, "a" * 10),
        ("ab--cd", 3, "ab"),
        ("", 5, "x"),
        ("ünïcode", 10, "n-code"),
        ("---", 5, "x"),
    ],
)
def test_a_slug_is_letters_digits_and_dashes(text: str, limit: int, expected: str) -> None:
    assert slug(text, limit) == expected


def test_a_digest_does_not_confuse_its_parts() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", 1, length=12) == digest("a", 1, length=12)
    assert len(digest("a", length=12)) == 12


def test_submission_ids_are_unique_readable_and_fit_for_a_url() -> None:
    ids = {KEY.mint_submission_id(1, 1) for _ in range(200)}

    assert len(ids) == 200
    assert all(name.startswith("air-flights-train-g1a1-") for name in ids)
    assert "-m7-" in TaskKey("here", "d", "r", "t", 7).mint_submission_id(1, 1)
    assert len(TaskKey("here", "d" * 250, "r", "t" * 250, 7).mint_submission_id(12, 12)) < 120


def test_a_run_name_is_stable_over_attempts_and_differs_otherwise() -> None:
    others = [
        TaskKey("there", "flights", "manual__1", "train"),
        TaskKey("here", "flights", "manual__2", "train"),
        TaskKey("here", "flights", "manual__1", "train", 0),
        TaskKey("here", "flights", "manual__1", "tune"),
    ]

    assert KEY.run_name(1) == KEY.run_name(1)
    assert len({KEY.run_name(1), KEY.run_name(2), *(other.run_name(1) for other in others)}) == 6


def test_a_task_owns_its_own_jobs_and_no_others() -> None:
    attempt = Attempt(1, 1, "a", CLUSTER)
    metadata = KEY.metadata(attempt, 2)

    assert KEY.owns(metadata)
    assert not TaskKey("there", "flights", "manual__1", "train").owns(metadata)
    assert not TaskKey("here", "flights", "manual__1", "train", 0).owns(metadata)
    assert not KEY.owns({})
    assert all(isinstance(value, str) for value in metadata.values())


def test_a_first_try_begins_the_first_generation() -> None:
    ledger = opened(Ledger())

    assert (ledger.generation, ledger.run_generation, ledger.max_tries) == (1, 1, 2)
    assert ledger.current is None


def test_a_retry_stays_in_its_generation() -> None:
    ledger = opened(intended(opened(Ledger()), "FAILED"))

    assert ledger.generation == 1
    assert ledger.current is not None
    assert ledger.current.phase == "FAILED"


@pytest.mark.parametrize("clear", [{"max_tries": 4}, {"clear_number": 1}], ids=["task", "run"])
@pytest.mark.parametrize(
    ("phase", "on_clear", "resumes"),
    [
        ("SUCCEEDED", "auto", False),
        ("FAILED", "auto", True),
        ("STOPPED", "auto", True),
        ("LOST", "auto", True),
        ("RESULT_LOST", "auto", True),
        ("submitted", "auto", True),
        ("SUCCEEDED", "resume", True),
        ("FAILED", "resume", True),
        ("SUCCEEDED", "fresh", False),
        ("FAILED", "fresh", False),
    ],
)
def test_a_clear_begins_a_generation_that_resumes_or_not(
    clear: dict[str, Any], phase: str, on_clear: OnClear, resumes: bool
) -> None:
    ledger = opened(intended(opened(Ledger()), phase), on_clear=on_clear, **clear)

    assert ledger.generation == 2
    assert ledger.run_generation == (1 if resumes else 2)
    assert ledger.current is None


def test_generations_that_resume_keep_the_first_ones_storage() -> None:
    ledger = opened(Ledger())
    for clear in range(1, 4):
        ledger = opened(intended(ledger, "FAILED"), clear_number=clear)

    assert (ledger.generation, ledger.run_generation) == (4, 1)
    ledger = opened(intended(ledger, "SUCCEEDED"), clear_number=4)
    assert (ledger.generation, ledger.run_generation) == (5, 5)


def test_attempts_are_numbered_within_their_generation() -> None:
    ledger = opened(Ledger())
    for _ in range(3):
        ledger = intended(ledger, "FAILED")
    ledger = intended(opened(ledger, clear_number=1))

    assert [(item.generation, item.number) for item in ledger.attempts] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert len({item.submission_id for item in ledger.attempts}) == 4


def test_only_the_last_attempts_are_kept_and_numbers_go_on() -> None:
    ledger = opened(Ledger())
    for _ in range(ATTEMPTS_KEPT + 5):
        ledger = intended(ledger, "FAILED")

    assert len(ledger.attempts) == ATTEMPTS_KEPT
    assert ledger.attempts[-1].number == ATTEMPTS_KEPT + 5
    assert len(json.dumps(ledger.to_json())) < 64 * 1024


def test_earlier_attempts_without_a_known_end_are_to_be_stopped() -> None:
    ledger = intended(intended(opened(Ledger()), "submitted"), "FAILED")
    ledger = intended(opened(ledger, clear_number=1))

    assert [item.number for item in ledger.earlier_open()] == [1]
    assert ledger.current not in ledger.earlier_open()


def test_a_mark_changes_one_attempt() -> None:
    ledger = intended(intended(opened(Ledger())))
    first, second = ledger.attempts
    ledger = ledger.mark(first.submission_id, "submitted", stop_pending=True)

    assert ledger.attempts[0].stop_pending is True
    assert ledger.attempts[1] == second
    assert ledger.mark("nobody's", "FAILED") == ledger


def test_the_ledger_survives_the_store() -> None:
    ledger = intended(intended(opened(Ledger()), "submitted"))

    assert Ledger.from_json(json.loads(json.dumps(ledger.to_json()))) == ledger
    assert Ledger.from_json(None) == Ledger()


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"schema": 2},
        {"schema": 1},
        {"schema": 1, "attempts": None},
        {"schema": 1, "attempts": [{}]},
        {"schema": 1, "attempts": [1]},
        {"schema": 1, "attempts": [], "colour": "red"},
        [],
        "x",
        7,
    ],
    ids=str,
)
def test_what_cannot_be_read_is_not_guessed_at(stored: Any) -> None:
    with pytest.raises(ProtocolError, match="air_ledger"):
        Ledger.from_json(stored)
