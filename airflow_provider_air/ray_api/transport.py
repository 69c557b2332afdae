"""Where a cluster's dashboard answers and how to be let in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Transport:
    """
    Address, headers and TLS settings for one cluster's dashboard, made fresh for each use.

    Lives in memory only: it carries the token, so it is never serialised, and ``repr`` hides it.

    :param base_url: ``http(s)://host:port[/prefix]`` without a final slash
    :param token: Ray's bearer token, or None where the cluster runs with ``RAY_AUTH_MODE=disabled``
    :param headers: extra headers, for proxies in front of the dashboard
    :param verify: True for the system's CAs, a path for another CA bundle, False to accept any
    """

    base_url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True

    def request_headers(self) -> dict[str, str]:
        """
        Give the headers of every request.

        Ray takes the token from ``Authorization``, or from ``X-Ray-Authorization`` behind proxies that eat
        the former. A ``Mozilla`` user agent would be answered 405 (Ray 2.60), so ours is named.
        """
        headers = {"User-Agent": "airflow-provider-air", **self.headers}
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
            headers.setdefault("X-Ray-Authorization", f"Bearer {self.token}")
        return headers
