"""
S3 and what speaks like it.

:class:`S3Storage` is what an author writes; :class:`S3Bucket` does the work, with a client that whoever knows the
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

# What S3 and its kin answer where a key or a bucket is not there, or not for us.
_ABSENT = ("NoSuchKey", "404", "NotFound")
_DENIED = ("AccessDenied", "403", "AllAccessDisabled", "AccountProblem")
_REJECTED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired")


@dataclass
class S3Storage:
    """
    Storage below a prefix of a bucket: ``storage=S3Storage("aws_default", "s3://bucket/prefix")``.

    :param aws_conn_id: the ``aws`` connection that the worker uses: role assumption, and ``endpoint_url`` for stores
        that are compatible with S3
    :param root: ``s3://bucket/prefix``
    :param credentials: ``ambient``: the Ray cluster has an identity of its own; ``session``: the job gets the
        connection's short-lived credentials, out of sight, and must end before they do
    :param allow_static_credentials: also hand over keys that never expire, which is better avoided
    """

    template_fields: ClassVar[tuple[str, ...]] = ("aws_conn_id", "root")
    opener: ClassVar[str] = "airflow_provider_air.hooks.storage:open_s3"

    aws_conn_id: str = "aws_default"
    root: str = ""
    credentials: str = "ambient"
    allow_static_credentials: bool = False

    def validate(self) -> None:
        """:raises ConfigurationError: a field is wrong; the message names it."""
        BucketRoot.parse(self.root, "s3", "S3Storage's 'root'")
        check_credentials(self.credentials, "S3Storage")

    def uri(self) -> str:
        """Give the ``s3://`` URI of the root."""
        return BucketRoot.parse(self.root, "s3", "S3Storage's 'root'").uri()


class S3Bucket:
    """
    A :class:`~airflow_provider_air.storage.contract.Storage` in a bucket; blocks.

    :param client: a boto3 client of S3
    :param root: ``s3://bucket/prefix``
    """

    def __init__(self, client: Any, root: str) -> None:
        self._s3 = client
        self._root = BucketRoot.parse(root, "s3", "The storage's root")

    def uri(self, path: str = "") -> str:
        """Give the ``s3://`` URI."""
        return self._root.uri(path)

    def put(self, path: str, data: bytes) -> None:
        """
        Write an object; S3 shows it only once it is whole.

        :raises ConfigurationError: it may not be written
        :raises UnavailableError: the store does not answer
        """
        key = self._root.key(path, is_file=True)
        with self._calling(path):
            self._s3.put_object(Bucket=self._root.bucket, Key=key, Body=data)

    def read(self, path: str) -> bytes | None:
        """
        Read an object; None where there is none.

        :raises ConfigurationError: it may not be read
        :raises UnavailableError: the store does not answer
        """
        key = self._root.key(path, is_file=True)
        with self._calling(path), contextlib.suppress(_Absent):
            data: bytes = self._get(key)
            return data
        return None

    def exists(self, path: str) -> bool:
        """Tell whether an object is there, or any below it."""
        key = self._root.key(path)
        with self._calling(path):
            found = self._s3.list_objects_v2(Bucket=self._root.bucket, Prefix=key, MaxKeys=1).get("Contents", [])
            if any(item["Key"] == key for item in found):
                return True
            folder = f"{key}/" if key else ""
            return bool(self._s3.list_objects_v2(Bucket=self._root.bucket, Prefix=folder, MaxKeys=1).get("Contents"))

    def list(self, prefix: str = "") -> list[str]:
        """Give all objects below a folder, sorted."""
        key = self._root.key(prefix)
        with self._calling(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._root.bucket, Prefix=f"{key}/" if key else ""
            )
            keys = (item["Key"] for page in pages for item in page.get("Contents", []))
            # Arrow, and so Ray, marks a folder by an empty object with a slash at its end.
            return sorted(self._root.path(key) for key in keys if not key.endswith("/"))

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
            self._s3.delete_object(Bucket=self._root.bucket, Key=self._root.key(name))

    def _get(self, key: str) -> bytes:
        from botocore.exceptions import ClientError

        try:
            data: bytes = self._s3.get_object(Bucket=self._root.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] in _ABSENT:
                raise _Absent from None
            raise
        return data

    @contextlib.contextmanager
    def _calling(self, path: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        where = self.uri(path)
        try:
            yield
        except ClientError as error:
            raise self._refused(error, where) from error
        except ParamValidationError as error:
            raise ConfigurationError(f"This is no name that S3 takes: {error}", where=where) from error
        except NoCredentialsError as error:
            raise ConfigurationError(
                "There are no credentials for S3", where=where, hint="Give the aws connection keys or a role"
            ) from error
        except BotoCoreError as error:
            raise UnavailableError(f"S3 does not answer: {error}", where=where) from error

    def _refused(self, error: Any, where: str) -> ConfigurationError | UnavailableError:
        told = error.response.get("Error", {})
        code, message = str(told.get("Code")), str(told.get("Message") or "")
        if code == "NoSuchBucket":
            return ConfigurationError(
                f"There is no bucket {self._root.bucket!r}",
                where=where,
                hint="Create it, or correct the storage's root",
            )
        if code in _DENIED:
            return ConfigurationError(
                f"S3 denies access: {message or code}", where=where, hint="Allow list, read, write and delete there"
            )
        if code in _REJECTED:
            return ConfigurationError(
                f"S3 rejects the credentials: {message or code}", where=where, hint="Correct the aws connection"
            )
        if may_pass(error):
            return UnavailableError(f"S3 failed: {code}: {message}", where=where)
        return ConfigurationError(
            f"S3 refuses: {code}: {message}", where=where, hint="Correct the bucket or its region"
        )


def may_pass(error: Any) -> bool:
    """Tell whether the same call may succeed later, of what AWS has answered (a botocore ``ClientError``)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    code = str(error.response.get("Error", {}).get("Code"))
    return status >= 500 or status in (408, 409, 429) or code in ("RequestTimeout", "Throttling", "ThrottlingException")


class _Absent(Exception):
    """There is no such object."""
