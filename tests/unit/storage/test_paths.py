"""Roots in buckets."""

from __future__ import annotations

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.paths import BucketRoot


@pytest.mark.parametrize(
    ("root", "parsed"),
    [
        ("s3://models", BucketRoot("s3", "models", "")),
        ("s3://models/", BucketRoot("s3", "models", "")),
        ("s3://models/a/b/", BucketRoot("s3", "models", "a/b")),
    ],
)
def test_a_root_is_a_bucket_and_a_prefix(root: str, parsed: BucketRoot) -> None:
    assert BucketRoot.parse(root, "s3", "It") == parsed
    assert parsed.uri() == root.rstrip("/")


@pytest.mark.parametrize(
    "root", ["", "s3://", "gs://models", "/models", "s3://models?x=1", "s3://models/../x", None, 7]
)
def test_what_is_no_root_is_named(root: object) -> None:
    with pytest.raises(ConfigurationError):
        BucketRoot.parse(root, "s3", "It")


def test_a_root_holds_no_password() -> None:
    with pytest.raises(ConfigurationError, match="holds a user or a password") as raised:
        BucketRoot.parse("s3://key:sesame@models/x", "s3", "It")
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize("prefix", ["", "a/b"])
def test_keys_and_paths_lead_to_each_other(prefix: str) -> None:
    root = BucketRoot("s3", "models", prefix)

    assert root.path(root.key("x/y")) == "x/y"
    assert root.folder_key("x") == f"{root.file_key('x')}/"
    assert root.folder_key("") == (f"{prefix}/" if prefix else "")


@pytest.mark.parametrize("path", ["", "/", ".", "./", "../x"])
def test_no_file_is_the_root(path: str) -> None:
    with pytest.raises(ConfigurationError):
        BucketRoot("s3", "models", "a").file_key(path)
