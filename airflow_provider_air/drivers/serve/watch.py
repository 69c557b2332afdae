"""Waits until applications are healthy, and reports their states to the task log as they change."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ..wire.serve_state import UNWELL, explain, replicas_of, title_of
from .cluster import Cluster
from .proxies import Proxies

POLL_SECONDS = 0.25
# How long the proxies may take to learn of a new route; they are told at once (Serve's long poll).
ROUTE_SECONDS = 30.0


class RolloutFailed(Exception):
    """The new version is not fit to serve; the message is Serve's own."""


class Watch:
    """
    Looks at Serve and reports.

    :param report: takes a line, how many of how many replicas run, and free fields of the record
    """

    def __init__(self, cluster: Cluster, report: Callable[..., None]) -> None:
        self._cluster = cluster
        self._report = report
        self._told: Dict[str, str] = {}

    def until_healthy(self, names: Sequence[str], deadline: float, late_hint: str = "") -> Dict[str, Any]:
        """
        Wait until all these applications run, and give Serve's details.

        :param deadline: by ``time.monotonic()``
        :param late_hint: what may help where they do not in time
        :raises RolloutFailed: one cannot, or does not in time
        """
        while True:
            details = self._cluster.serve()
            states = {name: self._look(details, name) for name in names}
            for name in names:
                if states[name] == "DEPLOY_FAILED":
                    raise RolloutFailed(explain(details, name))
            late = [name for name in names if states[name] != "RUNNING"]
            if not late:
                return details
            if time.monotonic() > deadline:
                raise RolloutFailed("not healthy in time. " + late_hint + explain(details, late[0]))
            time.sleep(POLL_SECONDS)

    def until_gone(self, names: Sequence[str], deadline: float) -> bool:
        """Wait until Serve has none of these any more; False where the time is over first."""
        while True:
            applications = self._cluster.serve().get("applications") or {}
            if not any(name in applications for name in names):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)

    def until_awake(self, details: Mapping[str, Any], name: str, ask: Callable[[], bool], deadline: float) -> None:
        """
        Wake an application that has scaled itself to zero, for which each request waits until a replica has started.

        :param details: a look at Serve
        :param ask: sends a request, and tells whether it was answered
        :raises RolloutFailed: it cannot start, or does not in time
        """
        while _sleeps(details, name) and not ask():
            details = self._cluster.serve()
            if self._look(details, name) in UNWELL:
                raise RolloutFailed(explain(details, name))
            if time.monotonic() > deadline:
                raise RolloutFailed("no answer in time from what has scaled to zero. " + explain(details, name))
            time.sleep(POLL_SECONDS)

    def until_routed(self, routes: Mapping[str, str]) -> None:
        """
        Wait until every proxy sends these routes to these applications.

        :raises RolloutFailed: a proxy does not within :data:`ROUTE_SECONDS`
        """
        end = time.monotonic() + ROUTE_SECONDS
        while True:
            late = []
            proxies = Proxies(self._cluster.serve())
            for proxy in proxies.urls.values():
                table = proxies.routes(proxy)
                # A proxy of another node may be out of this node's reach; Serve tells it all the same.
                if table is not None:
                    late += [proxy for route, name in routes.items() if table.get(route) != name]
            if not late:
                return
            if time.monotonic() > end:
                raise RolloutFailed("the proxy %s does not send %s there" % (late[0], dict(routes)))
            time.sleep(POLL_SECONDS)

    def _look(self, details: Mapping[str, Any], name: str) -> str:
        item = (details.get("applications") or {}).get(name) or {}
        state = str(item.get("status", "NOT_STARTED"))
        running, wanted = 0, 0
        parts: List[str] = []
        deployments: List[Dict[str, Any]] = []
        for deployment, told in sorted((item.get("deployments") or {}).items()):
            up, target = replicas_of(told)
            running, wanted = running + up, wanted + target
            parts.append("%s %s %d/%d" % (deployment, told.get("status"), up, target))
            deployments.append(
                {"name": deployment, "status": str(told.get("status")), "replicas": up, "target": target}
            )
        line = "%s %s%s" % (name, state, ": " + ", ".join(parts) if parts else "")
        if self._told.get(name) != line:
            self._told[name] = line
            serve = {"name": name, "application": title_of(name), "status": state, "deployments": deployments}
            self._report(line, running, wanted, step="application", state=state, application=name, serve=serve)
        return state


def _sleeps(details: Mapping[str, Any], name: str) -> bool:
    """Tell whether a deployment that scales itself has no replica now."""
    item = (details.get("applications") or {}).get(name) or {}
    told = (item.get("deployments") or {}).values()
    scaling = (one for one in told if (one.get("deployment_config") or {}).get("autoscaling_config"))
    return any(replicas_of(one)[0] == 0 for one in scaling)
