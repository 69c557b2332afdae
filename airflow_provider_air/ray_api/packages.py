"""
Turns a folder into a package that Ray unpacks on the cluster, and puts it there.

A package's name is the hash of its content, so the same code is uploaded once. Ray's own order is kept
before every submission: ask (which also keeps the package for ten minutes), upload where absent, submit.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pathspec

from airflow_provider_air.errors import ConfigurationError, PackageTooLargeError
from airflow_provider_air.ray_api.requests import MAX_PACKAGE_BYTES, get_package, put_package

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.client import RayClient

# What never belongs into a job; more can be excluded by the author.
ALWAYS_EXCLUDED = (".git", ".venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "*.pyc")
# A fixed time stamp makes equal content equal bytes; ZIP's calendar starts in 1980.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """
    A zip archive and the name that its content gives it.

    :param data: the archive's bytes; Ray takes at most :data:`MAX_PACKAGE_BYTES`
    """

    name: str
    data: bytes

    @property
    def uri(self) -> str:
        """What goes into ``runtime_env``."""
        return f"gcs://{self.name}"


def package_files(files: Mapping[str, bytes], *, mode: int = 0o644) -> Package:
    """
    Pack files that are in memory.

    :param files: archive path to content
    :param mode: their rights where Ray unpacks them
    :raises ConfigurationError: together they are too large to ship
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(_entry(name, mode), files[name])
    return _named(buffer.getvalue(), f"{len(files)} files", MAX_PACKAGE_BYTES)


def package_folder(
    folder: Path,
    *,
    prefix: str = "",
    excludes: tuple[str, ...] = (),
    field_name: str = "working_dir",
    limit_bytes: int | None = None,
    may_link_out: bool = False,
    obeys_ignore_files: bool = False,
) -> Package:
    """
    Pack a folder of code, which may be reached by a link; linked folders inside are left out.

    :param prefix: folder inside the archive that the files go below
    :param excludes: glob patterns on file and folder names or on paths relative to ``folder``
    :param field_name: the argument that named the folder, for messages
    :param limit_bytes: of the archive; by default what Ray takes
    :param may_link_out: whether files may be links to what lies elsewhere, as some installers make them
    :param obeys_ignore_files: leave out what a ``.gitignore`` or ``.rayignore`` in any of its folders names, as Ray
        does with a local ``working_dir`` (2.60); ``RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1`` is heard, too
    :raises ConfigurationError: the folder is absent or empty, or a file of it is a link that leads out of it
    :raises PackageTooLargeError: it is too large
    """
    if not folder.is_dir():
        raise ConfigurationError(
            "The code folder does not exist or is no folder", where=str(folder), hint=f"Fix '{field_name}'"
        )
    limit_bytes = limit_bytes or MAX_PACKAGE_BYTES
    root = folder.resolve()
    buffer = io.BytesIO()
    count, total = 0, 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, relative in _walk(folder, ALWAYS_EXCLUDED + excludes, _ignore_files() if obeys_ignore_files else ()):
            if not may_link_out and not path.resolve().is_relative_to(root):
                raise _leads_out(path, field_name)
            size = path.stat().st_size
            total += size
            # Code compresses about fourfold; far above that there is no need to read on.
            if total > 8 * limit_bytes:
                raise _too_large(total, str(folder), limit_bytes)
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.writestr(_entry(f"{prefix}{relative}", mode), _content(path, field_name))
            count += 1
    if not count:
        raise ConfigurationError("The code folder has no files to ship", where=str(folder), hint=f"Fix '{field_name}'")
    return _named(buffer.getvalue(), str(folder), limit_bytes)


def upload(client: RayClient, package: Package) -> None:
    """
    Make sure that the cluster has the package; runs in the worker, right before the submission.

    :raises UnavailableError: the cluster does not answer
    """
    if not client.send(get_package(package.name)):
        client.send(put_package(package.name, package.data))


def _ignore_files() -> tuple[str, ...]:
    git = () if os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") == "1" else (".gitignore",)
    return (*git, ".rayignore")


def _walk(folder: Path, excludes: tuple[str, ...], ignore_files: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    def excluded(name: str, relative: str) -> bool:
        return any(fnmatch(name, p) or fnmatch(relative, p) or fnmatch(relative, p.rstrip("/")) for p in excludes)

    ignoring: dict[Path, _Ignoring] = {}
    for root, folders, names in os.walk(folder):
        place = Path(root)
        here = place.relative_to(folder)
        rules = ignoring[place] = _Ignoring.of(place, ignore_files, ignoring.get(place.parent))
        folders[:] = sorted(
            name
            for name in folders
            if not excluded(name, (here / name).as_posix()) and not rules.names(place / name, is_folder=True)
        )
        for name in sorted(names):
            relative = (here / name).as_posix()
            path = place / name
            if path.is_file() and not excluded(name, relative) and not rules.names(path):
                yield path, relative


@dataclass(frozen=True)
class _Ignoring:
    """What the ignore files of a folder and of those above it leave out, each by paths below its own folder."""

    rules: tuple[tuple[Path, pathspec.GitIgnoreSpec], ...] = ()

    @classmethod
    def of(cls, folder: Path, names: tuple[str, ...], above: _Ignoring | None) -> _Ignoring:
        lines = [(folder / name).read_text(errors="replace") for name in names if (folder / name).is_file()]
        own = [(folder, pathspec.GitIgnoreSpec.from_lines(text.splitlines())) for text in lines]
        return cls((*(above.rules if above else ()), *own))

    def names(self, path: Path, *, is_folder: bool = False) -> bool:
        end = "/" if is_folder else ""
        return any(rule.match_file(path.relative_to(place).as_posix() + end) for place, rule in self.rules)


def _leads_out(path: Path, field_name: str) -> ConfigurationError:
    return ConfigurationError(
        f"A file of '{field_name}' is a link that leads out of the folder, to what its author may not want to ship",
        where=str(path),
        hint="Copy what it names into the folder, or leave it out by 'excludes'",
    )


def _content(path: Path, field_name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"A file of '{field_name}' cannot be read: {error}", where=str(path)) from error


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, ZIP_TIME)
    info.external_attr = (0o100000 | mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _named(data: bytes, what: str, limit_bytes: int) -> Package:
    if len(data) > limit_bytes:
        raise _too_large(len(data), what, limit_bytes)
    return Package(f"_ray_pkg_{hashlib.sha256(data).hexdigest()[:32]}.zip", data)


def _too_large(size: int, what: str, limit_bytes: int) -> PackageTooLargeError:
    return PackageTooLargeError(
        f"The code to ship is too large: {size / 2**20:.0f} MiB, and at most {limit_bytes // 2**20} MiB travel",
        where=what,
        hint="Exclude data with 'excludes', bake code into the image, give the task a 'storage' that takes it, or give "
        "a remote URI as 'working_dir'",
    )
