"""The cluster around the driver: its dashboard's Serve REST, and its key-value store."""

from __future__ import annotations

import importlib
import json
import os
import random
import socket
import time
import urllib.error
import urllib.request
from typing import Any, Dict, Mapping, Optional

from ..wire.names import LOCAL_CLUSTER
from ..wire.problems import ConfigurationProblem

# The first PUT starts Serve's controller and proxies: 7 s on an idle machine, more on a busy one (Ray 2.60).
PUT_SECONDS = 180.0
PATIENCE_SECONDS = 45.0
# As good as for ever, and renewed by each deployment; a package is some of the head's memory.
KEEP_SECONDS = 400 * 24 * 3600
# As for the ports of a local cluster's head: below the kernel's ephemeral ports.
FIRST_PORT, LAST_PORT = 20000, 31999
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

    def keep_package(self, uri: str) -> None:
        """
        Keep a package on the cluster though neither a job nor a replica uses it.

        Ray deletes a package with its last use, so an application whose only replica dies would lose its code
        (measured on Ray 2.60: only nodes that had unpacked it could start another).
        """
        self.store.pin_runtime_env_uri(uri, KEEP_SECONDS)

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


def default_http_options() -> Dict[str, Any]:
    """Choose where Serve listens when it starts: Ray's default, and a free port of its own on a local cluster."""
    if LOCAL_CLUSTER not in os.environ:
        return {}
    for port in random.sample(range(FIRST_PORT, LAST_PORT + 1), 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return {"host": "127.0.0.1", "port": port}
    raise RuntimeError("no free port for Serve was found")


def proxies_of(details: Mapping[str, Any]) -> Dict[str, str]:
    """Give the addresses of Serve's healthy HTTP proxies by node id."""
    options = details.get("http_options") or {}
    host, port = options.get("host", "0.0.0.0"), options.get("port", 8000)  # noqa: S104
    found = {}
    for node, proxy in (details.get("proxies") or {}).items():
        if proxy.get("status") == "HEALTHY":
            # Bound to one address, a proxy is reached by that; bound to all, by its node's.
            name = proxy["node_ip"] if host in ("0.0.0.0", "::", "") else host  # noqa: S104
            found[node] = "http://%s:%s" % ("[%s]" % name if ":" in name else name, port)
    return found


def routes_of(proxy: str) -> Optional[Dict[str, str]]:
    """Ask a proxy which application it sends each route to; None where it does not answer."""
    try:
        with _HTTP.open(proxy + "/-/routes", timeout=10) as response:
            routes: Dict[str, str] = json.loads(response.read())
            return routes
    except (OSError, ValueError):
        return None
