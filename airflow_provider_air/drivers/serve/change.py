"""Takes applications away, and changes how many replicas their deployments have."""

from __future__ import annotations

import functools
import time
from typing import Any, Dict

from ..wire import serve_state
from ..wire.problems import ConfigurationProblem
from ..wire.serve_state import replicas_of
from . import merge
from .rollout import RESTORE_SECONDS, Rollout
from .watch import RolloutFailed


def delete(rollout: Rollout) -> Dict[str, Any]:
    """
    Take an application away, with all its versions; other applications stay.

    :raises ConfigurationProblem: there is none, unless ``missing_ok``
    :raises RolloutFailed: Serve did not end it in time
    """
    application = rollout.config["application"]
    details = rollout.cluster.serve()
    found = [item.name for item in serve_state.versions_of(details, application) if item.config is not None]
    if not found:
        if not rollout.config.get("missing_ok"):
            merge.live_version(details, application)
        rollout.report("there is no application %s to delete" % application)
        return {"application": application, "deleted": []}
    rollout.change(dict.fromkeys(found))
    rollout.forget(application)
    if not rollout.watch.until_gone(found, rollout.deadline):
        raise RolloutFailed("Serve has not ended %s in time; it is still deleting" % ", ".join(found))
    rollout.drop_packages()
    rollout.report("deleted %s" % ", ".join(found))
    return {"application": application, "deleted": sorted(found)}


def scale(rollout: Rollout) -> Dict[str, Any]:
    """
    Give deployments of an application other numbers of replicas, and wait for them.

    :raises ConfigurationProblem: the application or a deployment is unknown, or scales itself
    :raises RolloutFailed: the replicas do not start; the numbers are what they were
    """
    application, wanted = rollout.config["application"], rollout.config["replicas"]
    details = rollout.cluster.serve()
    if not details.get("controller_info"):
        raise ConfigurationProblem("Serve does not run on this cluster; deploy an application first")
    live = merge.live_version(details, application)
    config = merge.with_replicas(live, wanted)
    before = {name: replicas_of(told)[1] for name, told in (live.details.get("deployments") or {}).items()}
    changed = any(before[name] != number for name, number in wanted.items())
    try:
        if changed:
            rollout.change({live.name: config})
        details = rollout.watch.until_healthy([live.name], rollout.deadline)
    except BaseException as error:
        rollout.take_back(error, functools.partial(_scale_back, rollout, live, before))
        raise
    deployments = details["applications"][live.name]["deployments"]
    return {
        "application": live.name,
        "changed": changed,
        "replicas": {name: replicas_of(told)[0] for name, told in deployments.items()},
        "previous_replicas": before,
    }


def _scale_back(rollout: Rollout, live: serve_state.Running, before: Dict[str, int], wait: bool) -> str:
    rollout.change({live.name: live.config})
    if wait:
        rollout.watch.until_healthy([live.name], time.monotonic() + RESTORE_SECONDS)
    return "%s has its replicas again: %s" % (live.name, before)
