"""URIs and small files on whatever filesystem Ray's own storage uses (pyarrow)."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import Any, Dict, List, Optional, Tuple

import pyarrow.fs

from ..wire import outages
from ..wire.problems import ConfigurationProblem

DEFAULT_STORAGE_PATH = "~/ray_results"


def join(uri: str, *parts: str) -> str:
    """Append path parts to a URI or path, before its query (``s3://b/p?endpoint_override=...``)."""
    base, question, query = uri.partition("?")
    return "/".join([base.rstrip("/"), *parts]) + question + query


def open_uri(uri: str, field: str) -> Tuple[Any, str]:
    """
    Find the filesystem of a URI or absolute path, and the path on it.

    :raises ConfigurationProblem: no filesystem for it; the message names ``field``
    :raises Unavailable: the storage, which is asked for a bucket's region, is away
    """
    cannot = "%s: %r is no usable URI or absolute path"
    # Arrow has no way to look at a URI alone.
    return outages.asked(lambda: located(uri), cannot % (field, uri), away="%s: cannot open %s" % (field, uri))


def located(uri: str) -> Tuple[Any, str]:
    """Find the filesystem and the path, with the job's token where it has one; raises what pyarrow raises."""
    found: Tuple[Any, str] = _by_token(uri) or pyarrow.fs.FileSystem.from_uri(uri)
    return found


def for_ray(uri: str) -> Tuple[str, Any]:
    """
    Give what Ray takes as a path and its filesystem: the URI and None, since Ray finds the filesystem itself.

    Where the job has a token, it is the path without its scheme, on the filesystem that knows the token.
    """
    found = _by_token(uri)
    return (uri, None) if found is None else (found[1], found[0])


def for_ray_data(uri: str) -> Tuple[str, Any]:
    """Give the same for Ray Data, which takes a path without a scheme for a local one (Ray 2.60)."""
    found = _by_token(uri)
    return (uri, None) if found is None else ("gs://" + found[1], found[0])


def _by_token(uri: str) -> Optional[Tuple[Any, str]]:
    if not uri.startswith(("gs://", "gcs://")):
        return None
    from . import gcs  # needs a pyarrow that was built with Google Cloud Storage

    return gcs.opened(uri)


def absolute(uri: str) -> str:
    """Make a relative path absolute, from the job's working directory; leave URIs alone."""
    return uri if "://" in uri else os.path.abspath(uri)


def must_exist(uri: str, field: str) -> None:
    """
    Check that a file or folder is there.

    :raises ConfigurationProblem: it is not, or the storage refuses to tell
    :raises Unavailable: the storage is away
    """
    if uri.startswith(("http://", "https://")):
        return  # pyarrow has no filesystem for it; Ray Data reads it through fsspec
    filesystem, path = open_uri(uri, field)
    cannot = "%s: cannot look at %s" % (field, uri)
    info = outages.asked(lambda: filesystem.get_file_info(path.rstrip("/")), cannot)
    if info.type == pyarrow.fs.FileType.NotFound:
        raise ConfigurationProblem("%s: there is no file or folder at %s" % (field, uri))


def must_take_files(uri: str, field: str) -> None:
    """
    Write a small object to a bucket, before compute is spent; folders are left to their own errors.

    It is removed where that is allowed: where nothing may be, it stays.

    :raises ConfigurationProblem: there is no such bucket, or it denies us
    :raises Unavailable: the storage is away
    """
    filesystem, path = open_uri(uri, field)
    if filesystem.type_name == "local":
        return
    probe = "%s/air-probe-%s" % (path.rstrip("/"), uuid.uuid4().hex[:8])
    outages.asked(lambda: _write(filesystem, probe, b"probe"), "%s: this cluster cannot write to %s" % (field, uri))
    with contextlib.suppress(OSError):
        filesystem.delete_file(probe)


def storage_of(config: Dict[str, Any]) -> str:
    """
    Say where a run's folder goes; Ray's own default where the author names nothing.

    :raises ConfigurationProblem: no filesystem for it, or a bucket that is absent or denies this cluster
    :raises Unavailable: the storage is away
    """
    uri = absolute(os.path.expanduser(config.get("storage_path") or DEFAULT_STORAGE_PATH))
    must_take_files(uri, "storage_path")
    return uri


def names(uri: str) -> List[str]:
    """
    List what a folder holds; nothing where there is no folder.

    :raises Unavailable: the storage is away
    """

    return outages.patiently(lambda: [info.base_name for info in _listed(*located(uri))], "cannot list %s" % uri)


def files_below(filesystem: Any, path: str) -> Dict[str, Any]:
    """
    List all files of a folder and its folders by their paths below it; nothing where there is no folder.

    :return: pyarrow's information of each
    :raises Unavailable: the storage is away
    """
    found = outages.patiently(lambda: _listed(filesystem, path, recursive=True), "cannot list %s" % path)
    root = path.strip("/") + "/"
    is_file = pyarrow.fs.FileType.File
    return {info.path.strip("/")[len(root) :]: info for info in found if info.type == is_file}


def _listed(filesystem: Any, path: str, recursive: bool = False) -> List[Any]:
    selector = pyarrow.fs.FileSelector(path, allow_not_found=True, recursive=recursive)
    found: List[Any] = filesystem.get_file_info(selector)
    return found


def exists(filesystem: Any, path: str) -> bool:
    """Look for a file or folder; raises what pyarrow raises."""
    return bool(filesystem.get_file_info(path).type != pyarrow.fs.FileType.NotFound)


def remove(filesystem: Any, path: str) -> None:
    """
    Remove a file, where it is there still.

    :raises Unavailable: the storage is away
    """

    def once() -> None:
        if exists(filesystem, path):
            with contextlib.suppress(FileNotFoundError):
                filesystem.delete_file(path)

    outages.patiently(once, "cannot remove %s" % path)


def remove_empty(filesystem: Any, path: str) -> None:
    """Remove a folder that holds nothing, where there are such things; one that somebody writes to stays."""
    if filesystem.type_name == "local":
        with contextlib.suppress(OSError):
            os.rmdir(path)


def read(filesystem: Any, path: str) -> Optional[bytes]:
    """
    Read a small file, or give None where there is none.

    :raises Unavailable: the storage is away
    """

    def look() -> bytes:
        with filesystem.open_input_stream(path) as stream:
            data: bytes = stream.read()
            return data

    try:
        return outages.patiently(look, "cannot read %s" % path)
    except FileNotFoundError:
        return None


def make_folder(filesystem: Any, path: str) -> None:
    """Make a folder where there are such things; on an object store this would need rights for nothing."""
    if filesystem.type_name != "local":
        return
    for left in reversed(range(10)):
        try:
            filesystem.create_dir(path, recursive=True)
            return
        except FileNotFoundError:  # somebody has removed its parent, empty as it was, meanwhile
            if not left:
                raise


def write(filesystem: Any, path: str, data: bytes, patience: Optional[float] = None) -> None:
    """
    Write a small file so that a reader sees the old content or the new, never a part.

    :param patience: for how many seconds a storage that is away is asked again; by default as long as all others
    :raises Unavailable: the storage is away
    """
    outages.patiently(lambda: _write(filesystem, path, data), "cannot write %s" % path, patience)


def _write(filesystem: Any, path: str, data: bytes) -> None:
    make_folder(filesystem, os.path.dirname(path))
    if filesystem.type_name != "local":
        # Object stores show an object only once it is complete.
        with filesystem.open_output_stream(path) as stream:
            stream.write(data)
        return
    part = "%s.%d.part" % (path, os.getpid())
    with filesystem.open_output_stream(part) as stream:
        stream.write(data)
    os.replace(part, path)
