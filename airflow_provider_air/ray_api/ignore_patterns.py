"""
The patterns of ``excludes``, ``.gitignore`` and ``.rayignore`` as Ray reads them.

Ray 2.60 carries an old matcher of its own (``_private/thirdparty/pathspec``), which differs from git, and from what
pathspec is today: ``!folder`` does not bring back what is inside of it, and spaces around a pattern do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from airflow_provider_air.errors import ConfigurationError


class IgnorePatterns:
    """
    The lines of one file or list; the last that meets a path decides.

    :raises ConfigurationError: a line is no pattern
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._patterns = [found for line in lines if (found := _pattern(line.strip())) is not None]

    def names(self, path: str) -> bool:
        """Tell whether a path is left out; relative to the patterns' folder, which itself is ``.``."""
        return next((leaves_out for regex, leaves_out in reversed(self._patterns) if regex.match(path)), False)


def _pattern(line: str) -> tuple[re.Pattern[str], bool] | None:
    if line in ("", "/", "!") or line.startswith("#"):
        return None
    leaves_out = not line.startswith("!")
    segments = _segments(line.removeprefix("!").removeprefix("\\"))
    try:
        return re.compile(_regex(segments, leaves_out)), leaves_out
    except re.error as error:
        raise ConfigurationError(f"{line!r} is no pattern of files to leave out: {error}") from None


def _segments(pattern: str) -> list[str]:
    segments = pattern.split("/")
    if not segments[0]:
        del segments[0]
    elif (len(segments) == 1 or segments[1:] == [""]) and segments[0] != "**":
        # A lone name is met at any depth.
        segments.insert(0, "**")
    if len(segments) > 1 and not segments[-1]:
        segments[-1] = "**"
    return segments


def _regex(segments: list[str], leaves_out: bool) -> str:
    if segments == ["**"]:
        return "^.+$"
    regex, last = "^", len(segments) - 1
    separator = ""
    for number, segment in enumerate(segments):
        if segment == "**":
            regex += "(?:.+/)?" if number == 0 else "/.*" if number == last else "(?:/.+)?"
            separator = "" if number == 0 else "/"
            continue
        regex += separator + ("[^/]+" if segment == "*" else _glob(segment))
        if segment != "*" and number == last and leaves_out:
            regex += "(?:/.*)?"
        separator = "/"
    return f"{regex}$"


_GLOB = re.compile(
    r"\\(?P<escaped>.)|(?P<many>\*)|(?P<one>\?)|\[(?P<negated>!?)(?P<set>\]?[^\]]*\])|(?P<plain>.)", re.DOTALL
)


def _glob(segment: str) -> str:
    """Give the regular expression of a name with wildcards, none of which meets a slash."""
    return "".join(_glob_part(found) for found in _GLOB.finditer(segment))


def _glob_part(found: re.Match[str]) -> str:
    if found["many"]:
        return "[^/]*"
    if found["one"]:
        return "[^/]"
    if found["set"]:
        inside = found["set"].replace("\\", "\\\\")
        return "[^" + inside if found["negated"] else "[" + ("\\" if inside.startswith("^") else "") + inside
    plain = found["escaped"] or found["plain"]
    return "" if plain == "\\" and not found["escaped"] else re.escape(plain)
