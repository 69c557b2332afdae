"""Whether a model needs the author's code where it is loaded."""

from __future__ import annotations

import fractions
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.drivers.trackers import model_code


@pytest.mark.parametrize(
    ("made", "is_used"),
    [
        (lambda author: author.Model(), True),
        (lambda author: {"steps": [author.Model]}, True),
        (lambda author: fractions.Fraction(1, 3), False),
        (lambda author: {"step": lambda row: author.Model()}, True),
        (lambda author: {"step": lambda row: row}, True),
    ],
    ids=["instance", "class", "other", "lambda", "unknown"],
)
def test_what_the_authors_code_defines_is_found_also_where_pickle_does_not_write_it(
    made: Callable[[Any], Any], is_used: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authors_own.py").write_text("class Model:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    author = importlib.import_module("authors_own")
    try:
        assert model_code.is_used_by(made(author)) is is_used
    finally:
        del sys.modules["authors_own"]


def test_without_code_of_the_authors_none_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_code.is_used_by(lambda row: row) is False
