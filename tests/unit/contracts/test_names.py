"""Texts become names."""

from __future__ import annotations

import pytest

from airflow_provider_air.contracts.names import TaskKey, digest, fitted, named, slug


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


def test_two_texts_never_share_a_name() -> None:
    texts = ["a" * 60, "a" * 61, "A" * 60, "ä", "ö", "a b", "a-b", "a_b"]

    assert len({named(text, 40) for text in texts}) == len(texts)
    assert len({fitted(text, 40) for text in texts}) == len(texts)
    assert all(len(fitted(text, 40)) <= 40 for text in texts)
    assert fitted("a-b", 40) == "a-b"


def test_a_task_instance_is_written_as_people_read_it() -> None:
    assert str(TaskKey("here", "flights", "manual__1", "train")) == "flights/manual__1/train"
    assert str(TaskKey("here", "flights", "manual__1", "train", 3)) == "flights/manual__1/train[3]"
