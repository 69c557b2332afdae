"""
Google Cloud Storage.

:class:`GcsStorage` is what an author writes; :class:`GcsBucket` does the work, with a client that whoever knows the
connection has made.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.contract import BucketRoot, check_credentials


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
    opener: ClassVar[str] = "airflow_provider_air.hooks.storage:open_gcs"

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


class GcsBucket:
    """
    A :class:`~airflow_provider_air.storage.contract.Storage` in a bucket; blocks.

    :param client: a ``google.cloud.storage.Client``
    :param root: ``gs://bucket/prefix``
    """

    def __init__(self, client: Any, root: str) -> None:
        self._root = BucketRoot.parse(root, "gs", "The storage's root")
        self._gcs = client
        self._bucket = client.bucket(self._root.bucket)

    def uri(self, path: str = "") -> str:
        """Give the ``gs://`` URI."""
        return self._root.uri(path)

    def put(self, path: str, data: bytes) -> None:
        """
        Write an object; it is shown only once it is whole.

        :raises ConfigurationError: it may not be written
        :raises UnavailableError: the store does not answer
        """
        blob = self._bucket.blob(self._root.key(path, is_file=True))
        with self._calling(path):
            blob.upload_from_string(data, content_type="application/octet-stream")

    def read(self, path: str) -> bytes | None:
        """
        Read an object; None where there is none.

        :raises ConfigurationError: it may not be read
        :raises UnavailableError: the store does not answer
        """
        with self._calling(path):
            blob = self._bucket.blob(self._root.key(path, is_file=True))
            if not blob.exists():
                return None
            data: bytes = blob.download_as_bytes()
            return data

    def exists(self, path: str) -> bool:
        """Tell whether an object is there, or any below it."""
        key = self._root.key(path)
        with self._calling(path):
            if key and self._bucket.blob(key).exists():
                return True
            return any(True for _ in self._gcs.list_blobs(self._bucket, prefix=f"{key}/" if key else "", max_results=1))

    def list(self, prefix: str = "") -> list[str]:
        """Give all objects below a folder, sorted."""
        key = self._root.key(prefix)
        with self._calling(prefix):
            blobs = self._gcs.list_blobs(self._bucket, prefix=f"{key}/" if key else "")
            # Arrow, and so Ray, marks a folder by an empty object with a slash at its end.
            return sorted(self._root.path(blob.name) for blob in blobs if not blob.name.endswith("/"))

    def probe(self) -> None:
        """
        Write, read and remove a small object.

        :raises ConfigurationError: the bucket is absent or denied
        :raises UnavailableError: the store does not answer
        """
        name = f"air-probe-{secrets.token_hex(4)}"
        self.put(name, b"probe")
        if self.read(name) != b"probe":
            raise ConfigurationError("The bucket does not return what was written", where=self.uri())
        with self._calling(name):
            self._bucket.blob(self._root.key(name)).delete()

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
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise ConfigurationError(
                f"Google Cloud Storage denies access: {error.message}",
                where=where,
                hint="Allow list, read, write and delete there",
            ) from error
        except GoogleAuthError as error:
            raise ConfigurationError(
                f"Google rejects the credentials: {error}", where=where, hint="Correct the connection"
            ) from error
        except (exceptions.GoogleAPIError, OSError) as error:
            raise UnavailableError(f"Google Cloud Storage does not answer: {error}", where=where) from error
