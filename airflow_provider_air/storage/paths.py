"""What storages have in common about paths: they stay below a root, which in a bucket is a prefix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.errors import ConfigurationError


def check_path(path: str) -> str:
    """
    Refuse paths that leave the root.

    :raises ConfigurationError: the path is absolute or climbs
    """
    if path.startswith("/") or ".." in path.split("/"):
        raise ConfigurationError(f"A storage path stays below its root, but {path!r} does not")
    return path


def check_below(path: str, where: str) -> str:
    """
    Refuse also the root itself, where a file or a folder below it is meant.

    :param where: the root's URI, for the message
    :raises ConfigurationError: the path is empty, absolute or climbs
    """
    if not check_path(path).strip("/. "):
        raise ConfigurationError(f"The path {path!r} names the storage's root, not a file or folder in it", where=where)
    return path


@dataclass(frozen=True)
class BucketRoot:
    """
    The part of a bucket in which a storage keeps its objects.

    :param prefix: without slashes at its ends; may be empty
    """

    scheme: str
    bucket: str
    prefix: str

    @classmethod
    def parse(cls, root: Any, scheme: str, what: str) -> BucketRoot:
        """
        Read ``scheme://bucket/prefix``.

        :param what: what it is, for the message
        :raises ConfigurationError: it is not of this form
        """
        if isinstance(root, str):
            check_bare(root, what, hint="The connection has them")
        start = f"{scheme}://"
        bucket, _, prefix = root.removeprefix(start).partition("/") if isinstance(root, str) else ("", "", "")
        if not bucket or not root.startswith(start) or "?" in root:
            raise ConfigurationError(f"{what} must be {start}bucket/prefix, not {root!r}")
        return cls(scheme, bucket, check_path(prefix.strip("/")))

    def key(self, path: str) -> str:
        """
        Give the key of a file; of a folder it is what the keys below it start with, without the slash.

        :raises ConfigurationError: the path leaves the root
        """
        return "/".join(part for part in (self.prefix, check_path(path).strip("/")) if part)

    def file_key(self, path: str) -> str:
        """
        Give the key of what is not the root itself.

        :raises ConfigurationError: the path leaves the root, or is the root
        """
        return self.key(check_below(path, self.uri()))

    def folder_key(self, path: str) -> str:
        """
        Give what the keys of all files below a folder start with, and no others.

        :raises ConfigurationError: the path leaves the root
        """
        return f"{key}/" if (key := self.key(path)) else ""

    def path(self, key: str) -> str:
        """Give the path of a key, which lies below the prefix."""
        return key.removeprefix(f"{self.prefix}/" if self.prefix else "")

    def uri(self, path: str = "") -> str:
        """Give the URI of a path."""
        return f"{self.scheme}://{self.bucket}" + (f"/{key}" if (key := self.key(path)) else "")
