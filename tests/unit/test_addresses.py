"""Credentials do not belong into addresses."""

from __future__ import annotations

import pytest

from airflow_provider_air.addresses import are_bare, check_bare, without_credentials
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
        "mongodb://h1:27017,me:sesame@h2:27017/db",
        "mongodb://h1:27017,me:ses/ame@h2:27017/db",
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
        "mongodb://h1:27017,h2:27017/db?x=a@b",
        "mongodb://[::1]:27017,h2/db?x=a@b",
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
        "https://ghp_sesame@github.com/o/r",
        "git+https://git:sesame@github.com/o/r",
        "https://oauth2accesstoken:sesame@europe-python.pkg.dev/p/r/simple",
        "$SCHEME://me:sesame@host ",
        "{scheme}://me:sesame@host",
        "https://me:ses${A}ame@host",
        "https://me:${A}sesame@host/a@b",
        "https://me:%sesame@host",
        "https://${USER}:sesame@host",
        "${URL:-https://me:sesame@host}",
        "$(curl https://me:sesame@host)",
        "{{ url or 'https://me:sesame@host' }}",
        "{url: https://me:sesame@host}",
        "http://me:ses/ame@${HOST}",
        "https://me:ses'ame@index/simple",
        "--dsn postgresql://me:ses`ame@db/x",
        "postgresql://me:s\"e'same@db/x",
        "f'postgresql://app:{pw}ses\"ame@db/x'",
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
        "https://me:${TOKEN:-x}@host https://me:${TOKEN:-${OTHER:-}}@host https://me:${TOKEN:?is missing}@host",
        "https://me:$(cat /run/secrets/token)@host",
        "${URL:-https://me:${TOKEN}@host}",
        "http://localhost:${PORT}/x?mail=a@b",
        "https://$HOST:$PORT/a@b http://${HOST}:80${N}/a@b",
        "mongodb://app:${PW}@h1:27017,h2:27017/db?x=a@b",
        "f'postgresql://app:{pw}@db/x' f'http://{host}:{port}/a@b'",
        "f'postgresql://app:{os.environ[\"PW\"]}@db/x'",
        "f\"postgresql://app:{os.environ.get('PW', '')}@db/x\" 'postgresql://app:'+pw+'@db/x'",
        "curl 'https://me:'$PW'@host' https://me:\"$PW\"@host 'https://'$TOKEN'@host'",
        "['http://a:1','me@host'] {'a':'http://a:1'};'me@host' (`http://a:1`)@x {\"a\":\"http://a:1\",\"b\":\"me@host\"}",
        "'postgresql://app:{}@db/x'.format(pw), 'postgresql://app:%s@db/x' % pw, 'postgresql://%(user)s:%(pw)s@db/x'",
        "redis://:{{pw}}@h redis://:{{ var.value.pw }}@h https://me:${{ secrets.pw }}@h",
        "postgresql://app:***@db/x",
        "git+https://git@github.com/org/repo@v1",
        "--index-url https://oauth2accesstoken@europe-python.pkg.dev/p/r/simple",
        "https://__token__:@host/simple https://aws@host/simple https://_json_key_base64@host/simple",
    ],
)
def test_what_is_none_in_a_text_passes(text: str) -> None:
    assert are_bare(text)


@pytest.mark.parametrize(
    "text",
    [
        "proxy:3128",
        "${U}:${PW}@proxy:3128",
        "user:${PW}@proxy:3128",
        "$TOKEN@proxy:3128",
        "//user:$PW@proxy",
        "http://user:${PW}@proxy:3128",
        "${HOST}:${PORT}/a@b",
    ],
)
def test_a_proxy_without_a_literal_password_passes(text: str) -> None:
    assert are_bare(text, is_proxy=True)


@pytest.mark.parametrize(
    "text",
    [
        "me:sesame@proxy:3128",
        "${U}:sesame@proxy:3128",
        "me:sesame@${HOST}:${PORT}",
        "//me:sesame@proxy",
        "sesame@proxy",
        "user:${PW}@proxy me:sesame@proxy",
    ],
)
def test_a_literal_password_of_a_proxy_is_found(text: str) -> None:
    assert not are_bare(text, is_proxy=True)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("postgresql://me:sesame@db/x", "postgresql://***@db/x"),
        ("curl https://sesame@h/a s3://bucket/b", "curl https://***@h/a s3://bucket/b"),
        ("http://me:ses'a@me@h", "http://***@h"),
        ("//h https://me:sesame@", "//h https://***@"),
        ("https://me:${TOKEN}@h/x?mail=a@b", "https://me:${TOKEN}@h/x?mail=a@b"),
        ("no address, me@host", "no address, me@host"),
    ],
)
def test_the_rest_of_a_text_stays_readable_without_them(text: str, rest: str) -> None:
    assert without_credentials(text) == rest


def test_a_proxy_without_a_scheme_is_masked_as_a_whole() -> None:
    assert without_credentials("me:sesame@proxy:3128", is_proxy=True) == "***"
