"""
A double of Ray Serve as a driver sees it: its REST state in memory, and its HTTP proxy on loopback.

Applications get better or worse with each look: DEPLOYING first, then RUNNING, or DEPLOY_FAILED where their
``args`` say ``fails``.
"""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class KeyValueStore:
    """Ray's key-value store, as far as drivers use it."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.pins: list[str] = []
        self._guard = threading.Lock()

    def internal_kv_put(self, key: bytes, value: bytes, overwrite: bool, namespace: bytes | None) -> int:
        """Put a value; 1 where the key is new."""
        with self._guard:
            added = key not in self.rows
            if added or overwrite:
                self.rows[key] = value
            return int(added)

    def internal_kv_get(self, key: bytes, namespace: bytes | None) -> bytes | None:
        """Give a value."""
        return self.rows.get(key)

    def internal_kv_keys(self, prefix: bytes, namespace: bytes | None) -> list[bytes]:
        """List keys."""
        with self._guard:
            return [key for key in self.rows if key.startswith(prefix)]

    def internal_kv_exists(self, key: bytes, namespace: bytes | None) -> bool:
        """Tell whether there is a key."""
        return key in self.rows

    def pin_runtime_env_uri(self, uri: str, seconds: int) -> None:
        """Note what is pinned."""
        self.pins.append(uri)

    def internal_kv_del(self, key: bytes, by_prefix: bool, namespace: bytes | None) -> None:
        """Delete a key."""
        with self._guard:
            self.rows.pop(key, None)


class FakeServe:
    """
    Stands in for :class:`airflow_provider_air.drivers.serve.cluster.Cluster`; a context manager.

    Of a deployment that scales itself from zero, a request starts the first replica, but is not answered.

    :param looks: how often an application is seen DEPLOYING before it is what it will be
    :param certificate: paths of the certificate and the key that its proxy shows
    :ivar options: of Serve itself, beside those it would have
    :ivar looks: as above, for what is written from now on
    :ivar wakes: whether what has scaled to zero starts a replica when it is asked
    """

    def __init__(self, looks: int = 1, certificate: tuple[str, str] | None = None) -> None:
        self.store = KeyValueStore()
        self.applications: dict[str, dict[str, Any]] = {}
        self.puts: list[dict[str, Any]] = []
        self.started = False
        self.options: dict[str, Any] = {}
        self.looks = looks
        self.wakes = True
        self._asleep: set[str] = set()
        self._pending: dict[str, int] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.tls: dict[str, str] = {}
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.tls = {"ssl_certfile": certificate[0], "ssl_keyfile": certificate[1]}

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
                "controller_info": {"actor_id": "controller-1"},
                "http_options": {"host": "127.0.0.1", "port": port, **self.tls},
                "proxy_location": "EveryNode",
                "proxies": {"node": {"status": "HEALTHY", "node_ip": "127.0.0.1"}},
                **self.options,
            }
        return details

    def put(self, state: dict[str, Any]) -> None:
        """Take the whole desired state."""
        self.started = True
        self.puts.append(state)
        wanted = {item["name"]: item for item in state["applications"]}
        for name, config in wanted.items():
            if _code(self.applications.get(name)) != _code(config):
                self._pending[name] = self.looks
                self._asleep |= {name} & {name for one in config.get("deployments") or [] if _sleeps(one)}
        self.applications = {name: _shown(config, state) for name, config in wanted.items()}

    def job_has_ended(self, submission_id: str) -> bool:
        """Every other job lives."""
        return False

    def _details(self, name: str) -> dict[str, Any]:
        config = self.applications[name]
        waiting = self._pending.get(name, 0)
        self._pending[name] = waiting - 1
        status = "DEPLOYING" if waiting > 0 else "DEPLOY_FAILED" if config["args"].get("fails") else "RUNNING"
        message = "Traceback\nValueError: no model" if status == "DEPLOY_FAILED" else ""
        count = 0 if name in self._asleep else 1
        deployment: dict[str, Any] = {
            "status": "HEALTHY",
            "target_num_replicas": count,
            "replicas": [{"state": "RUNNING"}] * count,
            "deployment_config": next(iter(config.get("deployments") or []), {}),
        }
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
                if name in fake._asleep:
                    fake._asleep -= {name} if fake.wakes else set()
                    self.send_error(503)
                    return
                body = fake.routes if path == "/-/routes" else {**fake.applications[name]["args"]} if name else None
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        return Handler


def _code(config: dict[str, Any] | None) -> Any:
    return config and {key: value for key, value in config.items() if key != "route_prefix"}


def _sleeps(deployment: dict[str, Any]) -> bool:
    return (deployment.get("autoscaling_config") or {}).get("min_replicas") == 0


def _shown(config: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration as Serve shows it: numbers as its schema has them, and the whole config's logging."""
    shown = dict(config)
    if state.get("logging_config") and not shown.get("logging_config"):
        shown["logging_config"] = state["logging_config"]
    if shown.get("deployments"):
        shown["deployments"] = [_with_floats(one) for one in shown["deployments"]]
    return shown


def _with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        kept = ("num_replicas", "max_surge_percent", "user_config")
        return {name: item if name in kept else _with_floats(item) for name, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
