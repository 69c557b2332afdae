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

# Ray's own fields (2.60, serve/schema.py): Serve ignores a misspelt one in silence, so we do not.
_APPLICATION_FIELDS = frozenset(
    {
        "name",
        "route_prefix",
        "import_path",
        "runtime_env",
        "deployments",
        "args",
        "logging_config",
        "autoscaling_policy",
        "external_scaler_enabled",
    }
)
_DEPLOYMENT_FIELDS = frozenset(
    {
        "name",
        "num_replicas",
        "autoscaling_config",
        "max_ongoing_requests",
        "max_queued_requests",
        "max_replicas_per_node",
        "max_surge_percent",
        "rolling_update_percentage",
        "user_config",
        "ray_actor_options",
        "placement_group_bundles",
        "placement_group_strategy",
        "placement_group_bundle_label_selector",
        "graceful_shutdown_timeout_s",
        "graceful_shutdown_wait_loop_s",
        "health_check_period_s",
        "health_check_timeout_s",
        "logging_config",
        "request_router_config",
        "backpressure_config",
        "deployment_actors",
        "gang_scheduling_config",
    }
)
_INSTANCE_FIELDS = frozenset(
    {
        "applications",
        "proxy_location",
        "http_options",
        "grpc_options",
        "controller_options",
        "logging_config",
        "tracing_config",
    }
)


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

    :param instance: options of Serve itself, for the case that it does not run yet
    :param smoke_tests: by application
    """

    applications: tuple[dict[str, Any], ...]
    strategy: str
    smoke_tests: Mapping[str, SmokeTest]
    http_options: Mapping[str, Any]
    instance: Mapping[str, Any]

    def to_config(self, **seconds: float) -> dict[str, Any]:
        """Give the driver's configuration; ``seconds`` are its time-outs."""
        return {
            "action": "deploy",
            "applications": list(self.applications),
            "strategy": self.strategy,
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
    target: ServeTarget = REST_TARGET,
) -> Deploy:
    """
    Check all of a deployment, and choose the strategy where the author did not: blue/green with a smoke test.

    :param config: one application, or ``{"applications": [...]}``, in Serve's own spelling
    :param smoke_test: for the only application, or by application
    :raises ConfigurationError: something is wrong; the message names the field
    """
    fields.mapping(config, "config")
    whole = "applications" in config
    if whole:
        _check_known(config, _INSTANCE_FIELDS, "config")
    applications = config["applications"] if whole else [config]
    if not isinstance(applications, (list, tuple)) or not applications:
        raise ConfigurationError("'config.applications' must be a list of at least one application")
    checked = tuple(check_application(application) for application in applications)
    _check_unique(checked)
    tests = _smoke_tests(smoke_test, [application["name"] for application in checked])
    chosen = _choose_strategy(strategy, bool(tests), target)
    theirs = (config.get("http_options") if whole else None) or {}
    for options in (theirs, http_options):
        fields.mapping(options, "http_options")
    own = {**theirs, **(http_options or {})}
    instance = {k: v for k, v in config.items() if whole and k not in ("applications", "http_options")}
    return Deploy(checked, chosen, tests, own, instance)


def _choose_strategy(strategy: str | None, is_tested: bool, target: ServeTarget) -> str:
    if strategy is None:
        return "blue_green" if is_tested and target.can_gate else "in_place"
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"'strategy' must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    if strategy == "blue_green" and not target.can_gate:
        raise ConfigurationError(
            f"The target {target.name!r} moves traffic itself, so a new version cannot wait beside the old one",
            hint="Use strategy='in_place'",
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
    _check_known(application, _APPLICATION_FIELDS, "application")
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


def _check_known(value: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    if unknown := sorted(set(value) - known):
        raise ConfigurationError(f"A Serve {what} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")


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
    _check_known(deployment, _DEPLOYMENT_FIELDS, "deployment")
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


def _smoke_tests(value: Any, names: Sequence[str]) -> dict[str, SmokeTest]:
    if value is None:
        return {}
    if isinstance(value, SmokeTest):
        if len(names) != 1:
            raise ConfigurationError("'smoke_test' must say which application each test is for: a dict by name")
        value = {names[0]: value}
    if not isinstance(value, Mapping) or not all(isinstance(test, SmokeTest) for test in value.values()):
        raise ConfigurationError(f"'smoke_test' must be a SmokeTest, or a dict of them by application, not {value!r}")
    if unknown := sorted(set(value) - set(names)):
        raise ConfigurationError(f"'smoke_test' is for {unknown[0]!r}, which is not among the applications")
    for test in value.values():
        test.validate()
    return dict(value)
