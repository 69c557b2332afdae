"""
What of a folder, a file or an archive is code to ship, by Ray's rules (2.60, ``_private/runtime_env/packaging.py``).

A path is left out where ``excludes``, or an ignore file of its folder or of one above, names it; what is below such a
folder is not looked at. A pattern meets a path without a slash at its end, and each ignore file is asked alone: so
``data/`` leaves out what is in the folder, and no ``!`` brings back what another file has left out.
"""

from __future__ import annotations

import lzma
import ntpath
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.ignore_patterns import IgnorePatterns

# Ray's own default, in both its forms (2.60, ``_private/ray_constants.py``).
DEFAULT_EXCLUDES = ".git,.venv,venv,__pycache__"
DEFAULT_EXCLUDES_ENV = "RAY_OVERRIDE_RUNTIME_ENV_DEFAULT_EXCLUDES"
# Local archives that Ray takes, and a wheel, which is a zip of modules.
ZIPS, TARS = (".zip", ".whl"), (".tar.gz", ".tgz", ".tar.xz")
# A broken archive raises any of them; RuntimeError where it wants a password.
UNREADABLE = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)

T = TypeVar("T")


@dataclass(frozen=True)
class CodeFile:
    """
    One file to ship, or an empty folder, whose name ends with a slash.

    :param name: its path inside of what is shipped
    :param place: where it is on this host, for messages
    """

    name: str
    place: str
    size_bytes: int = 0
    read: Callable[[], bytes] = bytes
    is_executable: bool = False


def located(source: str | PurePath, roots: Sequence[Path]) -> Path:
    """
    Find what an author names: a relative path starts at the first of ``roots`` that has it, else at the process's own.

    :return: an absolute path, which exists if any does
    """
    places = [Path(os.path.abspath(root)) / source for root in (*roots, Path.cwd())]
    return next((place for place in places if place.exists()), places[0])


def default_excludes() -> tuple[str, ...]:
    """Give what Ray leaves out of any folder, unless its environment variable says otherwise."""
    return tuple(
        name.strip() for name in os.environ.get(DEFAULT_EXCLUDES_ENV, DEFAULT_EXCLUDES).split(",") if name.strip()
    )


def files_of_folder(
    folder: Path,
    field_name: str,
    *,
    excludes: Sequence[str] = (),
    obeys_ignore_files: bool = False,
    links_within: Sequence[Path] | None = (),
) -> Iterator[CodeFile]:
    """
    Give what a folder ships; links are followed, and what leads nowhere, sockets and pipes are left out.

    :param folder: it may be reached by links, which do not matter
    :param field_name: the argument that named it, for messages
    :param excludes: Ray's patterns, beside its own default; a later one may take an earlier one back by ``!``
    :param obeys_ignore_files: whether ``.gitignore`` and ``.rayignore`` are heard;
        ``RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1`` is, too
    :param links_within: folders that links may lead into, beside ``folder`` itself; None: anywhere
    :raises ConfigurationError: something cannot be read, or a link leads out or back to a folder above it
    """
    # Resolved once: what git-sync puts in its place meanwhile is another revision.
    root = Path(os.path.realpath(folder))
    ignore_files = ()
    if obeys_ignore_files:
        git = () if os.environ.get("RAY_RUNTIME_ENV_IGNORE_GITIGNORE") == "1" else (".gitignore",)
        ignore_files = (*git, ".rayignore")
    within = None if links_within is None else (root, *(Path(os.path.realpath(place)) for place in links_within))
    walk = _Walk(root, field_name, ignore_files, within)
    yield from walk.below(root, (_Rules(root, IgnorePatterns([*default_excludes(), *excludes])),), ())


def files_of_file(path: Path, field_name: str) -> Iterator[CodeFile]:
    """:raises ConfigurationError: it cannot be read."""
    yield _on_disk(path, path.name, field_name)


def files_of_archive(path: Path, field_name: str) -> Iterator[CodeFile]:
    """
    Give what a local archive holds but its links, as Ray unpacks it; read while it is gone through.

    :raises ConfigurationError: it is no such archive, or cannot be read
    """
    try:
        yield from (_in_zip if path.name.endswith(ZIPS) else _in_tar)(path, field_name)
    except UNREADABLE as error:
        raise _unreadable(path, field_name, error) from error


@dataclass(frozen=True)
class _Rules:
    """What the patterns of one place leave out below it."""

    place: Path
    patterns: IgnorePatterns

    def names(self, path: Path) -> bool:
        return self.patterns.names(path.relative_to(self.place).as_posix())


@dataclass(frozen=True)
class _Walk:
    root: Path
    field_name: str
    ignore_files: tuple[str, ...]
    within: tuple[Path, ...] | None

    def below(self, folder: Path, rules: tuple[_Rules, ...], above: tuple[Path, ...]) -> Iterator[CodeFile]:
        """:param above: the real places of the folders on the way down."""
        rules = (*rules, *_readable(lambda: self._own_rules(folder), self.field_name, folder))
        if self._is_left_out(folder, rules):
            return
        self._check_link(folder)
        real = Path(os.path.realpath(folder))
        if real in above:
            raise _wrong(folder, self.field_name, "is a link that leads back to a folder above it")
        inside = _readable(lambda: sorted(folder.iterdir()), self.field_name, folder)
        if not inside and folder != self.root:
            yield CodeFile(self._name(folder) + "/", str(folder))
        for path in inside:
            if path.is_file() and not self._is_left_out(path, rules):
                self._check_link(path)
                yield _on_disk(path, self._name(path), self.field_name)
        for path in inside:
            if path.is_dir():
                yield from self.below(path, rules, (*above, real))

    def _own_rules(self, folder: Path) -> list[_Rules]:
        files = [folder / name for name in self.ignore_files if (folder / name).is_file()]
        texts = [file.read_text("utf-8", errors="surrogateescape") for file in files]
        return [_Rules(folder, IgnorePatterns(text.split("\n"))) for text in texts]

    @staticmethod
    def _is_left_out(path: Path, rules: tuple[_Rules, ...]) -> bool:
        return any(rule.names(path) for rule in rules)

    def _check_link(self, path: Path) -> None:
        if self.within is None or not path.is_symlink():
            return
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(place) for place in self.within):
            raise _wrong(path, self.field_name, "is a link that leads out of the folder and of the DAG's bundle")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def checked_name(file: CodeFile, field_name: str) -> str:
    """:raises ConfigurationError: Ray would not unpack a file of this name, and would not say so."""
    try:
        file.name.encode()
    except UnicodeEncodeError:
        raise _wrong(os.fsencode(file.place), field_name, "has a name that is no UTF-8") from None
    parts = PurePosixPath(file.name).parts
    if "\\" in file.name or ".." in parts or ntpath.isabs(file.name) or ntpath.splitdrive(file.name)[0]:
        raise _wrong(file.place, field_name, "has a name that Ray does not unpack")
    return file.name


def _on_disk(path: Path, name: str, field_name: str) -> CodeFile:
    found = _readable(path.stat, field_name, path)
    read = partial(_readable, path.read_bytes, field_name, path)
    return CodeFile(name, str(path), found.st_size, read, bool(found.st_mode & 0o111))


def _in_zip(path: Path, field_name: str) -> Iterator[CodeFile]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if stat.S_ISLNK(mode):
                continue
            read = partial(_readable, partial(archive.read, entry), field_name, f"{path}: {entry.filename}")
            yield CodeFile(entry.filename, f"{path}: {entry.filename}", entry.file_size, read, bool(mode & 0o111))


def _in_tar(path: Path, field_name: str) -> Iterator[CodeFile]:
    def content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        file = archive.extractfile(member)
        return b"" if file is None else file.read()

    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            name, place = member.name.removeprefix("./"), f"{path}: {member.name}"
            if member.isdir() and name not in ("", "."):
                yield CodeFile(f"{name}/", place)
            elif member.isfile():
                read = partial(_readable, partial(content, archive, member), field_name, place)
                yield CodeFile(name, place, member.size, read, bool(member.mode & 0o111))


def _readable(read: Callable[[], T], field_name: str, place: Path | str) -> T:
    try:
        return read()
    except UNREADABLE as error:
        raise _unreadable(place, field_name, error) from error


def _unreadable(place: Path | str, field_name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"A file of '{field_name}' cannot be read: {error}", where=str(place))


def _wrong(place: Path | str | bytes, field_name: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"A file of '{field_name}' {what}",
        where=str(place),
        hint="Leave it out by 'excludes', or put a copy in its place",
    )
