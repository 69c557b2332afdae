"""A double of Google's token endpoint: takes a claim signed by a service account's key, gives a short-lived token."""

from __future__ import annotations

import functools
import json
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.loopback import LoopbackServer

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@functools.cache
def private_key() -> str:
    """Make a service account's key, once for all tests."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class GoogleTokens(LoopbackServer):
    """
    Gives out tokens, each another one.

    :param seconds: how long a token lasts; ``status``: what is answered instead, where it is not 200
    """

    def __init__(self, *, seconds: int = 3600) -> None:
        super().__init__()
        self.seconds, self.status = seconds, 200
        self.given: list[str] = []
        self.url = ""

    def connection(self, **extra: Any) -> str:
        """Give the JSON of a ``google_cloud_platform`` connection whose key is exchanged here."""
        key = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": private_key(),
            "client_email": "worker@tests.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }
        return json.dumps({"conn_type": "google_cloud_platform", "extra": {"keyfile_dict": json.dumps(key), **extra}})

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_post("/token", self._give)
        _, port = await self._listen(app)
        self.url = f"http://127.0.0.1:{port}"

    async def _give(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.status != 200 or form.get("grant_type") != JWT_GRANT or not form.get("assertion"):
            return web.json_response({"error": "invalid_grant"}, status=self.status if self.status != 200 else 400)
        self.given.append(f"ya29.canary-{len(self.given)}")
        return web.json_response({"access_token": self.given[-1], "expires_in": self.seconds, "token_type": "Bearer"})
