"""Credentials do not belong into addresses."""

from __future__ import annotations

import pytest

from airflow_provider_air.addresses import are_bare, check_bare
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
        "git+https://sesame@github.com/o/r",
        "//me:sesame@host",
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
        "//host/path",
        "git+ssh://git@github.com/o/r.git",
    ],
)
def test_what_is_none_passes(url: str) -> None:
    assert check_bare(url, "'url'") == url


@pytest.mark.parametrize(
    "text",
    [
        "curl -s https://me:sesame@host/x",
        "python train.py --url=https://sesame@host/x",
        "--extra-index-url https://pypi.org/simple --index-url https://sesame@index/simple",
        "torch @ git+https://sesame@github.com/o/r@v1",
        "http://a,http://me:sesame@b",
        '{"dsn": "postgresql+psycopg2://me:sesame@db/x"}',
        "https://login.example.com/?next=https://me:sesame@host",
        "https://me:sesame@${HOST}/x",
        "redis://:sesame@cache:6379/0",
    ],
)
def test_they_are_found_anywhere_in_a_text(text: str) -> None:
    assert not are_bare(text)


@pytest.mark.parametrize(
    "text",
    [
        "echo me:you@home",
        "https://me:${TOKEN}@host/simple",
        "https://${USER}:${TOKEN}@host/simple",
        "curl https://$TOKEN@host https://${TOKEN}:@host",
        "git+ssh://git@github.com/o/r.git",
        "python -m x --uri s3://bucket/a@b --mail me@host",
        "http://a:1,http://b:2",
    ],
)
def test_what_is_none_in_a_text_passes(text: str) -> None:
    assert are_bare(text)
