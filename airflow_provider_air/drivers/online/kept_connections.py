"""
HTTP over connections that are kept, by the standard library: one handshake serves many requests.

Environment variables name proxies as they do for ``urllib``. Redirects are not followed: a key would go along, to any
host.
"""

from __future__ import annotations

import base64
import collections
import http.client
import ssl
import urllib.request
from typing import Deque, Dict, Optional, Tuple
from urllib.parse import SplitResult, unquote, urlsplit

# How a connection fails that the other side has closed while it was kept.
STALE = (ConnectionError, http.client.BadStatusLine, ssl.SSLEOFError, ssl.SSLZeroReturnError)
# Of an answer that tells of an error.
MOST_SAID_BYTES = 2000


class KeptConnections:
    """
    The connections to one server; for any number of threads, each of which has one for itself while it asks.

    :param url: scheme and host
    :param most_kept: how many are kept while nobody asks
    """

    def __init__(self, url: str, context: ssl.SSLContext, most_kept: int) -> None:
        self._server = urlsplit(url)
        self._context = context
        self._kept: Deque[http.client.HTTPConnection] = collections.deque()
        self._most_kept = most_kept
        proxy = None
        if not urllib.request.proxy_bypass(self._server.hostname or ""):
            proxy = urllib.request.getproxies().get(self._server.scheme)
        # A proxy may be named without its scheme.
        self._proxy = urlsplit(proxy if "://" in proxy else "http://" + proxy) if proxy else None

    def post(self, url: str, body: bytes, headers: Dict[str, str], timeout_seconds: float) -> Tuple[int, bytes]:
        """
        Ask for what may be asked for twice; gives the answer's status and body, shortened where it is an error.

        :param url: below the server's
        :raises OSError: nobody answers
        :raises http.client.HTTPException: the answer is no HTTP
        """
        try:
            kept: Optional[http.client.HTTPConnection] = self._kept.pop()
        except IndexError:
            kept = None
        if kept is not None:
            try:
                return self._asked(kept, url, body, headers, timeout_seconds)
            except STALE:
                # Its like are as old.
                self._close_kept()
        return self._asked(self._opened(), url, body, headers, timeout_seconds)

    def _asked(
        self, connection: http.client.HTTPConnection, url: str, body: bytes, headers: Dict[str, str], seconds: float
    ) -> Tuple[int, bytes]:
        is_whole = False
        try:
            connection.timeout = seconds
            if connection.sock is not None:
                connection.sock.settimeout(seconds)
            target, more = self._addressed(url)
            connection.request("POST", target, body, {**headers, **more})
            answer = connection.getresponse()
            is_fine = 200 <= answer.status < 300
            said = answer.read() if is_fine else answer.read(MOST_SAID_BYTES)
            is_whole = is_fine and not answer.will_close
            return answer.status, said
        finally:
            if is_whole and len(self._kept) < self._most_kept:
                self._kept.append(connection)
            else:
                connection.close()

    def _addressed(self, url: str) -> Tuple[str, Dict[str, str]]:
        """Give what a request names, and the headers that it needs for that: a proxy wants to know it all."""
        if self._proxy is not None and self._server.scheme == "http":
            return url, _credentials(self._proxy)
        parts = urlsplit(url)
        return parts.path + ("?" + parts.query if parts.query else ""), {}

    def _opened(self) -> http.client.HTTPConnection:
        server, proxy = self._server, self._proxy
        if proxy is None:
            return self._of(server, server.scheme)
        if server.scheme == "http":
            return self._of(proxy, proxy.scheme)
        connection = self._of(proxy, server.scheme)
        connection.set_tunnel(server.hostname or "", server.port or 443, _credentials(proxy))
        return connection

    def _of(self, place: SplitResult, scheme: str) -> http.client.HTTPConnection:
        host = place.hostname or ""
        if scheme == "https":
            return http.client.HTTPSConnection(host, place.port, context=self._context)
        return http.client.HTTPConnection(host, place.port)

    def _close_kept(self) -> None:
        while True:
            try:
                self._kept.pop().close()
            except IndexError:
                return


def _credentials(proxy: SplitResult) -> Dict[str, str]:
    if proxy.username is None:
        return {}
    pair = "%s:%s" % (unquote(proxy.username), unquote(proxy.password or ""))
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}
