"""
S3 and what speaks like it.

:class:`S3Storage` is what an author writes; :class:`S3Bucket` does the work, as the account that a connection opens.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from airflow_provider_air.contracts.storage import JobAccess, StoredFile
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.credentials import check_credentials, check_lifetime
from airflow_provider_air.storage.paths import BucketRoot
from airflow_provider_air.storage.probing import write_and_read
from airflow_provider_air.storage.spool import fetched_whole, sent_whole

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import AwsAccount, Connections

# What S3 and its kin answer where a key or a bucket is not there, or not for us.
_ABSENT = ("NoSuchKey", "404", "NotFound")
_DENIED = ("AccessDenied", "403", "AllAccessDisabled", "AccountProblem")
_REJECTED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")
_TAKEN = ("PreconditionFailed", "412")
# What one request removes at most.
_REMOVED_AT_ONCE = 1000
# Metadata of an object that was written as a new one: whose request it was.
_WRITER = "air-writer"
_LONGER = "raise DurationSeconds in the connection's assume_role_kwargs"


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
    worker_can_open: ClassVar[bool] = True

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

    def open(self, connections: Connections) -> S3Bucket:
        """
        Open it by the ``aws`` connection.

        :raises ConfigurationError: there is no such connection
        :raises MissingExtraError: the amazon provider is not installed
        """
        return S3Bucket(self, connections.open("aws", self.aws_conn_id))


class S3Bucket:
    """
    A :class:`~airflow_provider_air.contracts.storage.Storage` in a bucket; blocks.

    Every call raises ConfigurationError where S3 refuses, UnavailableError where it does not answer.
    """

    def __init__(self, spec: S3Storage, account: AwsAccount) -> None:
        self._spec = spec
        self._account = account
        self._root = BucketRoot.parse(spec.root, "s3", "S3Storage's 'root'")

    @functools.cached_property
    def _s3(self) -> Any:
        # Late: a role is assumed for it.
        return self._account.client("s3")

    def uri(self, path: str = "") -> str:
        """Give the ``s3://`` URI."""
        return self._root.uri(path)

    def put(self, path: str, data: bytes) -> None:
        """Write an object; S3 shows it only once it is whole."""
        key = self._root.file_key(path)
        with self._calling(path):
            self._s3.put_object(Bucket=self._root.bucket, Key=key, Body=data)

    def put_new(self, path: str, data: bytes) -> bool:
        """Write an object only where there is none (``If-None-Match: *``)."""
        key, writer = self._root.file_key(path), secrets.token_hex(8)
        with self._calling(path):
            if self._put_where_absent(key, data, writer):
                return True
            # boto3 sends again what was not answered, and then finds what it has written.
            found = self._s3.head_object(Bucket=self._root.bucket, Key=key)
            return bool(found.get("Metadata", {}).get(_WRITER) == writer)

    def writer(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open a file on the local disk, sent in parts once its block has ended."""
        key = self._root.file_key(path)

        def send(file: BinaryIO) -> None:
            with self._calling(path):
                self._s3.upload_fileobj(file, self._root.bucket, key)

        return sent_whole(send)

    def reader(self, path: str) -> AbstractContextManager[BinaryIO]:
        """
        Open an object, fetched to the local disk.

        :raises FileNotFoundError: there is none
        """
        key = self._root.key(path)

        def fetch(file: BinaryIO) -> None:
            body = self._body(path, key)
            if body is None:
                raise FileNotFoundError(errno.ENOENT, "There is no such object", self.uri(path))
            with self._calling(path):
                shutil.copyfileobj(body, file, 1024 * 1024)

        return fetched_whole(fetch)

    def read(self, path: str) -> bytes | None:
        """Read an object; None where there is none."""
        body = self._body(path, self._root.key(path))
        if body is None:
            return None
        with self._calling(path):
            data: bytes = body.read()
            return data

    def stat(self, path: str) -> StoredFile | None:
        """Give an object's size and time; None where there is none."""
        key = self._root.key(path)
        with self._calling(path):
            # Not by HEAD, which does not say whether the object or its bucket is absent. The key itself comes first.
            found = self._s3.list_objects_v2(Bucket=self._root.bucket, Prefix=key, MaxKeys=1).get("Contents", [])
            return next((self._file(item) for item in found if item["Key"] == key), None)

    def list(self, prefix: str = "") -> list[StoredFile]:
        """Give all objects below a folder, sorted."""
        with self._calling(prefix):
            # Arrow, and so Ray, marks a folder by an empty object with a slash at its end.
            found = [self._file(item) for item in self._below(prefix) if not item["Key"].endswith("/")]
            return sorted(found, key=lambda file: file.path)

    def delete(self, path: str) -> None:
        """Remove an object, or all objects below a folder."""
        key = self._root.file_key(path)
        doomed = [key] if self.stat(path) else []
        with self._calling(path):
            doomed += [item["Key"] for item in self._below(path)]
            for start in range(0, len(doomed), _REMOVED_AT_ONCE):
                self._remove(doomed[start : start + _REMOVED_AT_ONCE], self.uri(path))

    def probe(self) -> None:
        """Write and read a small object; it is removed where that is allowed."""
        write_and_read(self)

    def access(self, *, lifetime: timedelta | None) -> JobAccess:
        """
        Give a job the address and region, and with ``credentials="session"`` what signs its requests.

        :raises ConfigurationError: the credentials may end before the job, or never
        :raises UnavailableError: AWS does not answer
        """
        region, endpoint = self._account.region(), self._account.endpoint_url("s3")
        env_vars = {"AWS_DEFAULT_REGION": region} if region else {}
        if endpoint:
            env_vars["AWS_ENDPOINT_URL_S3"] = endpoint
        return JobAccess(env_vars, {} if self._spec.credentials == "ambient" else self._session(lifetime))

    def _session(self, lifetime: timedelta | None) -> dict[str, str]:
        conn_id, credentials = self._account.conn_id, self._account.credentials()
        if credentials is None:
            raise ConfigurationError(f"The connection {conn_id!r} has no credentials to hand over")
        if credentials.expires_at is not None:
            check_lifetime(conn_id, credentials.expires_at, lifetime, _LONGER)
        elif not self._spec.allow_static_credentials:
            raise ConfigurationError(
                f"The credentials of the connection {conn_id!r} are not known to expire, and a job should not "
                "be given such",
                hint="Let the connection assume a role (extra role_arn), use credentials='ambient', or say "
                "allow_static_credentials=True",
            )
        found = {"AWS_ACCESS_KEY_ID": credentials.access_key, "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
        return {**found, "AWS_SESSION_TOKEN": credentials.token} if credentials.token else found

    def _put_where_absent(self, key: str, data: bytes, writer: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._s3.put_object(
                Bucket=self._root.bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={_WRITER: writer}
            )
        except ClientError as error:
            if _code(error) in _TAKEN:
                return False
            raise
        return True

    def _body(self, path: str, key: str) -> Any:
        """Open an object; None where there is none."""
        from botocore.exceptions import ClientError

        if not path.strip("/"):
            return None
        with self._calling(path):
            try:
                return self._s3.get_object(Bucket=self._root.bucket, Key=key)["Body"]
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

    def _below(self, path: str) -> Iterator[Any]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._root.bucket, Prefix=self._root.folder_key(path)
        )
        return (item for page in pages for item in page.get("Contents", []))

    def _remove(self, keys: Sequence[str], where: str) -> None:
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        failed = self._s3.delete_objects(Bucket=self._root.bucket, Delete=objects).get("Errors", [])
        if failed:
            code, message = str(failed[0].get("Code")), str(failed[0].get("Message") or "")
            raise self._problem(code, message, where, is_passing=_is_passing(code))

    def _file(self, item: Any) -> StoredFile:
        return StoredFile(self._root.path(item["Key"]), item["Size"], item["LastModified"].timestamp())

    @contextlib.contextmanager
    def _calling(self, path: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

        where = self.uri(path)
        try:
            yield
        except ClientError as error:
            message = str(error.response.get("Error", {}).get("Message") or "")
            raise self._problem(_code(error), message, where, is_passing=may_pass(error)) from error
        except ParamValidationError as error:
            raise ConfigurationError(f"This is no name that S3 takes: {error}", where=where) from error
        except NoCredentialsError as error:
            raise ConfigurationError(
                "There are no credentials for S3", where=where, hint="Give the aws connection keys or a role"
            ) from error
        except BotoCoreError as error:
            raise UnavailableError(f"S3 does not answer: {error}", where=where) from error

    def _problem(
        self, code: str, message: str, where: str, *, is_passing: bool
    ) -> ConfigurationError | UnavailableError:
        if code == "NoSuchBucket":
            return ConfigurationError(
                f"There is no bucket {self._root.bucket!r}",
                where=where,
                hint="Create it, or correct the storage's root",
            )
        if code in _DENIED:
            return ConfigurationError(
                f"S3 denies access: {message or code}", where=where, hint="Allow list, read and write there"
            )
        if code in _REJECTED:
            return ConfigurationError(
                f"S3 rejects the credentials: {message or code}", where=where, hint="Correct the aws connection"
            )
        if is_passing:
            hint = "If it stays, look at the credentials of the aws connection"
            return UnavailableError(f"S3 failed: {code}: {message}", where=where, hint=hint)
        return ConfigurationError(
            f"S3 refuses: {code}: {message}", where=where, hint="Correct the bucket or its region"
        )


def may_pass(error: Any) -> bool:
    """Tell whether the same call may succeed later, of what AWS has answered (a botocore ``ClientError``)."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    return _is_passing(_code(error), status)


def _is_passing(code: str, status: int | None = None) -> bool:
    # DAG files name this storage; what reads errors is for where there is one.
    from airflow_provider_air.drivers.wire.error_kinds import EXPIRED, OUTAGE, kind_of_aws

    # A retry may bring new credentials.
    return kind_of_aws(code, status) in (OUTAGE, EXPIRED)


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code"))
