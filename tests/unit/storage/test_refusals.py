"""A storage that refuses, or is away: a worker takes an answer for what a driver takes it for."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from airflow_provider_air.drivers.wire.error_kinds import MISTAKE
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.storage.gcs import GcsBucket, GcsStorage
from airflow_provider_air.storage.s3 import S3Bucket, S3Storage
from tests.kinds import parameters
from tests.kinds.outages import ERRORS, Raised


class Account:
    """Of either cloud: every call raises this."""

    conn_id = "a"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def client(self, *_: Any) -> Any:
        raise self.error

    storage_client = client


def bucket_of(error: BaseException) -> S3Bucket | GcsBucket | None:
    """Give the bucket whose client raises such."""
    account: Any = Account(error)
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    if "botocore.ClientError" in kinds:
        return S3Bucket(S3Storage("a", "s3://b/p"), account)
    if kinds & {"google.GoogleAPICallError", "google.GoogleAuthError"}:
        return GcsBucket(GcsStorage("a", "gs://b/p"), account)
    return None


def test_a_worker_tells_mistakes_from_outages_as_a_driver_does() -> None:
    found: dict[str, tuple[type[Exception], bool]] = {}
    values, names = parameters(ERRORS)
    for name, raised in zip(names, values, strict=True):
        assert isinstance(raised, Raised)
        # To make the others takes libraries that take seconds.
        bucket = bucket_of(raised.made()) if "boto" in name or "Google" in name else None
        if bucket is not None:
            with pytest.raises((ConfigurationError, UnavailableError)) as caught:
                bucket.put("x", b"")
            found[name] = (caught.type, raised.kind == MISTAKE)

    assert [name for name, (kind, fails) in found.items() if issubclass(kind, ConfigurationError) != fails] == []
    assert len(found) >= 20


def test_what_a_bucket_does_not_remove_now_may_be_removed_later() -> None:
    client = Mock()
    bucket = S3Bucket(S3Storage("a", "s3://b/p"), Mock(**{"client.return_value": client}))
    for code, kind in [
        ("InternalError", UnavailableError),
        ("ServiceUnavailable", UnavailableError),
        ("ExpiredToken", UnavailableError),
        ("AccessDenied", ConfigurationError),
        ("MalformedXML", ConfigurationError),
    ]:
        client.delete_objects.return_value = {"Errors": [{"Code": code, "Message": "so it is"}]}
        with pytest.raises(kind, match="so it is"):
            bucket._remove(["k"], "s3://b/p/k")
