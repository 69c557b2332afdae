"""
Google Cloud Storage.

:class:`GcsStorage` is what an author writes; :class:`GcsBucket` does the work, as the account that a connection opens.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_air.contracts.storage import JobAccess, StoredFile
from airflow_provider_air.drivers.wire import names as driver_names
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.credentials import check_credentials, check_lifetime
from airflow_provider_air.storage.paths import BucketRoot
from airflow_provider_air.storage.probing import write_and_read
from airflow_provider_air.storage.spool import fetched_whole, sent_whole

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import Connections, GoogleAccount

_CONTENT_TYPE = "application/octet-stream"
_IF_IT_STAYS = "If it stays, correct the connection's key or its identity"
# Metadata of an object that was written as a new one: whose request it was.
_WRITER = "air-writer"
# A metadata server gives out a token that it has had for a while.
_LONGER = "give the connection an impersonation_chain, which gets a fresh hour each time"


@dataclass
class GcsStorage:
    """
    Storage below a prefix of a bucket: ``storage=GcsStorage("google_cloud_default", "gs://bucket/prefix")``.

    :param gcp_conn_id: the ``google_cloud_platform`` connection that the worker uses: a key, an identity, an
        ``impersonation_chain``
    :param root: ``gs://bucket/prefix``
    :param credentials: ``ambient``: the Ray cluster has an identity of its own (workload identity, a service account
        of its nodes); ``session``: the job gets a token of the connection, out of sight, by which the provider's
        drivers open ``gs://``; it lasts about an hour, and the job must end before it does
    """

    template_fields: ClassVar[tuple[str, ...]] = ("gcp_conn_id", "root")
    worker_can_open: ClassVar[bool] = True

    gcp_conn_id: str = "google_cloud_default"
    root: str = ""
    credentials: str = "ambient"

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        BucketRoot.parse(self.root, "gs", "GcsStorage's 'root'")
        check_credentials(self.credentials, "GcsStorage")

    def uri(self) -> str:
        """Give the ``gs://`` URI of the root."""
        return BucketRoot.parse(self.root, "gs", "GcsStorage's 'root'").uri()

    def open(self, connections: Connections) -> GcsBucket:
        """
        Open it by the ``google_cloud_platform`` connection.

        :raises ConfigurationError: there is no such connection
        :raises MissingExtraError: the google provider is not installed
        """
        return GcsBucket(self, connections.open("google", self.gcp_conn_id))


class GcsBucket:
    """
    A :class:`~airflow_provider_air.contracts.storage.Storage` in a bucket; blocks.

    Every call raises ConfigurationError where Google refuses, UnavailableError where it does not answer.
    """

    def __init__(self, spec: GcsStorage, account: GoogleAccount) -> None:
        self._spec = spec
        self._account = account
        self._root = BucketRoot.parse(spec.root, "gs", "GcsStorage's 'root'")

    @functools.cached_property
    def _bucket(self) -> Any:
        # Late: credentials may have to be asked for.
        return self._account.storage_client().bucket(self._root.bucket)

    def uri(self, path: str = "") -> str:
        """Give the ``gs://`` URI."""
        return self._root.uri(path)

    def put(self, path: str, data: bytes) -> None:
        """Write an object; it is shown only once it is whole."""
        key = self._root.file_key(path)
        with self._calling(path):
            self._bucket.blob(key).upload_from_string(data, content_type=_CONTENT_TYPE)

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object only where there is none (``ifGenerationMatch=0``)."""
        from google.api_core.exceptions import PreconditionFailed

        key, writer = self._root.file_key(path), secrets.token_hex(8)
        with self._calling(path):
            blob = self._bucket.blob(key)
            blob.metadata = {_WRITER: writer}
            try:
                blob.upload_from_string(data, content_type=_CONTENT_TYPE, if_generation_match=0)
            except PreconditionFailed:
                # Google's client sends again what was not answered, and then finds what it has written.
                found = self._bucket.get_blob(key)
                return found is not None and (found.metadata or {}).get(_WRITER) == writer
            return True

    def writer(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file on the local disk, sent in parts once its block has ended."""
        key = self._root.file_key(path)

        def send(file: BinaryIO) -> None:
            size = file.seek(0, os.SEEK_END)
            with self._calling(path):
                self._bucket.blob(key).upload_from_file(file, rewind=True, size=size, content_type=_CONTENT_TYPE)

        return sent_whole(send)

    def reader(self, path: str) -> AbstractContextManager[BinaryIO]:
        """
        Open an object, fetched to the local disk.

        :raises FileNotFoundError: there is none
        """
        key = self._root.key(path)

        def fetch(file: BinaryIO) -> None:
            if not self._fetch(path, key, file):
                raise FileNotFoundError(errno.ENOENT, "There is no such object", self.uri(path))

        return fetched_whole(fetch)

    def read(self, path: str) -> bytes | None:
        """Read an object; None where there is none."""
        file = io.BytesIO()
        return file.getvalue() if self._fetch(path, self._root.key(path), file) else None

    def stat(self, path: str) -> StoredFile | None:
        """Give an object's size and time; None where there is none."""
        key = self._root.key(path)
        if not path.strip("/"):
            return None
        with self._calling(path):
            found = self._bucket.get_blob(key)
        return None if found is None else self._file(found)

    def list(self, prefix: str = "") -> list[StoredFile]:
        """Give all objects below a folder, sorted."""
        with self._calling(prefix):
            # Arrow, and so Ray, marks a folder by an empty object with a slash at its end.
            found = [self._file(blob) for blob in self._below(prefix) if not blob.name.endswith("/")]
            return sorted(found, key=lambda file: file.path)

    def delete(self, path: str) -> None:
        """Remove an object, or all objects below a folder."""
        key = self._root.file_key(path)
        with self._calling(path):
            doomed = [self._bucket.blob(key), *self._below(path)]
            self._bucket.delete_blobs(doomed, on_error=lambda blob: None)

    def probe(self) -> None:
        """Write and read a small object; it is removed where that is allowed."""
        write_and_read(self)

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        """
        Give a job nothing, or with ``credentials="session"`` a token.

        :raises ConfigurationError: the token may end before the job, or there is none
        :raises UnavailableError: Google does not answer
        """
        if self._spec.credentials == "ambient":
            return JobAccess()
        token = self._account.credentials()
        if token is None:
            raise ConfigurationError(
                f"The connection {self._account.conn_id!r} has no token that expires, to hand over",
                hint="Give it a key or an impersonation_chain, or use credentials='ambient'",
            )
        check_lifetime(self._account.conn_id, token.expires_at, lifetime, _LONGER)
        return JobAccess(
            secrets={driver_names.GCS_TOKEN: token.token, driver_names.GCS_TOKEN_EXPIRES: repr(token.expires_at)}
        )

    def _fetch(self, path: str, key: str, file: BinaryIO) -> bool:
        """Write an object into a file; False where there is none."""
        from google.api_core.exceptions import NotFound

        if not path.strip("/"):
            return False
        with self._calling(path):
            try:
                self._bucket.blob(key).download_to_file(file)
            except NotFound:
                return False
            return True

    def _below(self, path: str) -> Iterator[Any]:
        blobs: Iterator[Any] = iter(self._bucket.list_blobs(prefix=self._root.folder_key(path)))
        return blobs

    def _file(self, blob: Any) -> StoredFile:
        return StoredFile(self._root.path(blob.name), blob.size or 0, blob.updated.timestamp())

    @contextlib.contextmanager
    def _calling(self, path: str) -> Iterator[None]:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError

        where = self.uri(path)
        try:
            yield
        except exceptions.NotFound as error:
            raise ConfigurationError(
                f"There is no bucket {self._root.bucket!r}",
                where=where,
                hint="Create it, or correct the storage's root",
            ) from error
        except GoogleAuthError as error:
            if may_pass(error):
                raise UnavailableError(f"Google does not answer: {error}", where=where, hint=_IF_IT_STAYS) from error
            raise ConfigurationError(
                f"Google rejects the credentials: {error}", where=where, hint="Correct the connection"
            ) from error
        except exceptions.ClientError as error:
            if may_pass(error):
                raise UnavailableError(
                    f"Google Cloud Storage failed: {error.message}", where=where, hint=_IF_IT_STAYS
                ) from error
            if isinstance(error, exceptions.Forbidden):
                raise ConfigurationError(
                    f"Google Cloud Storage denies access: {error.message}",
                    where=where,
                    hint="Allow list, read and write there",
                ) from error
            raise ConfigurationError(
                f"Google Cloud Storage refuses: {error.message}", where=where, hint="Correct the storage's root"
            ) from error
        except (exceptions.GoogleAPIError, OSError) as error:
            raise UnavailableError(f"Google Cloud Storage does not answer: {error}", where=where) from error


def may_pass(error: Exception) -> bool:
    """Tell whether a retry, which may bring new credentials, may succeed, of what Google's libraries raise."""
    # DAG files name this storage; what reads errors is for where there is one.
    from airflow_provider_air.drivers.wire.error_kinds import EXPIRED, OUTAGE, kind_of

    return kind_of(error) in (OUTAGE, EXPIRED)
