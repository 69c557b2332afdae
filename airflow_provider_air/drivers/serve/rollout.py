"""
Rolls new versions of applications out, or back.

Every step is derived from what Serve runs, so a driver that takes over from a killed one goes on where that
one stopped: a version that is there already is not rolled out a second time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from ..frame.running import Run
from ..wire import serve_state
from ..wire.problems import ConfigurationProblem
from ..wire.serve_state import replicas_of
from . import lock, merge, packages, smoke
from .cluster import Cluster
from .instance import Instance
from .proxies import Proxies, scheme_of, urls_of
from .watch import RolloutFailed, Watch

NAMESPACE = lock.NAMESPACE
# Serve may be written to by others that do not take our lock, such as ``serve deploy``: then merge again.
WRITES = 3
RESTORE_SECONDS = 120.0


class Release(NamedTuple):
    """
    One application on its way to a new version.

    :param name: what Serve will know the new version by
    :param previous: what serves now, or None
    :param leftovers: other versions, left by roll-outs that were killed
    """

    application: str
    name: str
    route: Optional[str]
    config: Dict[str, Any]
    version: str
    previous: Optional[serve_state.Running]
    leftovers: List[str]

    @property
    def previous_version(self) -> Optional[str]:
        """The version that serves now."""
        return self.previous.version if self.previous else None

    @property
    def wish(self) -> str:
        """A digest of all that it wants, numbers of replicas included."""
        return serve_state.wish_of(self.config)

    def at(self, route: Optional[str]) -> Dict[str, Any]:
        """Give the configuration at a route."""
        return dict(self.config, name=self.name, route_prefix=route)


class Rollout:
    """
    What one driver does to Serve, under locks.

    :param config: the payload's configuration
    """

    def __init__(self, run: Run, cluster: Cluster) -> None:
        self.run = run
        self.config = run.config
        self.cluster = cluster
        options = {**(self.config.get("instance") or {}), "http_options": self.config.get("http_options") or {}}
        self.instance = Instance(options, cluster.store)
        self.watch = Watch(cluster, self.report)
        self.deadline = time.monotonic() + float(self.config.get("healthy_timeout_seconds", 600.0))
        if run.not_after is not None:
            # Leave time to go back before the frame ends this process.
            self.deadline = min(self.deadline, time.monotonic() + run.not_after - time.time() - 20.0)

    def report(self, message: str, done: Optional[int] = None, total: Optional[int] = None, **fields: Any) -> None:
        """
        Show a line in the task log and the progress.

        :param fields: of the record: ``step`` and ``state`` of the roll-out, ``application``, ``serve``
        """
        counts = {} if total is None else {"done": done, "total": total}
        self.run.records.tell("progress", message=message, **counts, **fields)

    @contextlib.contextmanager
    def holding(self, name: str) -> Iterator[lock.Held]:
        """Hold a lock of the cluster for the block."""
        with lock.holding(
            self.cluster.store,
            name,
            self.run.submission_id,
            timeout_seconds=float(self.config.get("lock_timeout_seconds", 600.0)),
            has_ended=self.cluster.job_has_ended,
            on_wait=lambda holder: self.report("waiting for job %s, which holds the lock %s" % (holder, name)),
        ) as held:
            yield held

    def change(self, changes: Mapping[str, Optional[Dict[str, Any]]]) -> None:
        """
        Read, merge, write and verify; other applications stay as they are.

        :raises RuntimeError: somebody undid it each time
        """
        with self.holding("config") as held:
            for _ in range(WRITES):
                details = self.cluster.serve()
                runs = bool(details.get("controller_info"))
                # Another may have started Serve since this roll-out looked first.
                self.instance.check(details)
                state = merge.next_state(details, changes)
                state.update(self.instance.to_change() if runs else self.instance.to_start())
                packages.keep(self.cluster.store, [config for config in changes.values() if config is not None])
                held.check()
                self.cluster.put(state)
                shown = self.cluster.serve()
                if not runs:
                    self.instance.remember(shown)
                wrong = merge.missing_from(shown, changes)
                if not wrong:
                    return
        raise RuntimeError("another writer of the Serve configuration undid the change of %s" % ", ".join(wrong))

    # What blue/green and in place have in common

    def take_back(self, error: BaseException, go_back: Callable[[bool], str]) -> None:
        """
        Take a roll-out back, and say so in the error.

        :param go_back: does it, waits until it is done if told so, and says what serves now
        :raises RolloutFailed: instead of ``error``, where that is one; or where going back failed as well
        """
        said = str(error) or type(error).__name__
        # What serves again is written as it was, whatever Serve itself has become meanwhile.
        self.instance = Instance({}, self.cluster.store)
        self.report("rolling back: %s" % said.splitlines()[0][:300], step="roll back", state="begun")
        try:
            after = go_back(isinstance(error, RolloutFailed))
        except Exception as second:
            raise RolloutFailed("going back failed as well (%s) after: %s" % (second, said)) from error
        self.report("rolled back: %s" % after, step="roll back", state="done")
        if isinstance(error, RolloutFailed):
            raise RolloutFailed("rolled back, %s. %s" % (after, said)) from error

    def check_smoke(self, details: Mapping[str, Any], release: Release, route: Optional[str], samples: int = 0) -> None:
        """
        Send the smoke test to a version, by the proxy that clients use.

        :raises RolloutFailed: it fails
        """
        test = (self.config.get("smoke_tests") or {}).get(release.application)
        if not test or route is None:
            return
        proxies = Proxies(details)
        if not proxies.urls:
            raise RolloutFailed("Serve has no healthy HTTP proxy to send the smoke test to")
        url = next(iter(proxies.urls.values())) + route
        try:
            wakes = functools.partial(smoke.wakes, test, url, proxies.http)
            self.watch.until_awake(details, release.name, wakes, self.deadline)
            times = smoke.run(test, url, samples or None, proxies.http)
        except smoke.SmokeTestFailed as error:
            said = "%s failed its smoke test" % release.name
            self.report(said, step="smoke test", state="failed", application=release.name)
            raise RolloutFailed("%s: %s" % (release.name, error)) from error
        said = "%s passed %d smoke tests, slowest %.3f s" % (release.name, len(times), max(times))
        self.report(said, step="smoke test", state="passed", application=release.name)

    def outcome(self, details: Mapping[str, Any], releases: List[Release], changed: bool) -> Dict[str, Any]:
        """Give the result: what serves now, where, and what served before."""
        proxies = list(urls_of(details).values())
        told = {}
        for release in releases:
            item = (details.get("applications") or {}).get(release.name) or {}
            url = None if release.route is None or not proxies else proxies[0] + release.route
            told[release.application] = {
                "application": release.name,
                "route_prefix": release.route,
                "url": url,
                "status": item.get("status"),
                "version": release.version,
                "previous_version": release.previous_version,
                "changed": changed,
                "deployments": {
                    name: {"status": deployment.get("status"), "replicas": replicas_of(deployment)[0]}
                    for name, deployment in (item.get("deployments") or {}).items()
                },
            }
        for release in releases:
            serve = {name: told[release.application][name] for name in ("status", "route_prefix", "version")}
            self.report(
                "%s runs version %s" % (release.application, release.version),
                step="roll-out",
                state="done",
                application=release.name,
                serve={"name": release.name, "application": release.application, **serve},
            )
        options = details.get("http_options") or {}
        return {
            "applications": told,
            "http_scheme": scheme_of(options),
            "http_port": options.get("port", 8000),
            "http_host": options.get("host", "0.0.0.0"),  # noqa: S104
            "http_root_path": options.get("root_path", ""),
            "proxy_location": details.get("proxy_location"),
        }

    def until_routed(self, routes: Mapping[str, str]) -> None:
        """
        Wait until every proxy sends these routes to these applications; where they cannot be asked, say so.

        :raises RolloutFailed: a proxy does not in time
        """
        try:
            self.watch.until_routed(routes)
        except ConfigurationProblem as problem:
            self.report("that the proxies have the route is not checked: %s" % problem)

    def drop_packages(self, applications: Sequence[Mapping[str, Any]] = ()) -> None:
        """
        Delete the copies of code that no application needs any more, neither now nor to go back to.

        :param applications: some whose code is needed in any case; where there is no other, nothing is asked
        """
        store = self.cluster.store
        there = packages.copies(store) - set(packages.code_of(applications))
        if not there:
            return
        with self.holding("config") as held:
            details = self.cluster.serve()
            needed = [item.config for item in serve_state.running(details).values() if item.config]
            before = [store.internal_kv_get(key, NAMESPACE) for key in store.internal_kv_keys(_memory(""), NAMESPACE)]
            needed += [known["config"] for known in map(json.loads, filter(None, before)) if known["config"]]
            held.check()
            # A Serve that is away for a moment tells of no applications.
            if details.get("controller_info"):
                packages.drop(store, there - set(packages.code_of(needed)))

    # The last version that was known to serve, for the driver that takes over from a killed one

    def remember(self, release: Release) -> None:
        """Write down what serves before it is replaced in place."""
        known = {"config": release.previous.config if release.previous else None, "next": release.version}
        data = json.dumps(known).encode()
        self.cluster.store.internal_kv_put(_memory(release.application), data, True, NAMESPACE)

    def recall(self, application: str) -> Optional[Dict[str, Any]]:
        """Read what served before a roll-out that did not end."""
        data = self.cluster.store.internal_kv_get(_memory(application), NAMESPACE)
        return json.loads(data) if data else None

    def forget(self, application: str) -> None:
        """The roll-out ended, well or not."""
        self.cluster.store.internal_kv_del(_memory(application), False, NAMESPACE)


def _memory(application: str) -> bytes:
    return ("before/%s" % application).encode()
