"""
A double of Ray Serve as a driver sees it: its REST state in memory, and its HTTP proxy on loopback.

Applications get better or worse with each look: DEPLOYING first, then RUNNING, or DEPLOY_FAILED where their
``args`` say ``fails``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class KeyValueStore:
    """Ray's key-value store, as far as drivers use it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self._guard = threading.Lock()

    def internal_kv_put(self, key: bytes, value: bytes, overwrite: bool, namespace: bytes) -> int:
        """Put a value; 1 where the key is new."""
        with self._guard:
            added = key not in self.rows
            if added or overwrite:
                self.rows[key] = value
            return int(added)

    def internal_kv_get(self, key: bytes, namespace: bytes) -> bytes | None:
        """Give a value."""
        return self.rows.get(key)

    def internal_kv_keys(self, prefix: bytes, namespace: bytes) -> list[bytes]:
        """List keys."""
        with self._guard:
            return [key for key in self.rows if key.startswith(prefix)]

    def internal_kv_del(self, key: bytes, by_prefix: bool, namespace: bytes) -> None:
        """Delete a key."""
        with self._guard:
            self.rows.pop(key, None)


class FakeServe:
    """
    Stands in for :class:`airflow_provider_air.drivers.serve.cluster.Cluster`; a context manager.

    :param looks: how often an application is seen DEPLOYING before it is what it will be
    """

    def __init__(self, looks: int = 1) -> None:
        self.store = KeyValueStore()
        self.applications: dict[str, dict[str, Any]] = {}
        self.puts: list[dict[str, Any]] = []
        self.kept: list[str] = []
        self.started = False
        self._looks = looks
        self._pending: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def routes(self) -> dict[str, str]:
        """Which application each route leads to."""
        return {config["route_prefix"]: name for name, config in self.applications.items() if config["route_prefix"]}

    def serve(self) -> dict[str, Any]:
        """Give what Serve tells of itself."""
        details: dict[str, Any] = {"applications": {name: self._details(name) for name in self.applications}}
        if self.started:
            port = self._server.server_address[1]
            details |= {
                "controller_info": {"pid": 1},
                "http_options": {"host": "127.0.0.1", "port": port},
                "proxy_location": "EveryNode",
                "proxies": {"node": {"status": "HEALTHY", "node_ip": "127.0.0.1"}},
            }
        return details

    def put(self, state: dict[str, Any]) -> None:
        """Take the whole desired state."""
        self.started = True
        self.puts.append(state)
        wanted = {item["name"]: item for item in state["applications"]}
        for name, config in wanted.items():
            if _code(self.applications.get(name)) != _code(config):
                self._pending[name] = self._looks
        self.applications = wanted

    def job_has_ended(self, submission_id: str) -> bool:
        """Every other job lives."""
        return False

    def keep_package(self, uri: str) -> None:
        """Note what is pinned."""
        self.kept.append(uri)

    def _details(self, name: str) -> dict[str, Any]:
        config = self.applications[name]
        waiting = self._pending.get(name, 0)
        self._pending[name] = waiting - 1
        status = "DEPLOYING" if waiting > 0 else "DEPLOY_FAILED" if config["args"].get("fails") else "RUNNING"
        message = "Traceback\nValueError: no model" if status == "DEPLOY_FAILED" else ""
        deployment = {"status": "HEALTHY", "target_num_replicas": 1, "replicas": [{"state": "RUNNING"}]}
        return {
            "status": status,
            "message": message,
            "route_prefix": config["route_prefix"],
            "deployed_app_config": config,
            "deployments": {"Model": deployment} if status == "RUNNING" else {},
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                name = fake.routes.get(path)
                body = fake.routes if path == "/-/routes" else {**fake.applications[name]["args"]} if name else None
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        return Handler


def _code(config: dict[str, Any] | None) -> Any:
    return config and {key: value for key, value in config.items() if key != "route_prefix"}
