"""Each answer says what a browser may do with it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from airflow_provider_air.plugin.headers import HEADERS, SafeHeaders


async def headers_of(*own: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """Give the headers of an answer that has these of its own."""
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": list(own)})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await SafeHeaders(app)({"type": "http"}, None, send)  # type: ignore[arg-type]
    return dict(sent[0]["headers"])


async def test_an_error_has_them_too() -> None:
    assert await headers_of() == HEADERS


async def test_an_answer_s_own_counts() -> None:
    told = await headers_of((b"Cache-Control", b"private"))
    assert told[b"Cache-Control"] == b"private"
    assert b"cache-control" not in told


def test_no_script_runs_but_the_bundle() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS[b"content-security-policy"].decode().split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in str(policy)
