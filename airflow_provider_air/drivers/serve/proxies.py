"""Serve's own HTTP proxies: where they listen, whom they are known by, and what they route."""

from __future__ import annotations

import json
import ssl
import urllib.request
from typing import Any, Dict, List, Mapping, Optional

from ..wire.problems import ConfigurationProblem

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# Python names it from 3.10 on: the certificate itself is trusted, whoever has signed it.
_PARTIAL_CHAIN = 0x80000


class Proxies:
    """
    The healthy proxies of one look at Serve.

    With TLS a proxy is asked at its node's address, which no certificate names. It is known instead by the very
    certificate that Serve's ``ssl_certfile`` holds, read on the driver's node: verification is never off.

    :param details: what Serve tells of itself
    :raises ConfigurationProblem: that file cannot be read here, or holds no certificate
    """

    def __init__(self, details: Mapping[str, Any]) -> None:
        self.urls = urls_of(details)
        options = details.get("http_options") or {}
        # The user's machine may have a proxy configured, which cannot reach the cluster's own addresses.
        handlers: List[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if scheme_of(options) == "https":
            handlers.append(urllib.request.HTTPSHandler(context=_context_of(options["ssl_certfile"])))
        self.http = urllib.request.build_opener(*handlers)

    def routes(self, url: str) -> Optional[Dict[str, str]]:
        """Ask a proxy which application it sends each route to; None where it does not answer."""
        try:
            with self.http.open(url + "/-/routes", timeout=10) as response:
                routes: Dict[str, str] = json.loads(response.read())
                return routes
        except (OSError, ValueError):
            return None


def scheme_of(http_options: Mapping[str, Any]) -> str:
    """Give the scheme that Serve's proxies speak."""
    return "https" if http_options.get("ssl_keyfile") and http_options.get("ssl_certfile") else "http"


def urls_of(details: Mapping[str, Any]) -> Dict[str, str]:
    """Give the addresses of Serve's healthy HTTP proxies by node id."""
    options = details.get("http_options") or {}
    host, port = options.get("host", "0.0.0.0"), options.get("port", 8000)  # noqa: S104
    found = {}
    for node, proxy in (details.get("proxies") or {}).items():
        if proxy.get("status") == "HEALTHY":
            # Bound to one address, a proxy is reached by that; bound to all, by its node's.
            name = proxy["node_ip"] if host in EVERYWHERE else host
            name = "[%s]" % name if ":" in name else name
            found[node] = "%s://%s:%s" % (scheme_of(options), name, port)
    return found


def _context_of(certfile: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= _PARTIAL_CHAIN
    try:
        with open(certfile, encoding="ascii", errors="replace") as file:
            text = file.read()
        # Only the first: after it comes the chain, by which any other certificate of that authority would pass.
        context.load_verify_locations(cadata=text[text.index(_BEGIN) : text.index(_END)] + _END + "\n")
    except (OSError, ValueError) as error:
        raise ConfigurationProblem(
            "Serve listens with TLS, and this node does not have the certificate by which its proxies are known, "
            "http_options.ssl_certfile=%r: %s; put the file on each node" % (certfile, error)
        ) from error
    return context
