"""
What Serve says that it runs, as pure functions of its details (``GET /api/serve/applications/``).

*Application* is the name that the author gave; under blue/green it runs as ``<application>--<version>``. Its
*version* is a digest of its configuration without name and route, and without what Serve changes on a version that
runs: how many replicas there are, and how they are replaced.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

PRIVATE = "/_air/"
"""Where a version waits that has not got the application's route yet, or has just given it away."""

# Serve does not try such an application again when it gets the same configuration.
UNWELL = ("DEPLOY_FAILED", "UNHEALTHY")

SURGE = 100
"""How many percent of a deployment's replicas may be added while they are replaced in place, unless somebody says."""

# How a deployment's replicas are replaced is part of a roll-out, not of what is rolled out.
_REPLACING = ("max_surge_percent", "rolling_update_percentage")
# What Serve passes on as it is.
_AS_WRITTEN = ("name", "user_config", "runtime_env")
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_VERSION_SUFFIX = r"--[0-9a-f]{10}(?:-2)?"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What a traceback ends with.
_ERROR_LINE = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b.*", re.MULTILINE)


class Running(NamedTuple):
    """One application as Serve runs it; ``config`` is None where it was not deployed by configuration."""

    name: str
    route: Optional[str]
    status: str
    config: Optional[Dict[str, Any]]
    details: Dict[str, Any]

    @property
    def is_public(self) -> bool:
        """Whether it has a route that clients know."""
        return self.route is not None and not self.route.startswith(PRIVATE)

    @property
    def version(self) -> Optional[str]:
        """Its version, where it was deployed by configuration."""
        return None if self.config is None else version_of(self.config)

    @property
    def wish(self) -> Optional[str]:
        """A digest of all that its configuration wants, where it was deployed by configuration."""
        return None if self.config is None else wish_of(self.config)


def version_of(config: Mapping[str, Any]) -> str:
    """Digest which version of an application its configuration describes."""
    return _digest(config, _without_numbers)


def wish_of(config: Mapping[str, Any]) -> str:
    """Digest all that an application's configuration wants, but for its name, its route and how replicas change."""
    return _digest(config, dict)


def _digest(config: Mapping[str, Any], part: Callable[[Mapping[str, Any]], Dict[str, Any]]) -> str:
    body = {key: value for key, value in config.items() if key not in ("name", "route_prefix")}
    deployments = []
    for deployment in body.pop("deployments", None) or []:
        kept = {key: _as_shown(key, value) for key, value in part(deployment).items() if key not in _REPLACING}
        if set(kept) != {"name"}:
            deployments.append(kept)
    body = {key: value for key, value in body.items() if value not in (None, {}, [])}
    if "logging_config" in body:
        body["logging_config"] = _as_shown("logging_config", body["logging_config"])
    body["deployments"] = sorted(deployments, key=lambda item: str(item["name"]))
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:10]


def _without_numbers(deployment: Mapping[str, Any]) -> Dict[str, Any]:
    kept = {key: value for key, value in deployment.items() if key != "num_replicas"}
    scaling = kept.get("autoscaling_config")
    if isinstance(scaling, Mapping):
        # Serve builds an application anew when its policies change, or which of its deployments have any (Ray 2.60).
        kept["autoscaling_config"] = {"policy": scaling.get("policy")}
    return kept


def _as_shown(key: str, value: Any) -> Any:
    """
    Give an option as something that is equal before and after Serve has read it.

    Serve shows what its schema made of it (Ray 2.60): 5 seconds as 5.0, a number in text as a number, a level of
    logging by its name, and a list of attributes of logs in any order.
    """
    if key in _AS_WRITTEN:
        return value
    if isinstance(value, Mapping):
        return {name: _as_shown(name, item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_as_shown("", item) for item in value]
        return sorted(items, key=str) if key == "additional_log_standard_attrs" else items
    if key == "log_level" and isinstance(value, int):
        return logging.getLevelName(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return float(value) if isinstance(value, str) and _NUMBER.match(value) else value


def running(details: Mapping[str, Any]) -> Dict[str, Running]:
    """Give the applications that Serve runs, by the name it knows them by; those that are going are left out."""
    found = {}
    for name, item in (details.get("applications") or {}).items():
        if item.get("status") != "DELETING":
            config = item.get("deployed_app_config")
            route = item.get("route_prefix")
            if config is not None:
                # Until an application is built, Serve knows no route for it; its configuration does.
                route = config.get("route_prefix", "/")
            found[name] = Running(name, route, str(item.get("status")), config, item)
    return found


def versions_of(details: Mapping[str, Any], application: str) -> List[Running]:
    """Give all that runs for an application, the one with a public route first."""
    pattern = re.compile("%s(%s)?$" % (re.escape(application), _VERSION_SUFFIX))
    found = [item for name, item in running(details).items() if pattern.match(name)]
    return sorted(found, key=lambda item: not item.is_public)


def title_of(name: str) -> str:
    """Give the application's name without its version."""
    return re.sub(_VERSION_SUFFIX + "$", "", name)


def private_route(name: str) -> str:
    """Give the route at which a version waits."""
    return PRIVATE + name


def replicas_of(deployment: Mapping[str, Any]) -> Tuple[int, int]:
    """Give how many replicas of a deployment run, and how many there should be."""
    states = [replica.get("state") for replica in deployment.get("replicas") or []]
    target = deployment.get("target_num_replicas")
    return states.count("RUNNING"), int(target if target is not None else len(states))


def explain(details: Mapping[str, Any], name: str) -> str:
    """Say what Serve says about an application that is not well: the gist first, then each message."""
    item: Optional[Dict[str, Any]] = (details.get("applications") or {}).get(name)
    if item is None:
        return "Serve does not know the application %r any more" % name
    lines: List[str] = [_plain(item.get("message"))]
    for deployment, told in sorted((item.get("deployments") or {}).items()):
        if told.get("status") != "HEALTHY":
            count = "(%d of %d replicas run)" % replicas_of(told)
            message = _plain(told.get("message")) or _waiting(told)
            lines.append("%s is %s %s. %s" % (deployment, told.get("status"), count, message))
    said = "\n".join(line for line in lines if line)
    gist = _ERROR_LINE.findall(said)
    return "%s is %s%s\n%s" % (name, item.get("status"), ": " + gist[-1] if gist else "", said)


def _plain(message: Any) -> str:
    return _COLOUR.sub("", str(message or "")).strip()


def _waiting(deployment: Mapping[str, Any]) -> str:
    waiting = [r for r in deployment.get("replicas") or [] if r.get("state") == "STARTING" and not r.get("node_id")]
    options = (deployment.get("deployment_config") or {}).get("ray_actor_options") or {}
    if not waiting:
        return ""
    needs = {k: v for k, v in options.items() if k in ("num_cpus", "num_gpus", "memory", "resources") and v}
    return "%d replicas wait for a node with %s" % (len(waiting), needs or "free resources")
