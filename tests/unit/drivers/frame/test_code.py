"""The author's code, found on the cluster or named as what is wrong with it."""

from __future__ import annotations

import pytest

from airflow_provider_air.drivers.frame import code
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere:loop", ["field: cannot import 'nowhere'", "working_dir"]),
        ("json:absent", ["field: the module 'json' has no 'absent'", "dumps"]),
        ("loop", ["field: 'loop' is no import path"]),
    ],
)
def test_code_that_cannot_be_imported_is_named(path: str, words: list[str], by_hand: Run) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        code.author_callable(by_hand, path, "field")
    said(words, problem)


def test_what_cannot_be_called_is_no_loop(by_hand: Run) -> None:
    with pytest.raises(ConfigurationProblem, match="field: 'json:__name__' is a str, not a function"):
        code.author_callable(by_hand, "json:__name__", "field")
