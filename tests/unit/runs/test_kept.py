"""What is kept for good is read back whole, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.contracts.history import CHUNK_BYTES, MOST_BYTES
from airflow_provider_air.runs.ledger import keep, kept
from tests.fakes.task_context import Store


@pytest.mark.parametrize("size", [0, 10, CHUNK_BYTES - 10, CHUNK_BYTES, 3 * CHUNK_BYTES + 1, MOST_BYTES - 100])
def test_what_is_kept_is_read_back(size: int) -> None:
    value = {"text": "x" * size, "list": [1, None, {"a": 1.5}]}
    store = Store()

    keep(store, "air_thing", value)

    assert kept(store, "air_thing") == value


@pytest.mark.parametrize("letter", ["ä", "\u2028", "\U0001f600", '"', "\\"])
def test_a_chunk_fits_whatever_its_letters_cost(letter: str) -> None:
    """The state store counts the JSON of what it gets."""
    value = {"text": letter * CHUNK_BYTES}
    store = Store()

    keep(store, "air_thing", value)

    assert kept(store, "air_thing") == value
    assert max(map(len, store.rows.values())) <= CHUNK_BYTES + 100


def test_a_shorter_value_does_not_read_the_rest_of_a_longer_one() -> None:
    store = Store()
    keep(store, "air_thing", "x" * 3 * CHUNK_BYTES)
    keep(store, "air_thing", "y")

    assert kept(store, "air_thing") == "y"


@pytest.mark.parametrize("lost", ["air_thing", "air_thing.1", "air_thing.2"])
def test_what_has_lost_a_part_is_nothing(lost: str) -> None:
    store = Store()
    keep(store, "air_thing", "x" * (2 * CHUNK_BYTES + 5))
    del store.rows[lost]

    assert kept(store, "air_thing") is None


@pytest.mark.parametrize("stored", ["text", 5, [], {}, {"chunks": 1}, {"chunks": 1, "text": "{"}], ids=str)
def test_what_is_no_such_thing_is_nothing(stored: Any) -> None:
    store = Store()
    store.set("air_thing", stored)

    assert kept(store, "air_thing") is None
