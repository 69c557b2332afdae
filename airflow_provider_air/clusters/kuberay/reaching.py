"""
How Ray's API on a RayCluster is reached: by the Service's name within Kubernetes, by the kube-apiserver's proxy from
outside, by a connection through the kubelet, or at an address that somebody gives.

By the kube-apiserver, ``Authorization`` is its own and does not arrive at Ray, which takes its token from
``X-Ray-Authorization`` as well (Ray 2.60).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_air.addresses import check_bare
from airflow_provider_air.clusters.kuberay import api, permissions
from airflow_provider_air.clusters.kuberay.answers import failure_told, told_by
from airflow_provider_air.clusters.kuberay.client import KubeClient, transport_to
from airflow_provider_air.clusters.kuberay.forwarding import forwarded
from airflow_provider_air.clusters.kuberay.kinds import POD, SERVICE, Asked
from airflow_provider_air.errors import (
    AirError,
    ClusterNotReadyError,
    ConfigurationError,
    UnavailableError,
)
from airflow_provider_air.ray_api.transport import Transport

if TYPE_CHECKING:
    from airflow_provider_air.contracts.connections import KubernetesAccess, KubernetesServer
    from airflow_provider_air.ray_api.requests import Answer

DASHBOARD_PORT = 8265
# Tokens that do not tell their end live for some 15 minutes in the clouds.
RENEWED_SECONDS = 600.0
# Pods come and go: how often an address that is nobody's is looked up at most.
ASKED_AGAIN_SECONDS = 5.0
AUTO, DNS, PROXY, PORT_FORWARD = "auto", "dns", "proxy", "port_forward"
WAYS = (AUTO, DNS, PROXY, PORT_FORWARD)


def check_reach(reach: str) -> None:
    """:raises ConfigurationError: it is no way to reach Ray's API."""
    if reach in WAYS:
        return
    check_bare(reach, "'reach'", where=None, hint="Ray's token comes from the cluster's Secret")
    parts = urlsplit(reach)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"'reach' must be one of {', '.join(WAYS)}, or an http:// or https:// address, not {reach!r}"
        )


def uses_of(reach: str, server: KubernetesServer) -> Sequence[str]:
    """Give what a way needs of :data:`~airflow_provider_air.clusters.kuberay.permissions.NEEDS`."""
    if reach == PORT_FORWARD:
        return (permissions.PORT_FORWARD,)
    is_by_proxy = reach == PROXY or (reach == AUTO and not server.in_cluster)
    return (permissions.PROXY,) if is_by_proxy else ()


def transport_of(
    access: KubernetesAccess, namespace: str, *, cluster: str, service: str, token: str | None, reach: str = AUTO
) -> Transport:
    """
    Give address, headers and TLS settings of a cluster's dashboard, for one use; blocks.

    :param cluster: the RayCluster's name, which its pods have as a label
    :param service: the head's Service, from the RayCluster's status
    :param token: Ray's own, or None where it wants none
    :param reach: ``dns``, ``proxy``, ``auto`` (the first within that Kubernetes, else the second), ``port_forward``, or
        an address in which ``{cluster}``, ``{service}`` and ``{namespace}`` are filled in
    :raises ConfigurationError: the connection leads to no kube-apiserver
    :raises UnavailableError: what keeps the connection does not answer
    """
    check_reach(reach)
    between = _Between(namespace, cluster)
    if reach not in WAYS:
        names = {"{cluster}": cluster, "{service}": service, "{namespace}": namespace}
        for field, name in names.items():
            reach = reach.replace(field, name)
        return Transport(reach.rstrip("/"), token=token, failure_between=between)
    if reach == PORT_FORWARD:
        return _by_port_forward(access, namespace, cluster, token)
    server = None if reach == DNS else access.server()
    if server is None or (reach == AUTO and server.in_cluster):
        return Transport(f"http://{service}.{namespace}.svc:{DASHBOARD_PORT}", token=token, failure_between=between)
    return _by_proxy(server, access, namespace, cluster, service, token)


def _by_proxy(
    server: KubernetesServer, access: KubernetesAccess, namespace: str, cluster: str, service: str, token: str | None
) -> Transport:
    # Not as the transport's token: that would go into Authorization where a certificate lets us in.
    headers = {**server.headers, **({"X-Ray-Authorization": f"Bearer {token}"} if token else {})}
    ends = time.time() + RENEWED_SECONDS
    pods = _Pods(access, namespace, cluster)

    async def agent_url(told: str) -> str | None:
        found = await pods.at(told)
        return found and server.url + POD.path(namespace, f"{found[0]}:{found[1]}", "proxy")

    return replace(
        transport_to(server),
        base_url=server.url + SERVICE.path(namespace, f"{service}:dashboard", "proxy"),
        headers=headers,
        expires_at=ends if server.expires_at is None else min(ends, server.expires_at),
        agent_url=agent_url,
        failure_between=_Between(namespace, cluster),
    )


def _by_port_forward(access: KubernetesAccess, namespace: str, cluster: str, token: str | None) -> Transport:
    pods = _Pods(access, namespace, cluster)

    async def agent_url(told: str) -> str | None:
        found = await pods.at(told)
        if found is None:
            return None
        pod, port = found
        return await asyncio.to_thread(forwarded, access, namespace, pod, port, lambda: pod)

    return Transport(
        forwarded(access, namespace, f"head of {cluster}", DASHBOARD_PORT, pods.head),
        token=token,
        # Long before the port is given back for want of use.
        expires_at=time.time() + RENEWED_SECONDS,
        agent_url=agent_url,
        failure_between=_Between(namespace, cluster),
    )


class _Pods:
    """The pods of a cluster. For one event loop, and for threads."""

    def __init__(self, access: KubernetesAccess, namespace: str, cluster: str) -> None:
        self._access, self._namespace, self._cluster = access, namespace, cluster
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._names: dict[str, str] = {}

    async def at(self, told: str) -> tuple[str, int] | None:
        """
        Give the pod and the port that are at an agent's address; None where that is not one of the cluster's pods.

        :raises AirError: the kube-apiserver does not tell
        """
        parts = urlsplit(told)
        ip = _plain(parts.hostname or "")
        async with self._lock:
            if ip not in self._names and time.monotonic() - self._asked > ASKED_AGAIN_SECONDS:
                self._asked = time.monotonic()
                self._names = await asyncio.to_thread(self._ask)
        pod = self._names.get(ip)
        return None if pod is None or parts.port is None else (pod, parts.port)

    def head(self) -> str:
        """
        Give the head's name; blocks.

        :raises ClusterNotReadyError: there is none now
        """
        for pod in self._alive():
            if pod["metadata"].get("labels", {}).get("ray.io/node-type") == "head":
                return str(pod["metadata"]["name"])
        raise ClusterNotReadyError("The cluster has no head now", where=f"{self._namespace}/{self._cluster}")

    def _ask(self) -> dict[str, str]:
        return {
            _plain(address["ip"]): pod["metadata"]["name"]
            for pod in self._alive()
            for address in pod.get("status", {}).get("podIPs") or ()
        }

    def _alive(self) -> list[api.Resource]:
        with KubeClient(self._access, patience_seconds=0.0) as kube:
            pods, _ = kube.list_all(lambda rest: api.list_pods(self._namespace, self._cluster, rest=rest))
        # The address of one that has ended may be another's by now.
        return [
            pod
            for pod in pods
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and "deletionTimestamp" not in pod["metadata"]
        ]


def _plain(ip: str) -> str:
    try:
        return str(ipaddress.ip_address(ip))
    except ValueError:
        return ip


class _Between:
    """Tells what went wrong where it was not Ray's job API that refused."""

    def __init__(self, namespace: str, cluster: str) -> None:
        self._asked = Asked("proxy", SERVICE, namespace, cluster)

    def __call__(self, answer: Answer) -> AirError | None:
        told = told_by(answer)
        if told is None:
            return self._of_token(answer) if answer.status in (401, 403) else None
        if told.code in (404, 503):
            return ClusterNotReadyError(f"The cluster cannot be reached by the kube-apiserver's proxy: {told.message}")
        return failure_told(told, self._asked)

    def _of_token(self, answer: Answer) -> AirError:
        return UnavailableError(
            f"Ray refuses the cluster's token ({answer.status}): {answer.text[:200]!r}",
            where=f"{self._asked.namespace}/{self._asked.name}",
            hint="Was its Secret changed after the head had started? A new head takes the new one",
        )
