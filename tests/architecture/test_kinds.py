"""``docs/second-day.md`` says what the tests' own tables of inputs say: ``python -m tests.architecture.test_kinds``."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import tests.kinds
from tests.kinds import Kind, markdown

PAGE = Path(__file__).parents[2] / "docs" / "second-day.md"
TABLE = r"(<!-- kinds: {} -->\n)(.*?)(\n<!-- end -->)"
NAMES = [module.name for module in pkgutil.iter_modules(tests.kinds.__path__)]


def kinds_of(name: str) -> list[Kind]:
    kinds: list[Kind] = importlib.import_module(f"tests.kinds.{name}").KINDS
    return kinds


@pytest.mark.parametrize("name", NAMES)
def test_the_page_repeats_the_table(name: str) -> None:
    found = re.search(TABLE.format(name), PAGE.read_text(), re.DOTALL)

    assert found is not None, f"the page has no table {name}"
    assert found[2] == markdown(kinds_of(name)), "write it anew: python -m tests.architecture.test_kinds"


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_has_inputs_of_its_own(name: str) -> None:
    names = [each for kind in kinds_of(name) for each in kind.inputs]

    assert all(kind.inputs for kind in kinds_of(name))
    assert len(names) == len(set(names))


if __name__ == "__main__":
    text = PAGE.read_text()
    for table in NAMES:
        head, tail = f"<!-- kinds: {table} -->\n", "\n<!-- end -->"
        before, _, rest = text.partition(head)
        text = before + head + markdown(kinds_of(table)) + tail + rest.partition(tail)[2]
    PAGE.write_text(text)
