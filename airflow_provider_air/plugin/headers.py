"""What each answer of the pages says to the browser, errors among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from airflow_provider_air.plugin.entry import App, Receive, Scope, Send

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
HEADERS = {
    b"content-security-policy": CONTENT_POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    # What a person may see ends with their session.
    b"cache-control": b"no-store",
}


class SafeHeaders:
    """Adds :data:`HEADERS` to each answer of an application, but for those that the answer has itself."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_with(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers") or ())
                named = {key.lower() for key, _ in own}
                message["headers"] = [*own, *((key, value) for key, value in HEADERS.items() if key not in named)]
            await send(message)

        await self._app(scope, receive, send_with)
