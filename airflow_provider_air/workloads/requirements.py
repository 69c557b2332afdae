"""Reads packages where people list them: ``requirements.txt``, ``pyproject.toml``, ``uv.lock``; in the worker."""

from __future__ import annotations

import codecs
import contextlib
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import uv_lock, uv_sources

# What a folder of a project may hold, the most exact first.
PROJECT_FILES = (uv_lock.LOCK_FILE, "pyproject.toml", "requirements.txt")
_OTHERS = "Write them to a requirements.txt, such as by 'poetry export', 'pipenv requirements' or 'uv export'"
# pip's own: a comment begins a line or follows a space.
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*)")
# pip's own: how a file says which encoding it has.
_CODING = re.compile(rb"#.*coding[:=]\s*([-\w.]+)")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Of an option, or of a package that is taken from somewhere.
_PLACES = re.compile(
    r"(?:-f|--find-links|-i|--index-url|--extra-index-url)(?:\s*=\s*|\s+|(?<=-[fi]))(\S+)"
    r"|(?:(?:-e|--editable)[\s=]+)?(?:[\w.-]+\s*(?:\[[^\]]*\]\s*)?@\s*)?((?:\w+\+)?file:\S+)"
    r"|(?:(?:-e|--editable)[\s=]+)?[\w.-]+\s*(?:\[[^\]]*\]\s*)?@\s*(\S+)"
    r"|(?:-e|--editable)(?:\s*=\s*|\s+|(?<=-e))((?!\w+\+)\S+)"
)
_FILE = re.compile(r"(?:\w+\+)?file:(//)?(?=/)")
# pip's own: what is an archive by its name; before extras, a marker or options.
_ARCHIVE = r"\.(?:whl|zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma))(?=\[|\s*;|\s+-|\s*$)"
_LOCAL = re.compile(r"\.{1,2}(?:/.*)?$|\.{1,2}\[|[^\s@:;]+/|[^\s@:;/]+" + _ARCHIVE)


def packages_of(path: Path, field: str) -> list[str]:
    """
    Give what a file lists, as lines for an installer on the cluster.

    :param path: a requirements file, with what it includes; a ``pyproject.toml``, with the versions of an ``uv.lock``
        beside it; an ``uv.lock``; or a folder with one of them
    :param field: the argument that named it, for messages
    :raises ConfigurationError: it cannot be read, or lists what is on this host alone
    """
    if path.is_dir():
        found = [path / name for name in PROJECT_FILES if (path / name).is_file()]
        if not found:
            raise ConfigurationError(
                f"'{field}' names a folder that lists no packages", where=str(path), hint=f"None of {PROJECT_FILES}"
            )
        # Many a pyproject.toml is there for tools alone.
        is_for_tools = found[0].suffix == ".toml" and len(found) > 1 and not _has_packages(_toml(found[0], field))
        path = found[1] if is_for_tools else found[0]
    if path.name == uv_lock.LOCK_FILE:
        return uv_lock.locked_packages(_toml(path, field), path, field, _project_beside(path, field))
    if path.suffix == ".toml":
        return _of_project(path, field)
    if path.name == "Pipfile" or path.suffix == ".lock":
        raise ConfigurationError(f"'{field}' cannot be read from {path.name}", where=str(path), hint=_OTHERS)
    return list(_lines(path, field, ()))


def expanded(lines: Sequence[str], field: str, locate: Callable[[str], Path], where: str | None = None) -> list[str]:
    """
    Give an author's own list, with what files say that it includes by a relative path; all else is the cluster's.

    :param where: the file that the list is of, which speaks of this host
    :raises ConfigurationError: such a file cannot be read, or lists what is on this host alone
    """
    packages: list[str] = []
    for line in lines:
        option, name = _include(line.strip())
        is_there = _is_elsewhere(name) or (where is None and name.startswith(("/", "file:")))
        if option is None or is_there:
            _refuse_local(line.strip(), field, where)
            packages.append(line)
            continue
        _refuse_constraints(option, name, field)
        packages += packages_of(locate(_path(name)), field)
    return packages


def read_text(path: Path, field: str) -> str:
    """:raises ConfigurationError: the file cannot be read as text."""
    try:
        return _decoded(path.read_bytes())
    except (OSError, UnicodeError, LookupError) as error:
        hint = "A relative path starts at the DAG file's folder or at that of its bundle; packages go into a list"
        raise ConfigurationError(
            f"'{field}' names a file that cannot be read: {error}", where=str(path), hint=hint
        ) from None


def _decoded(data: bytes) -> str:
    """Read text as pip does: by its byte order mark, or by the encoding that its first lines name; else as UTF-8."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name)
    named = [found for line in data.split(b"\n")[:2] if (found := _CODING.match(line))]
    return data.decode(named[0][1].decode("ascii") if named else "utf-8")


def _joined(text: str) -> Iterator[str]:
    """Put lines together that a backslash continues, as pip does: a line of comment is continued by none."""
    begun = ""
    for line in text.splitlines():
        is_comment = _COMMENT.match(line) is not None
        if line.endswith("\\") and not is_comment:
            begun += line.strip("\\")
        else:
            yield f"{begun} {line}" if is_comment else begun + line
            begun = ""
    yield begun


def _lines(path: Path, field: str, above: tuple[Path, ...]) -> Iterator[str]:
    if path in above:
        raise ConfigurationError(f"'{field}' names a file that includes itself", where=str(path))
    # As pip does: lines are joined first, and then lose their comments.
    for whole in _joined(read_text(path, field)):
        line = _COMMENT.sub("", whole).strip()
        option, name = _include(line)
        if option is not None and not _is_elsewhere(name):
            _refuse_constraints(option, name, field)
            yield from _lines(Path(path.parent, _path(name)), field, (*above, path))
        elif line:
            _refuse_local(line, field, str(path))
            yield line


def _include(line: str) -> tuple[str | None, str]:
    found = _INCLUDE.fullmatch(line)
    if found is None:
        return None, ""
    words = [found[2]]
    if re.search(r"[\"'\\]", found[2]):
        with contextlib.suppress(ValueError):  # quotes that do not end
            words = shlex.split(found[2])
    return found[1], words[0] if len(words) == 1 else found[2]


def _path(name: str) -> str:
    """Give the path that a name is, which may be a URL of this host."""
    return url2pathname(urlsplit(name).path) if name.startswith("file:") else name


def _is_elsewhere(name: str) -> bool:
    """Tell whether the cluster's own installer reads it: by a URL, or by a variable that is known there alone."""
    return ("://" in name and not name.startswith("file:")) or "${" in name


def _refuse_constraints(option: str, name: str, field: str) -> None:
    if option in ("-c", "--constraint"):
        raise ConfigurationError(
            f"'{field}' names the constraints {name}, and such a file does not travel",
            hint="Pin the versions in the requirements, give the file's URL, or ship it in the working_dir and write "
            "-c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/" + Path(name).name,
        )


def _refuse_local(line: str, field: str, where: str | None = None) -> None:
    """:param where: the file that says so, which speaks of this host; an author's own list may mean the cluster's."""
    if "${" not in line and _is_local(line, is_listed=where is None):
        raise ConfigurationError(
            f"'{field}' names {line!r}, which is on this host alone",
            where=where,
            hint="Ship it by 'py_modules', and list what it needs",
        )


def _is_local(line: str, *, is_listed: bool) -> bool:
    found = _PLACES.match(line)
    if found is None:
        return "://" not in line and _LOCAL.match(line) is not None
    place = next(filter(None, found.groups()))
    if place.startswith("/") or _FILE.match(place):
        return not is_listed
    return ":" not in place or place.startswith("file:")


def _has_packages(content: Mapping[str, Any]) -> bool:
    return "dependencies" in (content.get("project") or {})


def _of_project(path: Path, field: str) -> list[str]:
    content = _toml(path, field)
    lock = path.with_name(uv_lock.LOCK_FILE)
    if lock.is_file():
        return uv_lock.locked_packages(_toml(lock, field), lock, field, content)
    project = content.get("project")
    if not isinstance(project, dict) or "dependencies" in (project.get("dynamic") or ()):
        raise ConfigurationError(
            f"'{field}' names a project without [project] dependencies", where=str(path), hint=_OTHERS
        )
    wanted = [line for line in project.get("dependencies") or () if not uv_lock.is_ray(line)]
    lines = uv_sources.resolved(wanted, content, path, field)
    for line in lines:
        _refuse_local(line, field, str(path))
    return lines


def _project_beside(lock: Path, field: str) -> dict[str, Any] | None:
    project = lock.with_name("pyproject.toml")
    return _toml(project, field) if project.is_file() else None


def _toml(path: Path, field: str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, field))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"'{field}' names a file that is no TOML: {error}", where=str(path)) from None
