"""Data sets as drivers are told of them; reading them needs Ray, see the integration tests."""

from __future__ import annotations

import os
from typing import Any

import pytest

from airflow_provider_air.drivers.data.datasets import anchored, spec_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("s3://b/rows", {"uri": "s3://b/rows"}),
        (["s3://b/day=1", "/day=2"], {"uri": ["s3://b/day=1", "/day=2"]}),
        ({"uri": ["/a", "/b"], "format": "csv"}, {"uri": ["/a", "/b"], "format": "csv"}),
    ],
    ids=["one", "several", "a dict"],
)
def test_places_alone_are_a_data_set(value: Any, expected: Any) -> None:
    assert spec_of(value) == expected


def test_each_of_several_places_is_made_absolute() -> None:
    assert anchored({"train": ["s3://b/day=1", "day=2"]}) == {
        "train": {"uri": ["s3://b/day=1", os.path.abspath("day=2")]}
    }
