"""Where uv takes a project's packages from without a lock: ``[tool.uv.sources]`` and ``[[tool.uv.index]]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packaging.markers import Marker

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import uv_lock

# A name with its extras, its versions, its marker.
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(\[[^\]]*\])?([^;]*)(?:;(.*))?")


def resolved(requirements: Iterable[str], content: Mapping[str, Any], path: Path, field: str) -> list[str]:
    """
    Give requirements for an installer that knows no such sources: else it would look a private name up on PyPI.

    Addresses are given as they are written, those of this host's folders, too.

    :param content: of the ``pyproject.toml``
    :raises ConfigurationError: a source is of this host alone by its kind, or is no index and depends on the platform
    """
    settings = (content.get("tool") or {}).get("uv") or {}
    sources = {uv_lock.normal(name): source for name, source in (settings.get("sources") or {}).items()}
    indexes = {str(one.get("name", place)): one for place, one in enumerate(settings.get("index") or ())}
    # All packages may come from these; from one that is explicit those alone that name it.
    used = [name for name, one in indexes.items() if not one.get("explicit")]
    lines = []
    for line in requirements:
        found = _REQUIREMENT.fullmatch(line)
        source = sources.get(uv_lock.normal(found[1])) if found else None
        if found is None or source is None:
            lines.append(line)
            continue
        name, extras, _, marker = found.groups("")
        entries = source if isinstance(source, list) else [source]
        if all(isinstance(entry, Mapping) and "index" in entry for entry in entries):
            # All, for the cluster may be another platform; uv takes a package from the first index that has it.
            for entry in sorted(entries, key=_is_for_another_platform):
                if entry["index"] not in indexes:
                    raise _wrong(path, field, f"takes {name} from the unknown index {entry['index']!r}")
                used += [entry["index"]] if entry["index"] not in used else []
            lines.append(line)
        else:
            place = _place(_only(entries, name, path, field), name, path, field)
            lines.append(f"{name}{extras} @ {place}" + (f" ;{marker}" if marker else ""))
    options = (_option(indexes[name]) for name in used)
    return [*options, *lines]


def _is_for_another_platform(source: Mapping[str, Any]) -> bool:
    try:
        return "marker" in source and not Marker(source["marker"]).evaluate()
    except ValueError:  # it is none
        return True


def _only(entries: list[Any], name: str, path: Path, field: str) -> Mapping[str, Any]:
    source = entries[0] if len(entries) == 1 else None
    if not isinstance(source, Mapping) or {"marker", "extra", "group"} & source.keys():
        hint = "Run 'uv lock': what is locked is read instead"
        raise _wrong(path, field, f"takes {name} from several places, by conditions", hint=hint)
    return source


def _place(source: Mapping[str, Any], name: str, path: Path, field: str) -> str:
    folder = f"#subdirectory={source['subdirectory']}" if "subdirectory" in source else ""
    if "url" in source:
        return f"{source['url']}{folder}"
    if "git" in source:
        commit = next((f"@{source[kind]}" for kind in ("rev", "tag", "branch") if kind in source), "")
        return f"git+{source['git']}{commit}{folder}"
    raise _wrong(path, field, f"takes {name} from this host alone", hint=f"Ship {name} by 'py_modules'")


def _option(index: Mapping[str, Any]) -> str:
    if index.get("format") == "flat":
        return f"--find-links {index.get('url')}"
    return f"{'--index-url' if index.get('default') else '--extra-index-url'} {index.get('url')}"


def _wrong(path: Path, field: str, what: str, *, hint: str | None = None) -> ConfigurationError:
    return ConfigurationError(f"'{field}' names a project that {what}", where=str(path), hint=hint)
