"""
The two questions to a W&B server that ``wandb sync`` leaves open: is the key good, and how much of a run is there?

Asks what wandb itself asks before it resumes a run. Source: wandb 0.31.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from typing import Any, Dict, Iterator, Optional

from ...wire.names import WANDB_CA
from ...wire.problems import ConfigurationProblem

TIMEOUT_SECONDS = 30.0
# What W&B's own process, which is none of Python's, reads.
SSL_CERT_FILE = "SSL_CERT_FILE"
VIEWER = "query Viewer { viewer { username } }"
LINES = """
query RunLines($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) { historyLineCount } }
}
"""


def _trusted() -> ssl.SSLContext:
    if os.environ.get("WANDB_INSECURE_DISABLE_SSL") == "true":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    return ssl.create_default_context(cafile=os.environ.get(WANDB_CA))


@contextlib.contextmanager
def trusted() -> Iterator[None]:
    """Let W&B's own process, which is started meanwhile, trust the connection's CA; nobody else of this process."""
    bundle, before = os.environ.get(WANDB_CA), os.environ.get(SSL_CERT_FILE)
    if bundle is not None:
        os.environ[SSL_CERT_FILE] = bundle
    try:
        yield
    finally:
        if bundle is not None:
            del os.environ[SSL_CERT_FILE]
            if before is not None:
                os.environ[SSL_CERT_FILE] = before


class ServerAway(Exception):
    """
    W&B gave no answer that can be used; a retry may get one.

    :param status: of the answer, where there was one
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """
    A W&B server.

    :param url: of its API
    :param key: the API key
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._key = key

    def check_key(self) -> None:
        """
        Ask who we are.

        :raises ConfigurationProblem: the key is refused
        :raises ServerAway: there is no answer
        """
        try:
            is_known = bool(self._ask(VIEWER, {}).get("viewer"))
        except ServerAway as error:
            if error.status not in (401, 403):
                raise
            is_known = False
        if not is_known:
            told = "W&B at %s refuses the API key; put a valid one into the wandb connection"
            raise ConfigurationProblem(told % self.url)

    def rows(self, entity: Optional[str], project: str, run_id: str) -> int:
        """
        Count the rows of history that a run has there.

        :raises ServerAway: there is no answer
        """
        answer = self._ask(LINES, {"project": project, "entity": entity or None, "name": run_id})
        bucket = (answer.get("model") or {}).get("bucket") or {}
        return int(bucket.get("historyLineCount") or 0)

    def hide(self, text: str) -> str:
        """Take the key out of a text."""
        return text.replace(self._key, "***")

    def _ask(self, query: str, variables: Dict[str, Any]) -> Dict[str, Any]:
        login = base64.b64encode(("api:%s" % self._key).encode()).decode()
        headers = {"Authorization": "Basic %s" % login, "Content-Type": "application/json"}
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request("%s/graphql" % self.url, data=body, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=_trusted()) as answer:  # noqa: S310
                told = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            told = "W&B at %s answers with HTTP status %d" % (self.url, error.code)
            raise ServerAway(told, error.code) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ServerAway("W&B at %s does not answer: %s" % (self.url, error)) from None
        if not isinstance(told, dict) or told.get("errors"):
            raise ServerAway(self.hide("W&B at %s does not tell: %s" % (self.url, json.dumps(told)[:500])))
        data = told.get("data")
        return data if isinstance(data, dict) else {}
