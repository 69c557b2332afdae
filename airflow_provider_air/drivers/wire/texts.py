"""Texts for places that hold only so much, or no colours."""

from __future__ import annotations

import re

# Colours, cursors, titles, links; then what else is no text, but for tabs and line ends.
_UNPRINTED = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_DRAWN_OVER = re.compile(r"^[^\n]*\r(?=[^\r\n])", re.MULTILINE)


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


def spelled(text: str) -> str:
    r"""Give a text that every line and database carries: what is not UTF-8, and NUL, as ``\udc80`` and ``\x00``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def unstyled(text: str) -> str:
    """Leave out what only a terminal understands; of what was drawn over itself, as a bar is, the last state stays."""
    return text if text.isprintable() else _UNPRINTED.sub("", _DRAWN_OVER.sub("", text))
