"""Ships the local code that a request names, and checks what Ray is to load from elsewhere; runs in the worker."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.errors import ConfigurationError, PackageTooLargeError
from airflow_provider_air.ray_api.code_files import TARS, located
from airflow_provider_air.ray_api.packages import Package, package_folder, package_path, package_wheel

if TYPE_CHECKING:
    from airflow_provider_air.contracts.jobs import JobRequest

# It is in the worker's memory while it is written.
MAX_STAGED_BYTES = 1024 * 1024 * 1024
_SHOWN = "Ray shows it to whoever can list jobs: ship a folder, or let the cluster's own secret store open the place"
REMOTE_SCHEMES = ("gcs", "s3", "gs", "http", "https", "azure", "abfss", "file", "local")
# What Ray unpacks, by field (2.60, ``_common/runtime_env_package.py``).
REMOTE_ARCHIVES = {"working_dir": (".zip", *TARS), "py_modules": (".zip", ".whl", *TARS)}


def check_excludes(name: str, patterns: Any) -> tuple[str, ...]:
    """:raises ConfigurationError: this is no list of patterns."""
    # A lone string is a sequence too: of one-letter patterns, "*" among them.
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, (str, PurePath)) for pattern in patterns):
        raise ConfigurationError(f"'{name}' must be a list of glob patterns, not {patterns!r}")
    return tuple(str(pattern) for pattern in patterns)


class Packing:
    """Packs code, each folder once: what was packed to be checked is what is sent. Holds all that it has packed."""

    def __init__(self) -> None:
        self.wheel = cache(package_wheel)
        self.path = cache(package_path)
        self.folder = cache(package_folder)
        self.working_dir = cache(_packed_working_dir)


def _packed_working_dir(
    path: Path, excludes: tuple[str, ...], within: tuple[Path, ...], may_be_staged: bool
) -> tuple[Package, bool]:
    """
    Give the package, and whether it is for the storage, because Ray takes none of its size.

    :raises PackageTooLargeError: it may not go there, or is too large for that, too
    """
    try:
        return package_path(path, excludes=excludes, links_within=within), False
    except PackageTooLargeError:
        if not may_be_staged:
            raise
    # Of an archive from elsewhere, Ray takes the one folder at its top away (2.60).
    limit = MAX_STAGED_BYTES
    return package_path(path, prefix="code/", excludes=excludes, limit_bytes=limit, links_within=within), True


def ship_code(
    request: JobRequest, environment: dict[str, Any], packing: Packing
) -> tuple[list[Package], list[Package]]:
    """
    Put the packages' names where ``working_dir`` and ``py_modules`` name local code.

    :param environment: the runtime environment to be sent; changed in place
    :param packing: what packs it
    :return: what goes to Ray, and what goes to the storage because it is too large for that
    :raises ConfigurationError: something of it cannot travel; the message names the field
    """
    more = check_excludes("runtime_env excludes", environment.pop("excludes", None) or ())
    excludes = (*check_excludes("excludes", request.excludes), *more)
    packages, staged = _ship_working_dir(request, environment, excludes, packing)
    return [*packages, *_ship_modules(request, environment, excludes, packing)], staged


def _ship_working_dir(
    request: JobRequest, environment: dict[str, Any], excludes: tuple[str, ...], packing: Packing
) -> tuple[list[Package], list[Package]]:
    inside = environment.pop("working_dir", None)
    if inside and request.working_dir:
        raise ConfigurationError("'working_dir' is given twice", hint="Leave it out of 'runtime_env'")
    source = inside if request.working_dir is None else request.working_dir
    if source is None:
        return [], []
    if _is_remote(source, "working_dir"):
        environment["working_dir"] = source
        return [], []
    path, within = _found(source, "working_dir", request.local_roots)
    package, is_staged = packing.working_dir(path, excludes, within, request.code_uri is not None)
    if is_staged:
        environment["working_dir"] = _loadable(f"{request.code_uri}/{package.name}")
        return [], [package]
    environment["working_dir"] = package.uri
    return [package], []


def _loadable(place: str) -> str:
    """Give a path as the URI by which Ray loads it; a URI stays as it is."""
    return place if "://" in place else Path(place).as_uri()


def _ship_modules(
    request: JobRequest, environment: dict[str, Any], excludes: tuple[str, ...], packing: Packing
) -> list[Package]:
    modules = environment.get("py_modules")
    if not modules:
        return []
    if not isinstance(modules, (list, tuple)):
        raise ConfigurationError(f"'py_modules' must be a list of folders, files or URIs, not {modules!r}")
    packages, uris = [], []
    for source in modules:
        if _is_remote(source, "py_modules"):
            uris.append(str(source))
            continue
        path, within = _found(source, "py_modules", request.local_roots)
        if path.suffix == ".whl" and path.is_file():
            package = packing.wheel(path, "py_modules")
        else:
            # The folder itself is what gets imported: it keeps the name that it is given, also where that is a link's.
            prefix = f"{os.path.basename(os.path.abspath(path))}/" if path.is_dir() else ""
            package = packing.path(path, prefix=prefix, excludes=excludes, field_name="py_modules", links_within=within)
        packages.append(package)
        uris.append(package.uri)
    environment["py_modules"] = uris
    return packages


def _found(source: str | PurePath, field_name: str, roots: Sequence[Path]) -> tuple[Path, tuple[Path, ...]]:
    """Give where local code is, and what its links may lead into: the whole bundle that it is in."""
    path = located(source, roots)
    if not path.exists():
        relative = (
            "" if path.is_absolute() and Path(source).is_absolute() else "A relative path starts at the DAG file's "
        )
        raise ConfigurationError(
            f"'{field_name}' names code that does not exist",
            where=str(path),
            hint=f"{relative}folder, at that of its bundle, or at the worker's own"
            if relative
            else f"Fix '{field_name}'",
        )
    real = Path(os.path.realpath(path))
    return path, tuple(root for root in roots if real.is_relative_to(os.path.realpath(root)))


def _is_remote(source: Any, field_name: str) -> bool:
    """
    Tell whether Ray loads it, and not we.

    :raises ConfigurationError: Ray could not
    """
    if not isinstance(source, (str, PurePath)) or not str(source).strip():
        raise ConfigurationError(f"'{field_name}' must be a path of a file or folder or a URI, not {source!r}")
    if isinstance(source, PurePath) or "://" not in source:
        return False
    check_bare(source, f"'{field_name}'", hint=_SHOWN)
    parts = urlsplit(source)
    # A query is a signature, as in what clouds give to download a file for an hour.
    bare = source.partition("?")[0]
    if parts.scheme not in REMOTE_SCHEMES:
        raise ConfigurationError(
            f"Ray cannot load '{field_name}' from {parts.scheme}://",
            where=bare,
            hint=f"Use one of: {', '.join(REMOTE_SCHEMES)}",
        )
    archives = REMOTE_ARCHIVES[field_name]
    if parts.scheme == "local":
        if not parts.path.startswith("/") or parts.netloc:
            raise ConfigurationError(
                f"'{field_name}' must name a folder of every node, such as local:///app", where=source
            )
    elif not (parts.netloc + parts.path).endswith(archives):
        raise ConfigurationError(f"A remote '{field_name}' must be an archive: {', '.join(archives)}", where=bare)
    return True
