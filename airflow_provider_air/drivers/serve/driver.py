"""Changes what Serve runs: ``python -m air_drivers.serve``; the payload's ``action`` is deploy, delete or scale."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any, Dict, List

from ..frame.running import running
from ..trackers import wandb_run
from ..wire import serve_state
from ..wire.problems import ConfigurationProblem
from . import blue_green, change, in_place, merge
from .cluster import connect
from .rollout import Rollout


class Stopped(Exception):
    """Somebody stopped this job; what it began is taken back."""


def main() -> None:
    """Do what the payload says, and report the result."""
    with running(wandb_run.begin) as run:
        # Ray's stop is SIGTERM and, three seconds later, SIGKILL: enough to take a new version away again.
        signal.signal(signal.SIGTERM, _stop)
        rollout = Rollout(run, connect())
        actions = {"deploy": _deploy, "delete": change.delete, "scale": change.scale}
        names = _names(run.config)
        with contextlib.ExitStack() as locks:
            # In one order, so that no two jobs wait for each other.
            for name in sorted(names):
                locks.enter_context(rollout.holding("application/%s" % name))
            value = actions[run.config["action"]](rollout)
        run.records.write("result", value=value)


def _deploy(rollout: Rollout) -> Dict[str, Any]:
    environment = merge.runtime_env_of_applications(_job_runtime_env())
    wanted = rollout.config["applications"]
    applications = [merge.add_runtime_env(application, environment) for application in wanted]
    _check_port(rollout)
    for uri in merge.packages_of(applications):
        rollout.cluster.keep_package(uri)
    strategies: Dict[str, Any] = {"blue_green": blue_green.deploy, "in_place": in_place.deploy}
    result: Dict[str, Any] = strategies[rollout.config["strategy"]](rollout, applications)
    return result


def _names(config: Dict[str, Any]) -> List[str]:
    if "application" in config:
        return [serve_state.title_of(config["application"])]
    return [item["name"] for item in config["applications"]]


def _check_port(rollout: Rollout) -> None:
    """
    Refuse other HTTP options than those that Serve runs with: it would ignore them.

    :raises ConfigurationProblem: they differ
    """
    details = rollout.cluster.serve()
    now = details.get("http_options") or {}
    if not details.get("controller_info"):
        return
    for key, value in (rollout.config.get("http_options") or {}).items():
        if key in now and now[key] != value:
            raise ConfigurationProblem(
                "Serve runs with the HTTP option %s=%r, which cannot be changed to %r while it runs; leave it out, "
                "or shut Serve down first" % (key, now[key], value)
            )


def _job_runtime_env() -> Dict[str, Any]:
    # Ray's job supervisor hands the environment to the driver here, and ``ray.init`` would read it (2.51-2.60).
    text = os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR")
    environment: Dict[str, Any] = json.loads(text).get("runtime_env") or {} if text else {}
    return environment


def _stop(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("the job was stopped")
