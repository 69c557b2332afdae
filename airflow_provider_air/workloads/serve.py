"""
A Serve application on its way to the cluster: what an author may ask for, checked before anything starts.

Reading, merging and writing what Serve runs happens on the cluster, see ``drivers/serve``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads import fields
from airflow_provider_air.workloads.code import IMPORT_PATH
from airflow_provider_air.workloads.smoke import SmokeTest

if TYPE_CHECKING:
    from airflow_provider_air.contracts.serving import ApplicationStatus

STRATEGIES = ("blue_green", "in_place")
ENTRYPOINT = "python -m air_drivers.serve"
# "--" joins application and version; Serve uses "#" itself.
_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?$")


@dataclass(frozen=True)
class ServeTarget:
    """
    Where applications are deployed to, and who moves their traffic.

    :param can_gate: whether a new version can be tested before it takes the route. KubeRay's RayService moves
        traffic itself, so it could not
    """

    name: str
    can_gate: bool


REST_TARGET = ServeTarget("rest", can_gate=True)
"""Serve on a running cluster, configured by its dashboard: the route moves when we say so."""


@dataclass(frozen=True)
class Deploy:
    """
    One wish for Serve, checked.

    :param strategy_is_given: whether the author has chosen it
    :param instance: options of Serve itself; those that count at its start only must be what it runs with
    :param smoke_tests: by application
    :param max_surge_percent: how many replicas may be added while they are replaced in place, or None for as many again
    """

    applications: tuple[dict[str, Any], ...]
    strategy: str
    strategy_is_given: bool
    smoke_tests: Mapping[str, SmokeTest]
    http_options: Mapping[str, Any]
    instance: Mapping[str, Any]
    max_surge_percent: int | None = None

    def to_config(self, **seconds: float) -> dict[str, Any]:
        """Give the driver's configuration; ``seconds`` are its time-outs."""
        return {
            "action": "deploy",
            "applications": list(self.applications),
            "strategy": self.strategy,
            "strategy_is_given": self.strategy_is_given,
            "max_surge_percent": self.max_surge_percent,
            "smoke_tests": {name: asdict(test) for name, test in self.smoke_tests.items()},
            "http_options": dict(self.http_options),
            "instance": dict(self.instance),
            **seconds,
        }


def plan_deploy(
    config: Mapping[str, Any],
    *,
    strategy: str | None = None,
    smoke_test: Any = None,
    http_options: Mapping[str, Any] | None = None,
    max_surge_percent: Any = None,
    target: ServeTarget = REST_TARGET,
) -> Deploy:
    """
    Check all of a deployment, and choose the strategy where the author did not: blue/green with a smoke test, but in
    place what is called by its name.

    Which fields Serve has is for the cluster's own Serve to say: the driver asks it before it changes anything.

    :param config: one application, or ``{"applications": [...]}``, in Serve's own spelling
    :param smoke_test: for the only application, or by application
    :param max_surge_percent: 0 to 100, or text that is such a number; for roll-outs in place
    :raises ConfigurationError: something is wrong; the message names the field
    """
    fields.mapping(config, "config")
    whole = "applications" in config
    applications = config["applications"] if whole else [config]
    if not isinstance(applications, (list, tuple)) or not applications:
        raise ConfigurationError("'config.applications' must be a list of at least one application")
    checked = tuple(check_application(application) for application in applications)
    _check_unique(checked)
    tests = _smoke_tests(smoke_test, checked)
    theirs = (config.get("http_options") if whole else None) or {}
    for options in (theirs, http_options):
        fields.mapping(options, "http_options")
    own = {**theirs, **(http_options or {})}
    instance = {k: v for k, v in config.items() if whole and k not in ("applications", "http_options")}
    _check_instance(instance, own, is_tested=bool(tests))
    by_name = "has no HTTP route" if any(one["route_prefix"] is None for one in checked) else None
    by_name = "is on a Serve with gRPC (grpc_options.grpc_servicer_functions)" if _has_grpc(instance) else by_name
    chosen = _choose_strategy(strategy, bool(tests), by_name, target)
    surge = _surge(max_surge_percent, chosen)
    return Deploy(checked, chosen, strategy is not None, tests, own, instance, surge)


def _check_instance(instance: Mapping[str, Any], http_options: Mapping[str, Any], *, is_tested: bool) -> None:
    if "target_capacity" in instance:
        raise ConfigurationError(
            "'config.target_capacity' scales what others have on Serve, too, so no deployment sets it",
            hint="Leave it out: what Serve has is kept. To change it, PUT a config to Serve yourself",
        )
    if is_tested and instance.get("proxy_location") == "Disabled":
        raise ConfigurationError(
            "A smoke test is sent through Serve's proxies, and 'config.proxy_location' says that there are none",
            hint="Leave 'smoke_test' out, or take another proxy_location",
        )
    if bool(http_options.get("ssl_keyfile")) != bool(http_options.get("ssl_certfile")):
        raise ConfigurationError("'http_options' must have both ssl_keyfile and ssl_certfile, or neither")


def _has_grpc(instance: Mapping[str, Any]) -> bool:
    options = instance.get("grpc_options") or {}
    return isinstance(options, Mapping) and bool(options.get("grpc_servicer_functions"))


def _surge(percent: Any, strategy: str) -> int | None:
    if percent is None:
        return None
    # A template renders to text.
    number = int(percent) if isinstance(percent, str) and percent.isdigit() else percent
    fields.number(number, "max_surge_percent", minimum=0, integer=True)
    if number > 100:
        raise ConfigurationError(f"'max_surge_percent' must be at most 100, not {percent!r}")
    if strategy != "in_place":
        raise ConfigurationError(
            "'max_surge_percent' is about replicas that are replaced in place; under blue_green a whole new version "
            "starts beside the old one",
            hint="Set strategy='in_place', or leave it out",
        )
    return int(number)


def _choose_strategy(strategy: str | None, is_tested: bool, by_name: str | None, target: ServeTarget) -> str:
    if strategy is None:
        return "blue_green" if is_tested and not by_name and target.can_gate else "in_place"
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"'strategy' must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    if strategy == "blue_green" and not target.can_gate:
        raise ConfigurationError(
            f"The target {target.name!r} moves traffic itself, so a new version cannot wait beside the old one",
            hint="Use strategy='in_place'",
        )
    if strategy == "blue_green" and by_name:
        raise ConfigurationError(
            f"An application of this deployment {by_name}, so it is called by its name, which blue_green changes with "
            "each version",
            hint="Use strategy='in_place', or deploy those that are called by HTTP alone in a task of their own",
        )
    return strategy


def check_application(application: Any) -> dict[str, Any]:
    """
    Check one application of a Serve config, and give it as plain JSON.

    :raises ConfigurationError: a field is wrong; the message names it
    """
    fields.mapping(application, "application")
    if not isinstance(application, Mapping):
        raise ConfigurationError(f"An application must be a dict, not {application!r}")
    if misplaced := sorted({"host", "port"} & set(application)):
        raise ConfigurationError(f"{misplaced[0]!r} belongs to 'http_options', not to an application")
    name, route = application.get("name", "default"), application.get("route_prefix", "/")
    if not isinstance(name, str) or not _NAME.match(name) or "--" in name:
        raise ConfigurationError(
            f"An application's name may hold letters, digits, '_', '.' and single '-', not {name!r}"
        )
    check_route_prefix(route)
    path = application.get("import_path")
    if not isinstance(path, str) or not IMPORT_PATH.match(path):
        raise ConfigurationError(
            f"'import_path' of {name!r} must be like 'module:application', not {path!r}",
            hint="Name the bound application, or the function that builds it, importable from the working_dir",
        )
    fields.mapping(application.get("args"), "args")
    fields.mapping(application.get("runtime_env"), "runtime_env")
    deployments = [_check_deployment(item) for item in _deployments(application.get("deployments"))]
    checked = {**application, "name": name, "route_prefix": route, "deployments": deployments}
    plain: dict[str, Any] = json.loads(json.dumps(checked))
    return plain


def check_route_prefix(route: Any) -> None:
    """:raises ConfigurationError: Serve would not take it as a route; None means that there is none."""
    if route is None:
        return
    well = isinstance(route, str) and route.startswith("/") and (route == "/" or not route.endswith("/"))
    if not well or "{" in route or route.startswith("/_air"):
        raise ConfigurationError(
            f"'route_prefix' must start and not end with '/', without braces and not below /_air, not {route!r}"
        )


def check_replicas(replicas: Any) -> dict[str, int]:
    """:raises ConfigurationError: it does not map deployments to numbers of replicas."""
    if not isinstance(replicas, Mapping) or not replicas:
        raise ConfigurationError(
            f"'replicas' must map deployments to numbers, such as {{'Model': 2}}, not {replicas!r}"
        )
    for name, number in replicas.items():
        if not isinstance(name, str):
            raise ConfigurationError(f"'replicas' must map names of deployments, not {name!r}")
        # A template renders to text.
        fields.number(int(number) if str(number).isdigit() else number, f"replicas[{name}]", minimum=1, integer=True)
    return {name: int(number) for name, number in replicas.items()}


def check_name(name: Any) -> str:
    """:raises ConfigurationError: this is no application's name."""
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"'application' must name an application, not {name!r}")
    return name


def readiness(found: ApplicationStatus, replicas: Any = None) -> tuple[bool, str]:
    """
    Judge whether an application runs with at least so many replicas, and say what is the case.

    :param replicas: for each deployment, or by deployment; None asks for health only
    """
    if found.status != "RUNNING":
        return False, found.message
    wanted = replicas if isinstance(replicas, Mapping) else dict.fromkeys(found.deployments, replicas or 0)
    for name, number in wanted.items():
        if name not in found.deployments:
            return False, f"{found.application} has no deployment {name!r}; it has: {', '.join(found.deployments)}"
        up = found.deployments[name].running
        if up < int(number):
            return False, f"{found.application} runs, with {up} of {number} replicas of {name}"
    return True, f"{found.application} runs"


def _deployments(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [{"name": name, **(options or {})} for name, options in value.items()]
    if not isinstance(value, (list, tuple)):
        raise ConfigurationError(f"'deployments' must be a list, or a dict by name, not {value!r}")
    return value


def _check_deployment(deployment: Any) -> Mapping[str, Any]:
    fields.mapping(deployment, "deployments")
    if not isinstance(deployment, Mapping) or not isinstance(deployment.get("name"), str):
        raise ConfigurationError(f"Each of 'deployments' must be a dict with a name, not {deployment!r}")
    replicas = deployment.get("num_replicas")
    if replicas not in (None, "auto"):
        fields.number(replicas, f"num_replicas of {deployment['name']}", minimum=1, integer=True)
    fields.mapping(deployment.get("user_config"), f"user_config of {deployment['name']}")
    return deployment


def _check_unique(applications: Sequence[Mapping[str, Any]]) -> None:
    for key in ("name", "route_prefix"):
        values = [item[key] for item in applications if item[key] is not None]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise ConfigurationError(f"Two applications have the same {key} {twice[0]!r}")


def _smoke_tests(value: Any, applications: Sequence[Mapping[str, Any]]) -> dict[str, SmokeTest]:
    if value is None:
        return {}
    names = [application["name"] for application in applications]
    if isinstance(value, SmokeTest):
        if len(names) != 1:
            raise ConfigurationError("'smoke_test' must say which application each test is for: a dict by name")
        value = {names[0]: value}
    if not isinstance(value, Mapping) or not all(isinstance(test, SmokeTest) for test in value.values()):
        raise ConfigurationError(f"'smoke_test' must be a SmokeTest, or a dict of them by application, not {value!r}")
    if unknown := sorted(set(value) - set(names)):
        raise ConfigurationError(f"'smoke_test' is for {unknown[0]!r}, which is not among the applications")
    if silent := sorted(one["name"] for one in applications if one["name"] in value and one["route_prefix"] is None):
        raise ConfigurationError(
            f"'smoke_test' is sent by HTTP, and the application {silent[0]!r} has no route (route_prefix=None)",
            hint="Give it a route_prefix, or leave its test out",
        )
    for test in value.values():
        test.validate()
    return dict(value)
