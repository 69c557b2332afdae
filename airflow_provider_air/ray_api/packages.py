"""
Turns a folder into a package that Ray unpacks on the cluster, and puts it there.

A package's name is the hash of its content, so the same code is uploaded once. Ray's own order is kept
before every submission: ask (which also keeps the package for ten minutes), upload where absent, submit.
"""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_air.errors import ConfigurationError, PackageTooLargeError
from airflow_provider_air.ray_api.code_files import (
    TARS,
    ZIPS,
    CodeFile,
    checked_name,
    files_of_archive,
    files_of_file,
    files_of_folder,
)
from airflow_provider_air.ray_api.requests import MAX_PACKAGE_BYTES, get_package, put_package

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.client import RayClient

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
    excludes: Sequence[str] = (),
    field_name: str = "working_dir",
    limit_bytes: int | None = None,
    obeys_ignore_files: bool = False,
    links_within: Sequence[Path] | None = (),
) -> Package:
    """
    Pack a folder of code, which may be reached by a link; for what travels see :mod:`.code_files`.

    :param prefix: folder inside the archive that the files go below
    :param excludes: Ray's patterns of what stays out, beside Ray's own default
    :param field_name: the argument that named the folder, for messages
    :param limit_bytes: of the archive; by default what Ray takes
    :param obeys_ignore_files: whether ``.gitignore`` and ``.rayignore`` are heard
    :param links_within: folders that links may lead into, beside ``folder`` itself; None: anywhere
    :raises ConfigurationError: the folder is absent or empty, or something in it cannot travel; the message says what
    :raises PackageTooLargeError: it is too large
    """
    if not folder.is_dir():
        raise ConfigurationError(
            "The code folder does not exist or is no folder", where=str(folder), hint=f"Fix '{field_name}'"
        )
    files = files_of_folder(
        folder, field_name, excludes=excludes, obeys_ignore_files=obeys_ignore_files, links_within=links_within
    )
    return _package(files, folder, prefix, field_name, limit_bytes)


def package_path(
    path: Path,
    *,
    prefix: str = "",
    excludes: Sequence[str] = (),
    field_name: str = "working_dir",
    limit_bytes: int | None = None,
    links_within: Sequence[Path] = (),
) -> Package:
    """
    Pack what an author names: a folder, an archive as Ray takes it, a wheel, or one Python file.

    A ``prefix`` stands before a folder's files, and before an archive's. Parameters and errors are else those of
    :func:`package_folder`; ignore files are heard.
    """
    if not path.is_file():
        return package_folder(
            path,
            prefix=prefix,
            excludes=excludes,
            field_name=field_name,
            limit_bytes=limit_bytes,
            obeys_ignore_files=True,
            links_within=links_within,
        )
    if path.name.endswith((*ZIPS, *TARS)):
        return _package(files_of_archive(path, field_name), path, prefix, field_name, limit_bytes)
    if path.suffix == ".py":
        return _package(files_of_file(path, field_name), path, prefix, field_name, limit_bytes)
    raise ConfigurationError(
        f"'{field_name}' is a file that is no code to ship",
        where=str(path),
        hint=f"Name a folder, an archive ({', '.join((*ZIPS, *TARS))}) or a .py file",
    )


def package_wheel(path: Path, field_name: str) -> Package:
    """
    Give a wheel as it is, for Ray to install; its name tells its content by a build tag.

    Ray knows wheels by their names alone: without that, one that was built again would stay what it was.

    :raises ConfigurationError: it cannot be read, or its name is no wheel's
    :raises PackageTooLargeError: it is too large
    """
    parts = path.stem.split("-")
    if len(parts) not in (5, 6):
        raise ConfigurationError(f"'{field_name}' names a wheel whose name is none of a wheel's", where=str(path))
    (file,) = files_of_file(path, field_name)
    data = file.read()
    if len(data) > MAX_PACKAGE_BYTES:
        raise _too_large(len(data), str(path), MAX_PACKAGE_BYTES)
    build = f"{parts[2] if len(parts) == 6 else 1}_{hashlib.sha256(data).hexdigest()[:16]}"
    return Package("-".join((*parts[:2], build, *parts[-3:])) + ".whl", data)


def upload(client: RayClient, package: Package) -> None:
    """
    Make sure that the cluster has the package; runs in the worker, right before the submission.

    :raises UnavailableError: the cluster does not answer
    """
    if not client.send(get_package(package.name)):
        client.send(put_package(package.name, package.data))


def _package(files: Iterable[CodeFile], source: Path, prefix: str, field_name: str, limit_bytes: int | None) -> Package:
    limit_bytes = limit_bytes or MAX_PACKAGE_BYTES
    buffer = io.BytesIO()
    count, total = 0, 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            total += file.size_bytes
            # Code compresses about fourfold; far above that there is no need to read on.
            if total > 8 * limit_bytes:
                raise _too_large(total, str(source), limit_bytes)
            name = f"{prefix}{checked_name(file, field_name)}"
            archive.writestr(_entry(name, 0o755 if file.is_executable else 0o644), file.read())
            count += not name.endswith("/")
    if not count:
        raise ConfigurationError("There are no files of code to ship", where=str(source), hint=f"Fix '{field_name}'")
    return _named(buffer.getvalue(), str(source), limit_bytes)


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, ZIP_TIME)
    kind, mode = (stat.S_IFDIR, 0o755) if name.endswith("/") else (stat.S_IFREG, mode)
    info.external_attr = (kind | mode) << 16
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
