"""Where a cluster's dashboard answers and how to be let in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from airflow_provider_air.errors import AirError
    from airflow_provider_air.ray_api.requests import Answer


@dataclass(frozen=True)
class Hints:
    """
    What a person can do where nothing can be sent, for each cause: by whoever made the transport.

    :param untrusted: the server's certificate is signed by nobody whom we know
    :param certificate: the server wants a client certificate
    :param plain: the server speaks no TLS
    :param headers: a header cannot be sent
    :param unreachable: nobody answers
    """

    untrusted: str = "Set 'ca_path' in the ray connection to the CA that signed it, or add it to the system's"
    certificate: str = "Give its certificate and key in the ray connection"
    plain: str = "Use http:// in the connection"
    headers: str = "Check the connection's password and 'headers'"
    unreachable: str = (
        "Is the cluster running, is its dashboard port reachable from this host, and does it want https://?"
    )


@dataclass(frozen=True)
class Transport:
    """
    Address, headers and TLS settings for one cluster's dashboard, made fresh for each use.

    Lives in memory only: it carries the token, so it is never serialised, and ``repr`` hides it.

    :param base_url: ``http(s)://host:port[/prefix]`` without a final slash
    :param token: Ray's bearer token, or None where the cluster runs with ``RAY_AUTH_MODE=disabled``
    :param headers: extra headers, for proxies in front of the dashboard; they go to its own address alone
    :param verify: True for the system's CAs, a path for another CA bundle, False to accept any; see
        :func:`airflow_provider_air.tls.context_for`
    :param client_certificate: paths of a certificate and its key, for servers that want one
    :param expires_at: epoch seconds after which token or address are stale, and a fresh one is asked for; None: never
    :param reads_agents: whether files may be read from the nodes' agents, which serve them in ranges
    :param agent_url: turns the address of a node's agent, as a job's record tells it (``http://ip:port``), into one
        that we reach and that is the cluster's, or into None where none is. By default the address itself, but only
        beside a plain ``http://`` dashboard, and only where the ip is a node's
    :param proxy: the address of an HTTP proxy on the way, or None
    :param tls_server_name: whose certificate the server shows, where that is not its address's host
    :param failure_between: tells what went wrong by an answer that somebody in front of Ray gave; None: it is Ray's
    :param hints: what to do where nothing can be sent
    """

    base_url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    client_certificate: tuple[str, str] | None = None
    expires_at: float | None = None
    reads_agents: bool = True
    agent_url: Callable[[str], Awaitable[str | None]] | None = field(default=None, repr=False, compare=False)
    proxy: str | None = field(default=None, repr=False)
    tls_server_name: str | None = None
    failure_between: Callable[[Answer], AirError | None] | None = field(default=None, repr=False, compare=False)
    hints: Hints = field(default=Hints(), repr=False, compare=False)

    def request_headers(self, base_url: str | None = None) -> dict[str, str]:
        """
        Give the headers of a request.

        Ray takes the token from ``Authorization``, or from ``X-Ray-Authorization`` behind proxies that eat
        the former. A ``Mozilla`` user agent would be answered 405 (Ray 2.60), so ours is named.

        :param base_url: where it goes, if not to the dashboard: a proxy's headers are not for others
        """
        is_ours = base_url is None or _origin(base_url) == _origin(self.base_url)
        headers = {"User-Agent": "airflow-provider-air", **(self.headers if is_ours else {})}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
            headers.setdefault("X-Ray-Authorization", f"Bearer {self.token}")
        return headers


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


@dataclass(frozen=True)
class RayConnection:
    """
    What a ``ray`` connection says. In memory only.

    :param backend: the back end that its clusters are of
    :param cluster: the fields of that back end's spec; for ``existing`` none
    :param transport: how to reach an existing cluster; None for other back ends
    :param dashboard_url: where people open the dashboard, where that is another address than ours; or None
    :param serve_url: where people and tasks reach the HTTP of Ray Serve; or None
    :param grafana_url: where people watch its metrics, such as a Grafana dashboard; or None
    """

    backend: str
    cluster: Mapping[str, Any] = field(default_factory=dict)
    transport: Transport | None = None
    dashboard_url: str | None = None
    serve_url: str | None = None
    grafana_url: str | None = None
