"""
Names that MLflow takes.

It is imported where a test needs it: each worker of a test run imports all files.
"""

from __future__ import annotations

import pytest

from airflow_provider_air.attachments.mlflow.models import Gate
from airflow_provider_air.attachments.mlflow.names import (
    NAME_CHARACTERS,
    NAME_TAG,
    TAG_CHARACTERS,
    name_of,
    name_tags,
    value_of,
)
from tests.kinds import parameters
from tests.kinds.metrics import NAMES as KINDS

VALUES, NAMES = parameters(KINDS)


@pytest.mark.parametrize(("original", "readable"), VALUES, ids=NAMES)
def test_a_name_becomes_one_that_mlflow_takes_and_stays_readable(original: str, readable: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    name = name_of(original)

    _validate_metric_name(name)
    assert len(name) <= NAME_CHARACTERS
    assert name == original if original == readable else name.startswith(readable)
    assert name_of(name) == name
    for tag, value in name_tags([original]).items():
        _validate_metric_name(tag)
        assert (tag, value) == (NAME_TAG + name, original)
        assert len(tag) <= NAME_CHARACTERS


def test_two_names_never_become_one() -> None:
    originals = [original for original, _ in VALUES]
    alike = ["ndcg@10", "ndcg_at_10", "ndcg at 10", "ndcg#10", "ndcg_10", "ndcg+10", "a//b", "a/b", "a/./b", "/a/b"]
    every = sorted({*originals, *alike})

    assert len({name_of(original) for original in every}) == len(every)


def test_the_page_names_the_digest_as_it_is() -> None:
    assert any(name_of("ndcg@10") in kind.becomes for kind in KINDS)


def test_long_values_are_cut_and_stay_two() -> None:
    long = "x" * (TAG_CHARACTERS + 1)
    cut = {value_of(text, TAG_CHARACTERS) for text in (long, f"{long}y", f"{long}z")}

    assert len(cut) == 3
    assert {len(text) for text in cut} == {TAG_CHARACTERS}
    assert value_of("a\0\udc80", TAG_CHARACTERS) == "a\\x00\\udc80"


def test_the_gate_finds_a_metric_by_the_authors_name() -> None:
    gate = Gate("ndcg@10", "max", threshold=0.5)

    assert gate.objection({name_of("ndcg@10"): 0.75}, {name_of("ndcg@10"): 0.5}) is None
    assert "ndcg@10" in str(gate.objection({"ndcg_at_10": 0.75}, None))
