"""
The packages of a project as its ``uv.lock`` has them, as ``uv export --no-dev --no-emit-workspace`` gives them.

Read without uv, which a worker need not have. Ray and what it alone needs are left out: the cluster has them, and lets
no job change them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_air.errors import ConfigurationError

LOCK_FILE = "uv.lock"
PYPI = "https://pypi.org/simple"
# A package is needed under any of some conditions, each of them markers that must all hold.
_Conditions = frozenset[frozenset[str]]
_ALWAYS: _Conditions = frozenset([frozenset()])
_Key = tuple[str, str]


def is_ray(requirement: str) -> bool:
    """Tell whether a requirement is Ray itself."""
    found = re.match(r"\s*([A-Za-z0-9._-]+)", requirement)
    return found is not None and normal(found[1]) == "ray"


def locked_packages(lock: Mapping[str, Any], path: Path, field: str, project: Mapping[str, Any] | None) -> list[str]:
    """
    Give exact versions, with markers where only some platforms or Pythons need a package.

    The project itself and the members of its workspace are code, which travels otherwise: only what they need is given.

    :param lock: the file's content
    :param project: the content of the ``pyproject.toml`` beside it, where there is one
    :raises ConfigurationError: it is older than the project, no lock of a version that is known, or holds local files
    """
    if lock.get("version") != 1 or not isinstance(lock.get("package"), list):
        raise _wrong(path, field, "is of a version that is not known here")
    packages = {(normal(one["name"]), str(one.get("version", ""))): one for one in lock["package"]}
    root = _root(packages, path, field, project)
    needed = _needed(packages, root, path, field)
    lines, indexes = [], []
    for key in sorted(needed):
        line, index = _line(packages[key], path, field)
        if line is not None:
            marker = _marker(needed[key])
            lines.append(f"{line} ; {marker}" if marker else line)
            indexes += [index] if index and index not in indexes else []
    return [*(f"--extra-index-url {index}" for index in indexes), *lines]


def _root(packages: Mapping[_Key, Any], path: Path, field: str, project: Mapping[str, Any] | None) -> _Key:
    own = (project or {}).get("project") or {}
    if "name" in own:
        found = [key for key in packages if key[0] == normal(str(own["name"]))]
    else:
        found = [key for key, one in packages.items() if "." in _local_places(one)]
    if len(found) != 1:
        raise _wrong(path, field, "does not hold the project itself")
    asked = {
        match[0] for line in own.get("dependencies") or () if (match := re.match(r"[A-Za-z0-9._-]+", line.strip()))
    }
    known = (packages[found[0]].get("metadata") or {}).get("requires-dist")
    held = {normal(one["name"]) for one in known or ()}
    if known is not None and (missing := sorted(name for name in asked if normal(name) not in held)):
        raise _wrong(path, field, f"is older than its pyproject.toml: it lacks {missing[0]}", hint="Run 'uv lock'")
    return found[0]


def _needed(packages: Mapping[_Key, Any], root: _Key, path: Path, field: str) -> dict[_Key, _Conditions]:
    """Go through all that is needed, until no package is found under a further condition."""
    found: dict[tuple[_Key, str], _Conditions] = {}
    waiting: list[tuple[_Key, str, _Conditions]] = [(root, "", _ALWAYS)]
    while waiting:
        key, extra, conditions = waiting.pop()
        before = found.get((key, extra), frozenset())
        after = _either(before, conditions)
        if after == before:
            continue
        found[key, extra] = after
        for edge in _edges(packages[key], extra):
            target = _target(packages, edge, path, field)
            both = _both(after, edge.get("marker"))
            waiting += [(target, name, both) for name in ("", *(edge.get("extra") or ()))]
    return {key: conditions for (key, extra), conditions in found.items() if not extra and key != root}


def _edges(package: Mapping[str, Any], extra: str) -> Iterator[Mapping[str, Any]]:
    if normal(package["name"]) != "ray":
        optional = package.get("optional-dependencies") or {}
        yield from optional.get(extra, ()) if extra else package.get("dependencies", ())


def _target(packages: Mapping[_Key, Any], edge: Mapping[str, Any], path: Path, field: str) -> _Key:
    name, version = normal(edge["name"]), edge.get("version")
    found = [key for key in packages if key[0] == name and version in (None, key[1])]
    if len(found) > 1:
        found = [key for key in found if packages[key].get("source") == edge.get("source")]
    if len(found) != 1:
        raise _wrong(path, field, f"does not say which {name} is meant", hint="Run 'uv lock'")
    return found[0]


def _either(one: _Conditions, other: _Conditions) -> _Conditions:
    """What holds under fewer markers makes the same with more of them needless."""
    every = one | other
    return frozenset(item for item in every if not any(less < item for less in every))


def _both(conditions: _Conditions, marker: str | None) -> _Conditions:
    if marker is None:
        return conditions
    return _either(frozenset(item | {marker} for item in conditions), frozenset())


def _marker(conditions: _Conditions) -> str:
    if frozenset() in conditions:
        return ""
    texts = sorted(" and ".join(f"({one})" for one in sorted(item)) for item in conditions)
    return texts[0] if len(texts) == 1 else " or ".join(f"({text})" for text in texts)


def _line(package: Mapping[str, Any], path: Path, field: str) -> tuple[str | None, str | None]:
    """Give a package's line, none for what is code of the project, and the index it needs beside PyPI."""
    name, source = package["name"], package.get("source") or {}
    if normal(name) == "ray" or _local_places(package):
        return None, None
    if "registry" in source and "://" in source["registry"]:
        index = source["registry"].rstrip("/")
        return f"{name}=={package['version']}", None if index == PYPI else index
    if "git" in source:
        return f"{name} @ {_git(source['git'])}", None
    if "url" in source:
        return f"{name} @ {source['url']}", None
    raise _wrong(path, field, f"takes {name} from this host alone", hint=f"Ship {name} by 'py_modules'")


def _git(place: str) -> str:
    url, _, commit = place.partition("#")
    url, _, query = url.partition("?")
    folder = re.search(r"(?:^|&)subdirectory=([^&]+)", query)
    return f"git+{url}@{commit}" + (f"#subdirectory={folder[1]}" if folder else "")


def _local_places(package: Mapping[str, Any]) -> list[str]:
    source = package.get("source") or {}
    return [source[kind] for kind in ("virtual", "editable", "directory") if kind in source]


def normal(name: str) -> str:
    """Give a package's name as all its spellings are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wrong(path: Path, field: str, what: str, *, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(
        f"'{field}' names a lock that {what}",
        where=str(path),
        hint=hint or "Give a requirements.txt instead, as 'uv export' writes it",
    )
