"""Opens ``storage=``: a shared folder as it is, a bucket by its Airflow connection; and lets jobs in."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowOptionalProviderFeatureException
from airflow.sdk.log import mask_secret

from airflow_provider_air.drivers import gcs_names
from airflow_provider_air.errors import ConfigurationError, MissingExtraError, UnavailableError
from airflow_provider_air.hooks.connections import get_connection
from airflow_provider_air.storage.contract import Storage, StorageSpec
from airflow_provider_air.storage.gcs import GcsBucket, GcsStorage
from airflow_provider_air.storage.s3 import S3Bucket, S3Storage, may_pass
from airflow_provider_air.storage.shared_folder import SharedFolder

# A job that ends at its deadline still writes its last checkpoint and records.
MARGIN = timedelta(minutes=5)
_LONGER_ON_AWS = "raise DurationSeconds in the connection's assume_role_kwargs"
# A metadata server gives out a token that it has had for a while.
_LONGER_ON_GOOGLE = "give the connection an impersonation_chain, which gets a fresh hour each time"


@dataclass(frozen=True)
class JobAccess:
    """
    What a job needs to reach a storage.

    :param env_vars: names and addresses, which anybody may read
    :param secrets: credentials, which no job listing shows
    """

    env_vars: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


def open_storage(value: Any) -> Storage:
    """
    Open what an author gave as ``storage=``; runs in the worker, reads connections.

    :raises ConfigurationError: it is no storage, a field is wrong, or the connection is absent
    """
    if isinstance(value, str):
        return SharedFolder(value)
    if isinstance(value, StorageSpec):
        value.validate()
        module, _, function = value.opener.partition(":")
        value = getattr(importlib.import_module(module), function)(value)
    if not isinstance(value, Storage):
        raise ConfigurationError(f"'storage' must be a storage, a path or a URI, not {value!r}")
    return value


def uri_of(value: Any) -> str:
    """
    Give the URI of what an author gave as ``storage=``; asks nobody.

    :raises ConfigurationError: it is no storage, or a field is wrong
    """
    if isinstance(value, str) and "://" in value:
        return value
    if isinstance(value, StorageSpec):
        value.validate()
        return value.uri()
    return open_storage(value).uri()


def job_access(value: Any, *, lifetime: timedelta | None) -> JobAccess:
    """
    Give what a job needs to reach this storage; runs in the worker.

    :param lifetime: how long the job may run (``execution_timeout``), or None
    :raises ConfigurationError: the credentials may end before the job, or never
    :raises UnavailableError: whoever gives them does not answer
    """
    if isinstance(value, S3Storage):
        value.validate()
        with _asking_aws(value.aws_conn_id):
            return _s3_access(value, lifetime)
    if isinstance(value, GcsStorage):
        value.validate()
        return JobAccess() if value.credentials == "ambient" else _gcs_access(value, lifetime)
    return JobAccess()


def open_s3(spec: S3Storage) -> S3Bucket:
    """
    Open a bucket by the ``aws`` connection.

    :raises ConfigurationError: there is no such connection, or AWS refuses what it says
    :raises UnavailableError: AWS does not answer
    :raises MissingExtraError: the amazon provider is not installed
    """
    hook = _aws_hook(spec.aws_conn_id)
    with _asking_aws(spec.aws_conn_id):
        return S3Bucket(hook.get_client_type(), spec.root)


def open_gcs(spec: GcsStorage) -> GcsBucket:
    """
    Open a bucket by the ``google_cloud_platform`` connection.

    :raises ConfigurationError: there is no such connection, or its key is malformed
    :raises MissingExtraError: the google provider is not installed
    """
    hook = _gcs_hook(spec.gcp_conn_id)
    try:
        client = hook.get_conn()
    except Exception as error:  # the provider raises whatever google.auth and json raise
        raise ConfigurationError(
            f"The connection {spec.gcp_conn_id!r} opens no client: {error}", hint="Correct its key or its identity"
        ) from error
    return GcsBucket(client, spec.root)


def _aws_hook(aws_conn_id: str) -> Any:
    # The provider itself would go on with whatever credentials it finds elsewhere.
    get_connection(aws_conn_id, "Create one of type 'aws'")
    try:
        from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
        from botocore.config import Config
    except (ImportError, AirflowOptionalProviderFeatureException):
        raise MissingExtraError("apache-airflow-providers-amazon", "amazon") from None
    config = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 4, "mode": "standard"})
    return AwsBaseHook(aws_conn_id=aws_conn_id, client_type="s3", config=config)


@contextlib.contextmanager
def _asking_aws(aws_conn_id: str) -> Iterator[None]:
    """Roles are assumed while a session is made: what AWS says to that is the connection's business."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from botocore.exceptions import ConnectionError as NoConnection

    where = f"connection {aws_conn_id}"
    try:
        yield
    except (NoConnection, HTTPClientError) as error:
        raise UnavailableError(f"AWS does not answer: {error}", where=where) from error
    except ClientError as error:
        if may_pass(error):
            raise UnavailableError(f"AWS failed: {error}", where=where) from error
        raise ConfigurationError(
            f"AWS refuses the connection: {error}", where=where, hint="Correct its keys or its role"
        ) from error
    except BotoCoreError as error:
        raise ConfigurationError(
            f"The connection does not lead into AWS: {error}", where=where, hint="Correct its keys, profile or role"
        ) from error


def _s3_access(spec: S3Storage, lifetime: timedelta | None) -> JobAccess:
    hook = _aws_hook(spec.aws_conn_id)
    region, endpoint = hook.conn_region_name, hook.conn_config.get_service_endpoint_url(service_name="s3")
    env_vars = {"AWS_DEFAULT_REGION": region} if region else {}
    if endpoint:
        env_vars["AWS_ENDPOINT_URL_S3"] = endpoint
    if spec.credentials == "ambient":
        return JobAccess(env_vars)
    credentials = hook.get_session().get_credentials()
    if credentials is None:
        raise ConfigurationError(f"The connection {spec.aws_conn_id!r} has no credentials to hand over")
    # Of one session, and frozen first: some kinds know their end only once they have been asked for.
    frozen = credentials.get_frozen_credentials()
    for value in (frozen.secret_key, frozen.token):
        if value:
            mask_secret(value)
    expires = getattr(credentials, "_expiry_time", None) if frozen.token else None
    if expires is None and not spec.allow_static_credentials:
        raise ConfigurationError(
            f"The credentials of the connection {spec.aws_conn_id!r} are not known to expire, and a job should not "
            "be given such",
            hint="Let the connection assume a role (extra role_arn), use credentials='ambient', or say "
            "allow_static_credentials=True",
        )
    _check_lifetime(spec.aws_conn_id, expires, lifetime, _LONGER_ON_AWS)
    secrets = {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    if frozen.token:
        secrets["AWS_SESSION_TOKEN"] = frozen.token
    return JobAccess(env_vars, secrets)


def _gcs_hook(gcp_conn_id: str) -> Any:
    get_connection(gcp_conn_id, "Create one of type 'google_cloud_platform'")
    try:
        from airflow.providers.google.cloud.hooks.gcs import GCSHook
    except (ImportError, AirflowOptionalProviderFeatureException):
        raise MissingExtraError("apache-airflow-providers-google", "google") from None
    return GCSHook(gcp_conn_id=gcp_conn_id)


def _gcs_access(spec: GcsStorage, lifetime: timedelta | None) -> JobAccess:
    hook = _gcs_hook(spec.gcp_conn_id)
    token, expires = _google_token(hook, spec.gcp_conn_id)
    if not token or expires is None:
        raise ConfigurationError(
            f"The connection {spec.gcp_conn_id!r} has no token that expires, to hand over",
            hint="Give it a key or an impersonation_chain, or use credentials='ambient'",
        )
    mask_secret(token)
    # google.auth counts in UTC and does not say so.
    expires = expires.replace(tzinfo=UTC)
    _check_lifetime(spec.gcp_conn_id, expires, lifetime, _LONGER_ON_GOOGLE)
    return JobAccess(secrets={gcs_names.ACCESS: token, gcs_names.EXPIRES: repr(expires.timestamp())})


def _google_token(hook: Any, gcp_conn_id: str) -> tuple[str | None, datetime | None]:
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.auth.transport.requests import Request

    where = f"connection {gcp_conn_id}"
    try:
        credentials = hook.get_credentials()
        credentials.refresh(Request())
    except GoogleAuthError as error:
        if isinstance(error, TransportError) or getattr(error, "retryable", False):
            raise UnavailableError(f"Google does not answer: {error}", where=where) from error
        raise ConfigurationError(
            f"Google gives the connection no token: {error}", where=where, hint="Correct its key or its identity"
        ) from error
    except Exception as error:  # the provider raises whatever a malformed key raises
        raise ConfigurationError(
            f"The connection does not lead into Google: {error}", where=where, hint="Correct its key or its identity"
        ) from error
    return credentials.token, credentials.expiry


def _check_lifetime(conn_id: str, expires: datetime | None, lifetime: timedelta | None, longer: str) -> None:
    if expires is None:
        return
    left = expires - datetime.now(UTC)
    if lifetime is None or lifetime + MARGIN > left:
        allowed = "no execution_timeout" if lifetime is None else f"an execution_timeout of {lifetime}"
        raise ConfigurationError(
            f"The credentials that the job would get end in {left.total_seconds() / 60:.0f} minutes, but the task has "
            f"{allowed}",
            where=f"connection {conn_id}",
            hint=f"Set execution_timeout at least {MARGIN} below that, {longer}, or use credentials='ambient'",
        )
