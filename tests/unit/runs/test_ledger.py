"""The ledger: it tells a retry from a clear, keeps what must be stopped, and is read by other versions."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.runs.ledger import ATTEMPTS_KEPT, AttachmentEntry, Attempt, Ledger, OnClear
from airflow_provider_air.runs.plan import Try
from tests.fakes.task_context import Store

KEY = TaskKey("here", "flights", "manual__1", "train")
CLUSTER = ClusterRef("existing", "ray_default").to_json()


def opened(ledger: Ledger, *, max_tries: int = 2, on_clear: OnClear = "auto") -> Ledger:
    return ledger.open_try(Try(KEY, max_tries=max_tries), on_clear=on_clear)


def intended(ledger: Ledger, phase: str = "intended") -> Ledger:
    ledger = ledger.intend(KEY, cluster=CLUSTER, has_records=True)
    assert ledger.current is not None
    return ledger.put(replace(ledger.current, phase=phase))


def test_a_first_try_begins_the_first_generation() -> None:
    ledger = opened(Ledger())

    assert (ledger.generation, ledger.run_generation, ledger.max_tries) == (1, 1, 2)
    assert ledger.current is None


def test_a_retry_stays_in_its_generation() -> None:
    ledger = opened(intended(opened(Ledger()), "FAILED"))

    assert ledger.generation == 1
    assert ledger.current is not None
    assert ledger.current.phase == "FAILED"


@pytest.mark.parametrize(
    ("phase", "on_clear", "resumes"),
    [
        ("SUCCEEDED", "auto", False),
        ("SKIPPED", "auto", False),
        ("FAILED", "auto", True),
        ("STOPPED", "auto", True),
        ("LOST", "auto", True),
        ("RESULT_LOST", "auto", True),
        ("ABANDONED", "auto", True),
        ("submitted", "auto", True),
        ("SUCCEEDED", "resume", True),
        ("FAILED", "resume", True),
        ("SUCCEEDED", "fresh", False),
        ("FAILED", "fresh", False),
    ],
)
def test_a_clear_begins_a_generation_that_resumes_or_not(phase: str, on_clear: OnClear, resumes: bool) -> None:
    ledger = opened(intended(opened(Ledger()), phase), on_clear=on_clear, max_tries=4)

    assert ledger.generation == 2
    assert ledger.run_generation == (1 if resumes else 2)
    assert ledger.current is None


# try_number, max_tries, retries, clear_number
HIDDEN = [
    ((1, 1, 1, 0), (2, 1, 0, 1)),
    ((1, 3, 3, 0), (2, 3, 2, 1)),
    ((3, 3, 3, 0), (4, 3, 0, 1)),
    ((2, 5, 3, 4), (5, 5, 1, 9)),
    # The edit came before the first try.
    ((1, 1, 0, 0), (2, 1, 0, 1)),
    # A try that died early came between.
    ((1, 1, 1, 0), (3, 1, 0, 1)),
]
NO_CLEARS = [
    ((1, 2, 2, 0), (2, 2, 2, 0)),
    # Another task of the run was cleared.
    ((1, 2, 2, 0), (2, 2, 2, 3)),
    ((3, 4, 2, 1), (4, 4, 2, 2)),
    # Only the DAG was edited.
    ((1, 2, 2, 0), (2, 2, 1, 0)),
    # And another task was cleared: of this one a clear would have made another number.
    ((1, 2, 2, 0), (2, 2, 0, 2)),
    ((1, 2, 2, 0), (2, 2, 5, 1)),
    ((3, 4, 2, 1), (4, 4, 3, 2)),
    # The same try once more.
    ((1, 2, 2, 0), (1, 2, 2, 1)),
    ((3, 4, 2, 1), (3, 4, 1, 2)),
    # Not known, here or there.
    ((1, 1, 1, 0), (2, 1, 0, None)),
    ((1, 1, 1, 0), (2, 1, None, 1)),
    ((None, 1, None, None), (2, 1, 0, 1)),
]


@pytest.mark.parametrize(
    ("before", "now", "is_cleared"),
    [*((before, now, True) for before, now in HIDDEN), *((before, now, False) for before, now in NO_CLEARS)],
)
def test_a_clear_is_told_where_edited_retries_leave_max_tries_as_it_was(
    before: tuple[Any, ...], now: tuple[Any, ...], is_cleared: bool
) -> None:
    ledger = Ledger.from_json(intended(Ledger().open_try(Try(KEY, *before)), "SUCCEEDED").to_json())

    opened_again = ledger.open_try(Try(KEY, *now))

    assert opened_again.generation == (2 if is_cleared else 1)
    assert Try(KEY, *now).numbers.items() <= opened_again.to_json().items()


def test_a_ledger_of_an_earlier_version_tells_clears_by_max_tries() -> None:
    form = intended(opened(Ledger()), "SUCCEEDED").to_json()
    old = Ledger.from_json({name: form[name] for name in form if name not in ("try_number", "retries", "clear_number")})

    assert old.open_try(Try(KEY, 2, 2, 0, 1)).generation == 1
    assert old.open_try(Try(KEY, 2, 3, 2, 1)).generation == 2


def test_generations_that_resume_keep_the_first_ones_storage() -> None:
    ledger = opened(Ledger())
    for clear in range(1, 4):
        ledger = opened(intended(ledger, "FAILED"), max_tries=2 + clear)

    assert (ledger.generation, ledger.run_generation) == (4, 1)
    ledger = opened(intended(ledger, "SUCCEEDED"), max_tries=6)
    assert (ledger.generation, ledger.run_generation) == (5, 5)


def test_attempts_are_numbered_within_their_generation() -> None:
    ledger = opened(Ledger())
    for _ in range(3):
        ledger = intended(ledger, "FAILED")
    ledger = intended(opened(ledger, max_tries=5))

    assert [(item.generation, item.number) for item in ledger.attempts] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert len({item.submission_id for item in ledger.attempts}) == 4


def test_only_the_last_attempts_are_kept_and_numbers_go_on() -> None:
    ledger = opened(Ledger())
    for _ in range(ATTEMPTS_KEPT + 5):
        ledger = intended(ledger, "FAILED")

    assert len(ledger.attempts) == ATTEMPTS_KEPT
    assert ledger.attempts[-1].number == ATTEMPTS_KEPT + 5
    assert len(json.dumps(ledger.to_json())) < 64 * 1024


def test_what_may_still_run_is_never_forgotten() -> None:
    ledger = intended(opened(Ledger()), "submitted")
    first = ledger.attempts[0]
    for _ in range(ATTEMPTS_KEPT + 5):
        ledger = intended(ledger, "FAILED")

    assert ledger.attempts[0] == first
    assert len(ledger.attempts) == ATTEMPTS_KEPT


def test_earlier_attempts_without_a_known_end_are_to_be_stopped() -> None:
    ledger = intended(intended(opened(Ledger()), "submitted"), "FAILED")
    ledger = intended(opened(ledger, max_tries=3))

    assert [item.number for item in ledger.earlier_open()] == [1]
    assert ledger.current not in ledger.earlier_open()


def test_a_newer_form_replaces_one_attempt() -> None:
    ledger = intended(intended(opened(Ledger())))
    first, second = ledger.attempts
    ledger = ledger.put(replace(first, phase="submitted", stop_pending=True))

    assert ledger.attempts[0].stop_pending is True
    assert ledger.attempts[1] == second
    assert ledger.put(replace(first, submission_id="nobody's")) == ledger
    assert ledger.find(first.submission_id) == ledger.attempts[0]
    assert ledger.find("nobody's") is None


def test_the_ledger_survives_the_store() -> None:
    ledger = intended(intended(opened(Ledger()), "submitted"))
    entry = AttachmentEntry({"kind": "fake", "fields": {}}, {"run_id": "r"}, untold="away")
    assert ledger.current is not None
    ledger = ledger.put(replace(ledger.current, attachments=(entry,), steps={"intended": 1.5}))

    store = Store()
    store.set("air_ledger", ledger.to_json())

    assert Ledger.from_json(store.get("air_ledger")) == ledger
    assert Ledger.from_json(None) == Ledger()


def test_an_attempt_names_what_it_is_for() -> None:
    attempt = intended(opened(Ledger())).current
    assert attempt is not None

    assert attempt.info.key == KEY
    assert attempt.info.submission_id == attempt.submission_id
    assert attempt.info.cluster == "ray_default"
    assert (attempt.is_open, attempt.is_sent) == (True, False)
    assert replace(attempt, steps={"sent": 1.0}).is_sent


def test_what_a_newer_version_wrote_is_read_as_far_as_it_is_known() -> None:
    ledger = intended(opened(Ledger()), "submitted")
    entry = {"spec": {"kind": "fake"}, "state": {}, "colour": "red"}
    (attempt,) = ledger.to_json()["attempts"]
    newer = {
        **ledger.to_json(),
        "version": 7,
        "colour": "red",
        "attempts": [{**attempt, "colour": "red", "attachments": [entry], "key": {**asdict(KEY), "colour": "red"}}],
    }

    read = Ledger.from_json(json.loads(json.dumps(newer)))

    assert read.current is not None
    assert read.current.attachments == (AttachmentEntry({"kind": "fake"}, {}),)
    assert read.current.info.key == KEY


def test_what_an_older_version_wrote_has_the_rest_by_default() -> None:
    attempt = Attempt.from_json({"generation": 1, "number": 1, "submission_id": "air-1"})

    assert (attempt.phase, attempt.kind, attempt.ref, attempt.attachments) == ("intended", "job", None, ())


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"version": 2},
        {"version": 1},
        {"version": 1, "attempts": None},
        {"version": 1, "attempts": [{}]},
        {"version": 1, "attempts": [1]},
        [],
        "x",
        7,
    ],
    ids=str,
)
def test_what_cannot_be_read_is_not_guessed_at(stored: Any) -> None:
    with pytest.raises(ProtocolError, match="air_ledger"):
        Ledger.from_json(stored)
