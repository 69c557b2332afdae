"""Sends views as sections that a browser has or has not: each with its hash, and only those that are new to it."""

from __future__ import annotations

import gc
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from fastapi import Response

from airflow_provider_air.pages.task_view import VERSION

MOST_KNOWN = 100
T = TypeVar("T")


@dataclass(frozen=True)
class Section:
    """A part of a view, as it is sent."""

    body: bytes
    hash: str


def encoded(sections: Mapping[str, Any]) -> dict[str, Section]:
    """Give sections as they are sent."""
    made = {}
    for name, section in sections.items():
        body = _json(section)
        made[name] = Section(body, hashlib.sha256(body).hexdigest()[:16])
    return made


def collected_later(make: Callable[[], T]) -> T:
    """
    Make something of large stored values without Python's search for cycles, which their many lists would set off.

    All but what is given is free again at its end. A search over all that an api-server holds takes a third of a
    second, in which it answers nobody.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        return make()
    finally:
        # Of several at once the first one that ends may switch it on: that costs time alone.
        if was_on:
            gc.enable()


def answer(sections: Mapping[str, Section], known: Iterable[str]) -> Response:
    """
    Give the answer: the hashes of all sections, and the sections that are not among the known ones.

    :param known: ``SECTION:HASH`` of what the browser has
    """
    had = set(list(known)[:MOST_KNOWN])
    hashes = {name: section.hash for name, section in sections.items()}
    new = [(name, section.body) for name, section in sections.items() if f"{name}:{section.hash}" not in had]
    head = json.dumps({"version": VERSION, "now": time.time(), "hashes": hashes}, separators=(",", ":"))
    inside = b",".join(json.dumps(name).encode() + b":" + body for name, body in new)
    return Response(b'%s,"sections":{%s}}' % (head[:-1].encode(), inside), media_type="application/json")


@dataclass(frozen=True)
class Made:
    """
    Sections that were made of stored values.

    :param head: what other sections need of the same values; JSON, small
    """

    sections: Mapping[str, Section]
    head: Mapping[str, Any]

    @cached_property
    def size(self) -> int:
        """About how many bytes it takes."""
        return 1000 + len(repr(self.head)) + sum(len(section.body) for section in self.sections.values())


def answer_whole(view: Mapping[str, Any], known: Iterable[str] = ()) -> Response:
    """
    Give the answer that is one view, without sections; no more than its hash where that is known.

    :param known: the hash of what the browser has
    """
    whole = encoded({"view": view})["view"]
    new = {} if whole.hash in known else view
    told = {"version": VERSION, "now": time.time(), "hash": whole.hash, **new}
    return Response(_json(told), media_type="application/json")


def _json(value: Any) -> bytes:
    """Give JSON that browsers read: null for a number that is not finite, ``?`` for what is no character."""
    try:
        return _text(value).encode()
    except ValueError:
        # Views hold no such thing; where one does, it costs nobody a page that others share.
        return _text(json.loads(json.dumps(value), parse_constant=lambda word: None)).encode(errors="replace")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


class SectionCache:
    """
    The sections that were made last, so that many open tabs of one task cost one reading. For any number of threads.

    :param most_bytes: what is kept at most; the longest unused go first
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Made] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._kept

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Give what was made for a key, or make it."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += made.size
            while self._bytes > self._most_bytes and self._kept:
                self._bytes -= self._kept.popitem(last=False)[1].size
        return made
