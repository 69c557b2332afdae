"""Stored JSON of whoever wrote it is read without a word, and what is shown of it is safe to draw."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_air.pages.lenient import (
    MOST_ITEMS,
    count,
    epoch,
    items,
    mapping,
    name,
    number,
    objects,
    plain,
    rounded,
    text,
    url,
)
from tests.architecture.source import REPOSITORY

ODD: list[Any] = [None, True, 0, -1, 10**400, float("nan"), float("inf"), "", "x", "\ud800", [], [1], {}, {"a": [{}]}]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_nothing_raises_and_everything_is_json(value: Any) -> None:
    shown = [read(value) for read in (number, rounded, count, text, name, epoch, url, plain, objects)]
    shown += [dict(mapping(value)), list(items(value))] if value in ([], {}) else []
    assert json.dumps(shown, allow_nan=False).encode("utf-8")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.5, 1.5), (7, 7), (2**60, float(2**60)), (10**30, 1e30), (10**400, None), (True, None), ("1", None)],
)
def test_a_number_is_one_that_a_browser_has(value: Any, shown: Any) -> None:
    assert number(value) == shown
    assert type(number(value)) is type(shown)


def test_a_text_has_no_colours_and_turns_nothing_around() -> None:
    assert text("\x1b[31mred\x1b[0m") == "red"
    assert text("abc\u202egnp.exe") == "abc\\u202egnp.exe"
    assert text("</script><b>") == "</script><b>"
    assert text({"a": 1}) is None


# As in ui/src/text.tsx.
HIDDEN = (0x061C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF)


@pytest.mark.parametrize("sign", map(chr, HIDDEN), ids=ascii)
def test_what_is_hidden_in_a_text_is_spelled_out(sign: str) -> None:
    assert text(f"pay{sign}me") == f"pay\\u{ord(sign):04x}me"
    assert name(f"日{sign}本") == f"日\\u{ord(sign):04x}本"


def test_the_pages_hide_no_more_and_no_less() -> None:
    source = (REPOSITORY / "ui" / "src" / "text.tsx").read_text(encoding="utf-8")
    [signs] = re.findall(r"^const HIDDEN = /(\[.*\])/g;$", source, re.MULTILINE)
    told = [chr(code) for code in range(0xA0, 0x10000) if not 0xD800 <= code < 0xE000]
    assert [sign for sign in told if re.match(signs, sign)] == [sign for sign in told if text(sign) != sign]


def test_a_long_text_is_cut_and_says_so() -> None:
    assert len(text("x" * 10_000) or "") <= 500
    assert "left out" in (text("x" * 10_000) or "")
    assert text("abcdef", 4) == "abc…"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "//evil", "ftp://x", "/x", "", 5, None])
def test_only_pages_are_addresses(address: Any) -> None:
    assert url(address) is None
    assert url("https://ray.example/#/jobs/1") == "https://ray.example/#/jobs/1"


def test_moments_are_numbers_or_iso_texts() -> None:
    assert epoch("2026-11-29T12:00:00+00:00") == 1795953600.0
    assert epoch(5) == 5.0
    assert epoch("yesterday") is None


def test_what_airflow_has_wrapped_is_shown_as_it_was_and_no_class_is_imported() -> None:
    wrapped = {"__classname__": "builtins.tuple", "__version__": 1, "__data__": [1, 2]}
    assert plain({"a": wrapped}) == {"a": [1, 2]}
    assert plain({"__classname__": "nowhere.at_all.Thing", "__version__": 1}) == "nowhere.at_all.Thing"


def test_what_is_shown_as_it_is_is_bounded() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": [deep]}
    assert len(json.dumps(plain(deep))) < 200
    assert len(plain(list(range(10**5)))) == MOST_ITEMS
