"""
The tables of inputs behind ``docs/second-day.md``: what people have on their second day, and what becomes of it.

A module for each table, named as the page's marker names it, holds ``KINDS``: tests take their parameters from it, and
the page repeats it, see ``tests/architecture/test_kinds.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Kind:
    """
    One kind of input.

    :param what: what a person has, in the page's words
    :param becomes: what becomes of it, in the page's words
    :param inputs: examples for the tests, each by a name of its own; of what form says the table's module
    """

    what: str
    becomes: str
    inputs: dict[str, Any] = field(default_factory=dict)


def parameters(kinds: Iterable[Kind]) -> tuple[list[Any], list[str]]:
    """Give all inputs, and their names: for ``pytest.mark.parametrize(..., values, ids=names)``."""
    named = [(name, value) for kind in kinds for name, value in kind.inputs.items()]
    return [value for _, value in named], [name for name, _ in named]


def markdown(kinds: Iterable[Kind]) -> str:
    """Give the page's table."""
    rows = [f"| {kind.what} | {kind.becomes} |" for kind in kinds]
    return "\n".join(["| what you have | what becomes of it |", "|---|---|", *rows])
