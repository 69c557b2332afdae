"""Reads packages where people list them: ``requirements.txt``, ``pyproject.toml``, ``uv.lock``; in the worker."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import uv_lock

# What a folder of a project may hold, the most exact first.
PROJECT_FILES = (uv_lock.LOCK_FILE, "pyproject.toml", "requirements.txt")
_OTHERS = "Write them to a requirements.txt, such as by 'poetry export', 'pipenv requirements' or 'uv export'"
# pip's own: a comment begins a line or follows a space.
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))(\S.*)")
_LOCAL = re.compile(
    r"(?:(?:-e|--editable)[\s=]+)?(\.{1,2}(?:/.*)?$|\.{1,2}\[|[^\s@:]+/|[^\s@:/]+\.(?:whl|zip|tar\.gz)$)"
)


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
        path = found[0]
    if path.name == uv_lock.LOCK_FILE:
        return uv_lock.locked_packages(_toml(path, field), path, field, _project_beside(path, field))
    if path.suffix == ".toml":
        return _of_project(path, field)
    if path.name == "Pipfile" or path.suffix == ".lock":
        raise ConfigurationError(f"'{field}' cannot be read from {path.name}", where=str(path), hint=_OTHERS)
    return list(_lines(path, field, ()))


def expanded(lines: Sequence[str], field: str, locate: Callable[[str], Path]) -> list[str]:
    """
    Give an author's own list, with what files say that it includes by a relative path; all else is the cluster's.

    :raises ConfigurationError: such a file cannot be read, or lists what is on this host alone
    """
    packages: list[str] = []
    for line in lines:
        option, name = _include(line.strip())
        if option is None or _is_elsewhere(name) or name.startswith("/"):
            _refuse_local(line.strip(), field)
            packages.append(line)
            continue
        _refuse_constraints(option, name, field)
        packages += packages_of(locate(name), field)
    return packages


def read_text(path: Path, field: str) -> str:
    """:raises ConfigurationError: the file cannot be read as text."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        hint = "A relative path starts at the DAG file's folder or at that of its bundle; packages go into a list"
        raise ConfigurationError(
            f"'{field}' names a file that cannot be read: {error}", where=str(path), hint=hint
        ) from None


def _lines(path: Path, field: str, above: tuple[Path, ...]) -> Iterator[str]:
    if path in above:
        raise ConfigurationError(f"'{field}' names a file that includes itself", where=str(path))
    # As pip does: lines are joined first, and then lose their comments.
    for whole in read_text(path, field).replace("\r\n", "\n").replace("\\\n", "").split("\n"):
        line = _COMMENT.sub("", whole).strip()
        option, name = _include(line)
        if option is not None and not _is_elsewhere(name):
            _refuse_constraints(option, name, field)
            yield from _lines(Path(path.parent, name), field, (*above, path))
        elif line:
            _refuse_local(line, field, str(path))
            yield line


def _include(line: str) -> tuple[str | None, str]:
    found = _INCLUDE.fullmatch(line)
    return (None, "") if found is None else (found[1], found[2])


def _is_elsewhere(name: str) -> bool:
    """Tell whether the cluster's own installer reads it: by a URL, or by a variable that is known there alone."""
    return "://" in name or "${" in name


def _refuse_constraints(option: str, name: str, field: str) -> None:
    if option in ("-c", "--constraint"):
        raise ConfigurationError(
            f"'{field}' names the constraints {name}, and such a file does not travel",
            hint="Pin the versions in the requirements, give the file's URL, or ship it in the working_dir and write "
            "-c ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/" + Path(name).name,
        )


def _refuse_local(line: str, field: str, where: str | None = None) -> None:
    if "://" not in line and "${" not in line and _LOCAL.match(line):
        raise ConfigurationError(
            f"'{field}' names {line!r}, which is on this host alone",
            where=where,
            hint="Ship it by 'py_modules', and list what it needs",
        )


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
    return [line for line in project.get("dependencies") or () if not uv_lock.is_ray(line)]


def _project_beside(lock: Path, field: str) -> dict[str, Any] | None:
    project = lock.with_name("pyproject.toml")
    return _toml(project, field) if project.is_file() else None


def _toml(path: Path, field: str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path, field))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"'{field}' names a file that is no TOML: {error}", where=str(path)) from None
