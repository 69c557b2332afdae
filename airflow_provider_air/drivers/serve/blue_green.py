"""
Blue/green: the new version starts beside the old one, is tested, and only then gets the route.

The route moves in one write. Serve's controller applies a whole configuration in one step of its loop and its
proxies take the new route table as a whole (Ray 2.60, ``endpoint_state.py``), so no request finds the route
empty; the old version lives on until it has answered what it was asked.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Dict, List, Mapping

from ..wire import serve_state
from . import merge
from .rollout import RESTORE_SECONDS, Release, Rollout


def plan(details: Mapping[str, Any], application: Mapping[str, Any]) -> Release:
    """
    Decide what to do with one application.

    :raises ConfigurationProblem: its route belongs to another
    """
    title, route = application["name"], application.get("route_prefix", "/")
    merge.check_route(details, title, route)
    config = {key: value for key, value in application.items() if key not in ("name", "route_prefix")}
    version = serve_state.version_of(config)
    name = merge.name_of_version(details, title, version)
    there = serve_state.versions_of(details, title)
    previous = next((item for item in there if item.is_public or item.route is None), None)
    merge.check_declared(previous)
    leftovers = [item.name for item in there if item.name != name and item is not previous]
    return Release(title, name, route, config, version, previous, leftovers)


def deploy(rollout: Rollout, applications: List[Dict[str, Any]]) -> Dict[str, Any]:
    """
    Roll out, and give the result.

    :raises RolloutFailed: the new version is not fit; what served before serves on
    """
    details = rollout.cluster.serve()
    releases = [plan(details, application) for application in applications]
    pending = [release for release in releases if not _is_live(details, release)]
    if not pending:
        return _settle(rollout, releases)
    staged = {release.name: _stage_route(rollout, details, release) for release in pending}
    try:
        _stage(rollout, details, pending, staged)
        details = rollout.watch.until_healthy(list(staged), rollout.deadline)
        for release in pending:
            rollout.check_smoke(details, release, staged[release.name])
        _move(rollout, [release for release in pending if staged[release.name] != release.route])
    except BaseException as error:
        rollout.take_back(error, functools.partial(_go_back, rollout, pending))
        raise
    return _settle(rollout, releases)


def _is_live(details: Mapping[str, Any], release: Release) -> bool:
    item = serve_state.running(details).get(release.name)
    if item is None or item.status != "RUNNING":
        return False
    return item.route == release.route and item.wish == release.wish


def _stage_route(rollout: Rollout, details: Mapping[str, Any], release: Release) -> Any:
    item = serve_state.running(details).get(release.name)
    if item is not None and item.status not in serve_state.UNWELL:
        return item.route
    if release.route is None:
        return None
    has_test = release.application in (rollout.config.get("smoke_tests") or {})
    # Where nothing serves yet and nothing is to be tested first, there is nobody to protect.
    alone = release.previous is None or release.previous.name == release.name
    return release.route if alone and not has_test else serve_state.private_route(release.name)


def _stage(rollout: Rollout, details: Mapping[str, Any], pending: List[Release], staged: Mapping[str, Any]) -> None:
    now = serve_state.running(details)
    failed = [r.name for r in pending if r.name in now and now[r.name].status in serve_state.UNWELL]
    if failed:
        rollout.change(dict.fromkeys(failed))
        rollout.watch.until_gone(failed, rollout.deadline)
    changes: Dict[str, Any] = {left: None for release in pending for left in release.leftovers}
    for release in pending:
        if release.name in failed or release.name not in now or now[release.name].wish != release.wish:
            # Where this version runs with other numbers of replicas, Serve changes those on it.
            changes[release.name] = release.at(staged[release.name])
        else:
            rollout.report("%s is there already: going on with it" % release.name)
    if changes:
        rollout.change(changes)


def _move(rollout: Rollout, releases: List[Release]) -> None:
    if not releases:
        return
    changes: Dict[str, Any] = {release.name: release.at(release.route) for release in releases}
    for release in releases:
        old = release.previous
        if old is not None and old.config is not None and old.name != release.name and old.route is not None:
            changes[old.name] = dict(old.config, route_prefix=serve_state.private_route(old.name))
    rollout.change(changes)
    details = rollout.watch.until_healthy([release.name for release in releases], rollout.deadline)
    rollout.until_routed({r.route: r.name for r in releases if r.route is not None})
    for release in releases:
        said = "%s serves %s" % (release.name, release.route)
        rollout.report(said, step="route", state="done", application=release.name)
        rollout.check_smoke(details, release, release.route, samples=1)


def _settle(rollout: Rollout, releases: List[Release]) -> Dict[str, Any]:
    """Take away what served before, once it has answered what it was asked."""
    names = [release.name for release in releases]
    details = rollout.watch.until_healthy(names, rollout.deadline)
    ours = {item.name for r in releases for item in serve_state.versions_of(details, r.application) if item.config}
    old = sorted(ours - set(names))
    for release in releases:
        rollout.forget(release.application)  # what an in-place roll-out before may have left
    changed = any(
        r.previous is None or r.previous.name != r.name or r.previous.wish not in (None, r.wish) for r in releases
    )
    if old:
        time.sleep(float(rollout.config.get("drain_seconds", 5.0)))
        rollout.change(dict.fromkeys(old))
        # What takes the old version away touches no other; that it ends in its own time holds nobody up.
        rollout.report("retired %s" % ", ".join(old), step="retire", state="done")
    return rollout.outcome(details, releases, changed)


def _go_back(rollout: Rollout, releases: List[Release], wait: bool) -> str:
    changes: Dict[str, Any] = {}
    for release in releases:
        old = release.previous
        if old is None or old.name != release.name:
            changes[release.name] = None
        if old is not None and old.config is not None:
            changes[old.name] = old.config
    rollout.change(changes)
    olds = [release.previous for release in releases if release.previous is not None]
    if olds and wait:
        rollout.watch.until_healthy([old.name for old in olds], time.monotonic() + RESTORE_SECONDS)
        rollout.until_routed({old.route: old.name for old in olds if old.route is not None})
    return ", ".join("%s serves on" % old.name for old in olds) or "nothing serves, as before"
