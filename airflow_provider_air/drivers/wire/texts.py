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


def text_of(error: BaseException) -> str:
    """
    Give an exception's text, whatever it is: never raises, and holds nothing that UTF-8 does not take.

    Of a group, also what it is made of.
    """
    try:
        text = str(error)
    except Exception as problem:
        text = "(no text: its __str__ raises %s)" % type(problem).__name__
    parts = ["%s: %s" % (type(part).__name__, text_of(part)) for part in getattr(error, "exceptions", ()) or ()]
    return spelled("; ".join([text, *parts]))


def spelled(text: str) -> str:
    r"""Give a text that every line and database carries: what is not UTF-8, and NUL, as ``\udc80`` and ``\x00``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
