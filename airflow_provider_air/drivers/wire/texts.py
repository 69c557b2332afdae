"""Texts for places that hold only so much."""

from __future__ import annotations


def shortened(text: str, limit: int) -> str:
    """
    Keep a text that fits, and the begin and the end of a longer one: what is left out between is counted there.

    :param limit: in characters, more than some hundred
    """
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - head - 60
    return "%s\n[... %d characters are left out here ...]\n%s" % (text[:head], len(text) - head - tail, text[-tail:])


def sendable(text: str) -> str:
    r"""Give a text that every line carries: what is not UTF-8, and NUL, as ``\udc80`` and ``\x00``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
