"""
Leads a loopback port of this process to a port of a pod, by the kube-apiserver and the kubelet.

For networks in which the kube-apiserver reaches kubelets only, and so no Service: the pods' ports are closed to it in
private clusters of clouds, and the proxy times out. Each connection is a WebSocket of its own
(``v4.channel.k8s.io``: each message begins with its channel, 0 for data and 1 for an error, and the first one of each
channel holds the port).

The port is this host's: who else is on it needs Ray's token to do anything, as in front of any head.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_air.clusters.kuberay.answers import TokenRefusedError, failure_of
from airflow_provider_air.clusters.kuberay.client import transport_to
from airflow_provider_air.clusters.kuberay.kinds import POD, Asked
from airflow_provider_air.errors import AirError, UnavailableError
from airflow_provider_air.ray_api.requests import Answer
from airflow_provider_air.tls import context_for

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import KubernetesAccess, KubernetesServer

log = logging.getLogger(__name__)

# A port that nobody has used for so long is given back: who wants it again opens it again.
IDLE_SECONDS = 1800.0
CONNECT_SECONDS = 10.0
# Many connections at once are one look at the kubernetes connection, and one run of its exec plug-in.
KEPT_SECONDS = 60.0
PIECE_BYTES = 64 * 1024
_DATA, _ERROR = 0, 1

FindPod = Callable[[], str]
_lock = threading.Lock()
_open: dict[tuple[int, str, str, str, int], _Forward] = {}


def forwarded(access: KubernetesAccess, namespace: str, whom: str, port: int, find_pod: FindPod) -> str:
    """
    Give the address in this process that leads to a pod's port; the same one for all who ask.

    :param whom: names the pod for as long as it may have successors, such as a cluster's head
    :param find_pod: gives the pod's name for each new connection; blocks
    """
    # After a fork the threads are the parent's.
    key = (os.getpid(), access.conn_id, namespace, whom, port)
    with _lock:
        found = _open.get(key)
        if found is None or not found.use():
            found = _open[key] = _Forward(access, namespace, port, find_pod)
        return found.url


class _Forward:
    def __init__(self, access: KubernetesAccess, namespace: str, port: int, find_pod: FindPod) -> None:
        self._access, self._namespace, self._port, self._find_pod = access, namespace, port, find_pod
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(IDLE_SECONDS / 4)
        self._used = time.monotonic()
        self._is_closed = False
        self._known: tuple[float, KubernetesServer] | None = None
        self._use_lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._start(self._listen)

    def use(self) -> bool:
        """Keep it open; False where it is closed already."""
        with self._use_lock:
            self._used = time.monotonic()
            return not self._is_closed

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=work, args=arguments, name=f"air-forward-{self._port}", daemon=True).start()

    def _listen(self) -> None:
        while not self._is_idle():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.use()
            self._start(self._lead, connection)
        self._listener.close()

    def _is_idle(self) -> bool:
        with self._use_lock:
            self._is_closed = time.monotonic() - self._used > IDLE_SECONDS
            return self._is_closed

    def _lead(self, connection: socket.socket) -> None:
        with connection:
            try:
                tunnel = self._connect()
            except AirError as error:
                _refuse(connection, error)
                return
            with contextlib.closing(tunnel):
                self._start(_send_up, connection, tunnel)
                _send_down(connection, tunnel)
                # Wakes who waits for more to send.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> Any:
        """:raises AirError: the kube-apiserver leads to no such port."""
        pod = self._find_pod()
        try:
            return self._tunnel(pod, self._server(KEPT_SECONDS))
        except TokenRefusedError:
            return self._tunnel(pod, self._server(0.0))

    def _server(self, at_most_seconds: float) -> KubernetesServer:
        with self._use_lock:
            known = self._known
        if known is None or time.monotonic() - known[0] > at_most_seconds:
            known = time.monotonic(), self._access.server()
            with self._use_lock:
                self._known = known
        return known[1]

    def _tunnel(self, pod: str, server: KubernetesServer) -> Any:
        asked = Asked("create", POD, self._namespace, pod, "portforward")
        path = f"{POD.path(self._namespace, pod, 'portforward')}?ports={self._port}"
        websocket: Any = importlib.import_module("websocket")
        try:
            return websocket.create_connection(_socket_url(server) + path, **_options(server))
        except websocket.WebSocketBadStatusException as error:
            body = error.resp_body or b""
            raise failure_of(
                Answer(error.status_code, body if isinstance(body, bytes) else str(body).encode()), asked
            ) from error
        except (websocket.WebSocketException, OSError) as error:
            raise UnavailableError(f"No connection to {asked}: {error}", where=server.url) from error


def _socket_url(server: KubernetesServer) -> str:
    return "ws" + server.url.removeprefix("http")


def _options(server: KubernetesServer) -> dict[str, Any]:
    transport = transport_to(server)
    options: dict[str, Any] = {
        "timeout": CONNECT_SECONDS,
        "header": {name: value for name, value in transport.request_headers().items() if name != "User-Agent"},
        "subprotocols": ["v4.channel.k8s.io"],
        "suppress_origin": True,
        "http_no_proxy": ["*"],
    }
    if server.url.startswith("https://"):
        options["sslopt"] = {"context": context_for(server.url, server.verify, server.client_certificate)}
        if server.tls_server_name:
            options["sslopt"]["server_hostname"] = server.tls_server_name
    if server.proxy:
        parts = urlsplit(server.proxy)
        login = (parts.username, parts.password) if parts.username else None
        options |= {"http_proxy_host": parts.hostname, "http_proxy_port": parts.port, "http_proxy_auth": login}
        options |= {"proxy_type": "http", "http_no_proxy": None}
    return options


def _send_up(connection: socket.socket, tunnel: Any) -> None:
    with contextlib.suppress(Exception):  # whichever end goes, the other one is closed by who receives
        while piece := connection.recv(PIECE_BYTES):
            tunnel.send_binary(bytes([_DATA]) + piece)
    with contextlib.suppress(Exception):
        tunnel.abort()  # closing it would not wake who waits for more to receive


def _send_down(connection: socket.socket, tunnel: Any) -> None:
    tunnel.settimeout(None)
    begun: set[int] = set()
    with contextlib.suppress(Exception):  # either end may go at any time
        while message := tunnel.recv():
            channel, piece = message[0], message[1:]
            if channel not in begun:
                begun.add(channel)
                piece = piece[2:]
            if channel == _ERROR and piece:
                log.warning("A forwarded connection ended: %s", piece.decode("utf-8", "replace"))
                return
            connection.sendall(piece)


def _refuse(connection: socket.socket, error: AirError) -> None:
    """Say why there is no way, as what is behind would refuse."""
    log.warning("No connection is forwarded: %s", error)
    body = str(error).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    with contextlib.suppress(OSError):
        connection.settimeout(CONNECT_SECONDS)
        connection.recv(PIECE_BYTES)
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
