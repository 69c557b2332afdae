"""What Serve should run next, as pure functions of what it runs now."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..wire import serve_state
from ..wire.names import CONTEXT, OURS, SECRETS
from ..wire.problems import ConfigurationProblem

# What belongs to a Serve instance, not to an application, and must be sent again with every PUT.
_INSTANCE = ("proxy_location", "http_options", "grpc_options", "target_capacity")


def live_version(details: Mapping[str, Any], application: str) -> serve_state.Running:
    """
    Give what serves an application's route.

    :raises ConfigurationProblem: there is no such application; the message names those that there are
    """
    found = [item for item in serve_state.versions_of(details, application) if item.config is not None]
    if not found:
        raise ConfigurationProblem(
            "Serve has no application %r that was deployed by configuration; it has: %s"
            % (application, ", ".join(sorted(serve_state.running(details))) or "none")
        )
    return found[0]


def check_route(details: Mapping[str, Any], application: str, route: Optional[str]) -> None:
    """
    Make sure that nobody else has the route.

    :raises ConfigurationProblem: another application has it
    """
    ours = {item.name for item in serve_state.versions_of(details, application)}
    for name, item in serve_state.running(details).items():
        if route is not None and item.route == route and name not in ours:
            raise ConfigurationProblem(
                "the route %r of application %r is taken by the application %r; choose another route_prefix, "
                "or delete that application" % (route, application, name)
            )


def name_of_version(details: Mapping[str, Any], application: str, version: str) -> str:
    """
    Name a version under blue/green.

    Another name where something else has that one, such as after a roll-out in place, or where this very version has
    the route and is not well: then it gets a successor of its own kind.
    """
    name = "%s--%s" % (application, version)
    holder = serve_state.running(details).get(name)
    usable = holder is None or (
        holder.version == version and not (holder.is_public and holder.status in serve_state.UNWELL)
    )
    return name if usable else name + "-2"


def check_declared(previous: Optional[serve_state.Running]) -> None:
    """
    Refuse to replace what was not deployed by configuration: it could not be put back.

    :raises ConfigurationProblem: it was started by ``serve.run``
    """
    if previous is not None and previous.config is None:
        raise ConfigurationProblem(
            "the application %r was started by serve.run; delete it first (serve.delete), or use another name"
            % previous.name
        )


def next_state(details: Mapping[str, Any], changes: Mapping[str, Optional[Dict[str, Any]]]) -> Dict[str, Any]:
    """
    Merge changes into what Serve runs: the whole desired state, for a PUT.

    :param changes: by Serve's name of an application, its new configuration, or None to take it away
    """
    state = {key: details[key] for key in _INSTANCE if details.get(key) is not None}
    kept = [
        item.config
        for name, item in serve_state.running(details).items()
        if item.config is not None and name not in changes
    ]
    state["applications"] = kept + [
        dict(config, name=name) for name, config in sorted(changes.items()) if config is not None
    ]
    return state


def missing_from(details: Mapping[str, Any], changes: Mapping[str, Optional[Dict[str, Any]]]) -> List[str]:
    """Tell which changes Serve does not show: somebody else's PUT, made without our lock, undid them."""
    now = serve_state.running(details)
    wrong = []
    for name, config in changes.items():
        item = now.get(name)
        if config is None:
            if item is not None:
                wrong.append(name)
        elif item is None or item.config is None or _unlike(item, config):
            wrong.append(name)
    return wrong


def _unlike(item: serve_state.Running, config: Mapping[str, Any]) -> bool:
    return item.route != config.get("route_prefix", "/") or item.wish != serve_state.wish_of(config)


def with_surge(config: Mapping[str, Any], deployments: Sequence[str], percent: int) -> Dict[str, Any]:
    """
    Say how many replicas may be added while they are replaced, in each of the deployments that does not say so itself.

    :param deployments: names of those that run now; Serve rejects options for one that does not exist
    :param percent: of a deployment's replicas; with 0 old ones stop before new ones start
    """
    options = {item["name"]: dict(item) for item in config.get("deployments") or []}
    for name in deployments:
        options.setdefault(name, {"name": name})
    for item in options.values():
        item.setdefault("max_surge_percent", percent)
    return dict(config, deployments=list(options.values()))


def with_replicas(running_version: serve_state.Running, replicas: Mapping[str, int]) -> Dict[str, Any]:
    """
    Give a version's configuration with other numbers of replicas.

    :raises ConfigurationProblem: a deployment is unknown or scales itself
    """
    known = running_version.details.get("deployments") or {}
    config = dict(running_version.config or {})
    options = {item["name"]: dict(item) for item in config.get("deployments") or []}
    for name, number in replicas.items():
        if name not in known:
            raise ConfigurationProblem(
                "the application %r has no deployment %r; it has: %s"
                % (running_version.name, name, ", ".join(sorted(known)) or "none that runs")
            )
        if (known[name].get("deployment_config") or {}).get("autoscaling_config"):
            raise ConfigurationProblem(
                "the deployment %r scales itself; deploy it with other min_replicas and max_replicas instead" % name
            )
        options.setdefault(name, {"name": name})["num_replicas"] = number
    return dict(config, deployments=list(options.values()))


def runtime_env_of_applications(environment: Mapping[str, Any]) -> Dict[str, Any]:
    """
    Take from the job's runtime environment what its applications need: the author's code and variables.

    The same ``gcs://`` URIs keep the code alive as long as an application that uses it.
    """
    kept = {key: value for key, value in environment.items() if not key.startswith("_") and value is not None}
    variables = kept.pop("env_vars", None) or {}
    # The last modules are these drivers, the payload and, with their hook, secrets: see the submitting side.
    hidden = variables.get(SECRETS)
    modules = list(kept.pop("py_modules", None) or [])[: -3 if hidden else -2]
    if hidden:
        kept.pop("worker_process_setup_hook", None)
    # What tells of a task is another in each try: with it, a roll-out of what serves already would be a change.
    context = variables.get(CONTEXT, "").split(",")
    variables = {k: v for k, v in variables.items() if k not in OURS and k not in context}
    if modules:
        kept["py_modules"] = modules
    if variables:
        kept["env_vars"] = variables
    return {key: kept[key] for key in kept if key not in ("config", "ray_debugger")}


def with_logging(application: Mapping[str, Any], logging_config: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """Give an application the logging of the whole config where it has none of its own, as Serve does."""
    own = application.get("logging_config") or logging_config
    return dict(application, logging_config=own) if own else dict(application)


def add_runtime_env(application: Mapping[str, Any], environment: Mapping[str, Any]) -> Dict[str, Any]:
    """Give an application the job's environment; what it says itself wins."""
    own = dict(application.get("runtime_env") or {})
    variables = {**(environment.get("env_vars") or {}), **(own.get("env_vars") or {})}
    merged = {**environment, **own}
    if variables:
        merged["env_vars"] = variables
    return dict(application, runtime_env=merged)
