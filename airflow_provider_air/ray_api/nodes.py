"""
The nodes of a cluster, and which addresses are their agents'.

A job's record tells where its node's agent is, and whoever may run jobs on the cluster can write such records. So no
address is asked, with Ray's token, that is not one of a node which Ray itself lists.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_air.ray_api.requests import list_nodes

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.client import AsyncRayClient
    from airflow_provider_air.ray_api.models import Node

# Addresses pass on to others, such as pods: a list that is older is asked for anew.
KEPT_SECONDS = 60.0
# A node may have joined since; how often that is looked up at most.
ASKED_AGAIN_SECONDS = 1.0
_ADDRESS = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[0-9.]+):(\d{1,5})/?")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def plain_address(told: str) -> str | None:
    """Give a told agent's address if it is ``http(s)://ip:port`` and nothing else, else None."""
    found = _ADDRESS.fullmatch(told)
    if found is None or _ip_of(found[2].strip("[]")) is None:
        return None
    return told.rstrip("/")


def is_node_address(address: str, ips: Collection[str], dashboard_url: str) -> bool:
    """
    Tell whether an agent's address is that of a node.

    :param address: what :func:`plain_address` gave
    :param ips: the addresses of the nodes that are alive
    :param dashboard_url: where we reach the dashboard: only from its own host, a node can be on our loopback
    """
    ip = _ip_of(urlsplit(address).hostname or "")
    if ip is None or ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        # No node is there, whatever somebody registered as one; metadata services of clouds are.
        return False
    if ip.is_loopback and not _is_loopback(urlsplit(dashboard_url).hostname or ""):
        return False
    return ip in {_ip_of(node) for node in ips}


def _ip_of(text: str) -> _IP | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _is_loopback(host: str) -> bool:
    ip = _ip_of(host)
    return host == "localhost" if ip is None else ip.is_loopback


class Nodes:
    """The list of a cluster's nodes, shared by all who want it, and asked for seldom. For one event loop."""

    def __init__(self, client: AsyncRayClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._ips: frozenset[str] = frozenset()
        self.known: Sequence[Node] = ()
        """What was told last; empty where nobody has asked."""

    async def ask(self) -> Sequence[Node]:
        """
        Ask for all nodes now, dead ones included.

        :raises AirError: the cluster does not give them
        """
        nodes = await self._client.send(list_nodes())
        self._asked = time.monotonic()
        self._ips = frozenset(node.ip for node in nodes if node.state == "ALIVE")
        self.known = nodes
        return nodes

    async def have(self, address: str) -> bool:
        """
        Tell whether an agent's address is that of a node that is alive.

        :raises AirError: the cluster does not give its nodes
        """
        async with self._lock:
            age = time.monotonic() - self._asked
            if age >= KEPT_SECONDS or (age >= ASKED_AGAIN_SECONDS and not self._has(address)):
                await self.ask()
            return self._has(address)

    def _has(self, address: str) -> bool:
        return is_node_address(address, self._ips, self._client.transport.base_url)
