"""
In place: the running application takes the new configuration, replacements first, and is tested afterwards.

Clients may meet the new version before its test, and both versions for a while; what fails goes back.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Dict, List, Mapping, Optional

from ..wire import serve_state
from . import merge
from .rollout import RESTORE_SECONDS, Release, Rollout
from .watch import RolloutFailed


def plan(rollout: Rollout, details: Mapping[str, Any], application: Mapping[str, Any]) -> Release:
    """
    Decide what to do with one application.

    :raises ConfigurationProblem: its route belongs to another
    """
    title, route = application["name"], application.get("route_prefix", "/")
    merge.check_route(details, title, route)
    config = {key: value for key, value in application.items() if key not in ("name", "route_prefix")}
    version = serve_state.version_of(config)
    there = serve_state.versions_of(details, title)
    previous = there[0] if there else None
    name = previous.name if previous else title
    leftovers = [item.name for item in there if item.name != name and item.config is not None]
    before = rollout.recall(title)
    if before is not None:
        # A roll-out did not end: what it replaced is the last that was known to serve.
        old = before["config"]
        previous = serve_state.Running(name, old.get("route_prefix", "/"), "", old, {}) if old else None
    merge.check_declared(previous)
    return Release(title, name, route, config, version, previous, leftovers)


def deploy(rollout: Rollout, applications: List[Dict[str, Any]]) -> Dict[str, Any]:
    """
    Roll out, and give the result.

    :raises RolloutFailed: the new version is not fit; the old one was put back
    """
    details = rollout.cluster.serve()
    releases = [plan(rollout, details, application) for application in applications]
    pending = [release for release in releases if not _is_live(rollout, details, release)]
    if not pending:
        return rollout.outcome(details, releases, changed=False)
    try:
        _replace(rollout, details, pending)
        names = [release.name for release in releases]
        details = rollout.watch.until_healthy(names, rollout.deadline, _hint(rollout, releases))
        rollout.until_routed({r.route: r.name for r in releases if r.route is not None})
        for release in pending:
            rollout.check_smoke(details, release, release.route)
    except BaseException as error:
        rollout.take_back(error, functools.partial(_go_back, rollout, pending))
        raise
    for release in pending:
        rollout.forget(release.application)
    return rollout.outcome(details, releases, changed=True)


def _is_live(rollout: Rollout, details: Mapping[str, Any], release: Release) -> bool:
    item = serve_state.running(details).get(release.name)
    same = item is not None and item.wish == release.wish and item.route == release.route
    return same and item is not None and item.status == "RUNNING" and rollout.recall(release.application) is None


def _replace(rollout: Rollout, details: Mapping[str, Any], pending: List[Release]) -> None:
    now = serve_state.running(details)
    changes: Dict[str, Any] = {left: None for release in pending for left in release.leftovers}
    for release in pending:
        item = now.get(release.name)
        going = rollout.recall(release.application) is not None and item is not None
        if going and item is not None and item.wish == release.wish and item.status != "DEPLOY_FAILED":
            rollout.report("%s is on its way to version %s already" % (release.name, release.version))
            continue
        rollout.remember(release)
        known = sorted((item.details.get("deployments") or {}) if item else ())
        changes[release.name] = merge.with_surge(release.at(release.route), known, _surge(rollout))
    if not changes:
        return
    rollout.change(changes)
    _retry_without_strangers(rollout, pending, changes)


def _surge(rollout: Rollout) -> int:
    wanted = rollout.config.get("max_surge_percent")
    return serve_state.SURGE if wanted is None else int(wanted)


def _hint(rollout: Rollout, releases: List[Release]) -> str:
    if not _surge(rollout) or not any(release.previous for release in releases):
        return ""
    return "Replacements start beside what they replace; where there is no room for both, max_surge_percent=0. "


def _retry_without_strangers(rollout: Rollout, pending: List[Release], changes: Mapping[str, Any]) -> None:
    """Where a deployment of the old version is no more, Serve rejects our surge for it: leave that out then."""
    names = [release.name for release in pending if release.name in changes]
    try:
        rollout.watch.until_healthy(names, rollout.deadline, _hint(rollout, pending))
    except RolloutFailed as error:
        if "does not exist. Available:" not in str(error):
            raise
        rollout.change(
            {r.name: merge.with_surge(r.at(r.route), (), _surge(rollout)) for r in pending if r.name in names}
        )


def _restored(rollout: Rollout, previous: Optional[serve_state.Running]) -> Optional[Dict[str, Any]]:
    """Give what served before; where the author has said how far replicas may double, going back obeys it, too."""
    percent = rollout.config.get("max_surge_percent")
    if previous is None or previous.config is None or percent is None:
        return previous.config if previous else None
    options = previous.config.get("deployments") or []
    return dict(previous.config, deployments=[dict(item, max_surge_percent=percent) for item in options])


def _go_back(rollout: Rollout, pending: List[Release], wait: bool) -> str:
    rollout.change({r.name: _restored(rollout, r.previous) for r in pending})
    back = [release for release in pending if release.previous is not None]
    if back and wait:
        rollout.watch.until_healthy([release.name for release in back], time.monotonic() + RESTORE_SECONDS)
    for release in pending:
        rollout.forget(release.application)
    told = ("%s serves version %s again" % (release.name, release.previous_version) for release in back)
    return ", ".join(told) or "nothing serves, as before"
