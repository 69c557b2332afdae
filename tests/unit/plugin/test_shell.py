"""A page's HTML holds names of any script, and none of them is more than a text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from airflow_provider_air.plugin.shell import page

NAMES = ["</script><script>alert(1)</script>", '" onload="x', "' x='", "日本 & <b>", "\u202e", "\x1b[31m", "", "{0}%s"]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def read(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Give the elements of a page."""
    reader = _Reader()
    reader.feed(text)
    return reader.elements


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_to_the_script_as_it_is(name: str) -> None:
    elements = read(page("task", {"dag-id": name, "run-id": name}, "/air/", "v1"))
    (root,) = [attributes for tag, attributes in elements if tag == "div"]
    assert root == {"id": "air", "data-page": "task", "data-base": "/air/", "data-dag-id": name, "data-run-id": name}
    plain = read(page("task", {"dag-id": "d", "run-id": "r"}, "/air/", "v1"))
    assert [tag for tag, _ in elements] == [tag for tag, _ in plain]


def test_there_is_no_script_inside() -> None:
    text = page("run", {}, "/below/air/", "v1")
    (script,) = [attributes for tag, attributes in read(text) if tag == "script"]
    assert script["src"] == "/below/air/static/air.js?v=v1"
    assert "></script>" in text
