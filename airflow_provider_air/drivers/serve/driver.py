"""Changes what Serve runs: ``python -m air_drivers.serve``; the payload's ``action`` is deploy, delete or scale."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any, Dict, List, Mapping, Optional

from ..frame.running import running
from ..trackers import wandb_run
from ..wire import serve_state
from ..wire.problems import ConfigurationProblem
from . import archives, blue_green, change, in_place, merge, packages, schema
from .cluster import connect
from .proxies import Proxies
from .rollout import Rollout


class Stopped(Exception):
    """Somebody stopped this job; what it began is taken back."""


def main() -> None:
    """Do what the payload says, and report the result."""
    with running(wandb_run.begin) as run:
        # Ray's stop is SIGTERM and, three seconds later, SIGKILL: enough to take a new version away again.
        signal.signal(signal.SIGTERM, _stop)
        rollout = Rollout(run, connect())
        actions = {"deploy": deploy, "delete": change.delete, "scale": change.scale}
        names = _names(run.config)
        with contextlib.ExitStack() as locks:
            # In one order, so that no two jobs wait for each other.
            for name in sorted(names):
                locks.enter_context(rollout.holding("application/%s" % name))
            value = actions[run.config["action"]](rollout)
        run.records.write("result", value=value)


def deploy(rollout: Rollout) -> Dict[str, Any]:
    """
    Roll out what the payload says, after all that can be judged beforehand.

    :raises ConfigurationProblem: the cluster's Serve does not know a field, or runs with other options
    :raises RolloutFailed: the new version is not fit; what served before serves on
    """
    details = rollout.cluster.serve()
    options = {**(rollout.config.get("instance") or {}), "http_options": rollout.config.get("http_options") or {}}
    schema.check({**options, "applications": [*rollout.config["applications"], *_surging(rollout)]})
    applications = _applications(rollout, options.get("logging_config"))
    packages.check(rollout.cluster.store, applications)
    told = rollout.instance.check(details) + archives.check(rollout.cluster.store, applications)
    _check_tests(rollout, {**options, **details})
    strategy = _strategy(rollout, details, told)
    for line in told:
        rollout.report(line)
    strategies: Dict[str, Any] = {"blue_green": blue_green.deploy, "in_place": in_place.deploy}
    needed: List[Dict[str, Any]] = []
    try:
        result: Dict[str, Any] = strategies[strategy](rollout, applications)
        needed = applications
    finally:
        with contextlib.suppress(Exception):  # the next roll-out sees them again
            rollout.drop_packages(needed)
    return result


def _applications(rollout: Rollout, logging_config: Optional[Dict[str, Any]]) -> List[Dict[str, Any]]:
    environment = merge.runtime_env_of_applications(_job_runtime_env())
    wanted = [merge.add_runtime_env(item, environment) for item in rollout.config["applications"]]
    return [merge.with_logging(packages.with_copies(item), logging_config) for item in wanted]


def _surging(rollout: Rollout) -> List[Dict[str, Any]]:
    """Give what the author's surge adds to deployments, for an older Serve to refuse; 0 is what that does anyway."""
    percent = rollout.config.get("max_surge_percent")
    return [{"deployments": [{"max_surge_percent": percent}]}] if percent else []


def _check_tests(rollout: Rollout, options: Mapping[str, Any]) -> None:
    """
    Refuse smoke tests that could not be sent.

    :param options: what Serve runs with, else what it is to start with
    :raises ConfigurationProblem: it has no proxies, or this node cannot know them
    """
    if not rollout.config.get("smoke_tests"):
        return
    if options.get("proxy_location") == "Disabled":
        raise ConfigurationProblem(
            "Serve runs without proxies (proxy_location='Disabled'), which a smoke test is sent through; leave it out"
        )
    Proxies({"http_options": options.get("http_options")})


def _strategy(rollout: Rollout, details: Mapping[str, Any], told: List[str]) -> str:
    """Choose again where the author has not chosen: on a Serve with gRPC applications are called by their names."""
    chosen: str = rollout.config["strategy"]
    grpc = details.get("grpc_options") or {}
    if chosen != "blue_green" or not grpc.get("grpc_servicer_functions") or grpc.get("port", 1) <= 0:
        return chosen
    if rollout.config.get("strategy_is_given"):
        told.append("clients of gRPC and of handles find an application by its name, which changes with each version")
        return chosen
    told.append("Serve listens to gRPC, whose clients find an application by its name: it is replaced in place")
    return "in_place"


def _names(config: Dict[str, Any]) -> List[str]:
    if "application" in config:
        return [serve_state.title_of(config["application"])]
    return [item["name"] for item in config["applications"]]


def _job_runtime_env() -> Dict[str, Any]:
    # Ray's job supervisor hands the environment to the driver here, and ``ray.init`` would read it (2.51-2.60).
    text = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    environment: Dict[str, Any] = json.loads(text).get("runtime_env") or {} if text else {}
    return environment


def _stop(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("the job was stopped")
