"""The cluster around the driver: its dashboard's Serve REST, and its key-value store."""

from __future__ import annotations

import importlib
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any, Dict, Optional

from ..wire.problems import ConfigurationProblem

# The first PUT starts Serve's controller and proxies: 7 s on an idle machine, more on a busy one (Ray 2.60).
PUT_SECONDS = 180.0
PATIENCE_SECONDS = 45.0
# The user's machine may have a proxy configured, which cannot reach the cluster's own addresses.
_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Cluster:
    """
    What the driver's own cluster answers. All calls block and are tried again while nobody answers.

    :param url: the dashboard's address as seen from this node
    :param headers: what lets us in
    :param store: Ray's GCS client, for its key-value store
    """

    def __init__(self, url: str, headers: Dict[str, str], store: Any) -> None:
        self.url = url
        self.store = store
        self._headers = headers

    def serve(self) -> Dict[str, Any]:
        """Read what Serve runs; without Serve, a document with no applications."""
        details: Dict[str, Any] = self._ask("GET", "/api/serve/applications/", what="tell what Serve runs")
        return details

    def put(self, state: Dict[str, Any]) -> None:
        """
        Write the whole desired state of Serve; starts Serve where it does not run.

        :raises ConfigurationProblem: Serve rejects it
        """
        self._ask("PUT", "/api/serve/applications/", body=state, what="take the Serve configuration")

    def job_has_ended(self, submission_id: str) -> bool:
        """Tell whether a job is over, or unknown."""
        try:
            details = self._ask("GET", "/api/jobs/%s" % submission_id, what="describe a job")
        except ConfigurationProblem:
            return True
        return bool(details.get("status") not in ("PENDING", "RUNNING"))

    def _ask(self, method: str, path: str, *, what: str, body: Optional[Dict[str, Any]] = None) -> Any:
        data = None if body is None else json.dumps(body).encode("utf-8")
        headers = dict(self._headers, **{"Content-Type": "application/json"})
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)  # noqa: S310
            try:
                with _HTTP.open(request, timeout=PUT_SECONDS) as response:
                    text = response.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                said = error.read().decode("utf-8", "replace")
                if error.code < 500 or error.code == 501:
                    raise ConfigurationProblem("the cluster does not %s (%d): %s" % (what, error.code, said)) from error
                problem = "%d: %s" % (error.code, said)
            except OSError as error:
                problem = str(error)
            if time.monotonic() > end:
                raise RuntimeError("the cluster did not %s: %s" % (what, problem))
            time.sleep(1.0)


def connect() -> Cluster:
    """
    Reach the cluster that runs this job; does without ``ray.init``, which would cost a second or two.

    Source: Ray 2.60, the dashboard writes its address into the key-value store; job drivers get RAY_ADDRESS
    """
    raylet: Any = importlib.import_module("ray._raylet")
    store = raylet.GcsClient(address=os.environ["RAY_ADDRESS"])
    address = store.internal_kv_get(b"dashboard", b"dashboard")
    if not address:
        raise RuntimeError("the cluster has no dashboard, which Serve needs to be configured")
    return Cluster("http://%s" % address.decode(), _auth_headers(), store)


def _auth_headers() -> Dict[str, str]:
    try:
        from ray._private.authentication.http_token_authentication import get_auth_headers_if_auth_enabled
    except ImportError:  # Ray < 2.52 has no tokens
        return {}
    return dict(get_auth_headers_if_auth_enabled({}))
