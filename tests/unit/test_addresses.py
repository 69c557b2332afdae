"""Credentials do not belong into addresses."""

from __future__ import annotations

import pytest

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "http://me:sesame@host:5000",
        "https://me:sesame@[::1]/x",
        "https://sesame@github.com/org/repo/archive.zip",
        "me:sesame@host",
        "http://:sesame@host",
        "http://me:ses/ame@host",
        "http://me:ses#ame@host",
        "http://me:ses?ame@host",
        "s3://key:sesame@bucket/prefix",
        "HTTPS://sesame@host",
    ],
)
def test_they_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="'ui_url' holds a user or a password") as raised:
        check_bare(url, "'ui_url'", where="connection a")
    assert "ses" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host:5000",
        "http://host:5000/path/@scope/x?mail=a@b#c@d",
        "http://[::1]:8265/@x",
        "s3://bucket/a@b",
        "abfss://container@account.dfs.core.windows.net/path",
        "hdfs://me@namenode:8020/path",
        "/mnt/a@b:c/d",
    ],
)
def test_what_is_none_passes(url: str) -> None:
    assert check_bare(url, "'url'") == url
