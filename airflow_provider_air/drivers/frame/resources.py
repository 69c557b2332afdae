"""Never wait for ever: compare what was asked for with what the cluster has, and say so."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

import ray

from ..wire.problems import ConfigurationProblem, Unavailable
from .running import Run

Bundle = Dict[str, float]
T = TypeVar("T")
# How often the driver looks at its mailbox, and at the cluster's size while the cluster is too small.
TICK_SECONDS = 0.1
CLUSTER_LOOK_SECONDS = 2.0
DEFAULT_TIMEOUT_SECONDS = 600.0


def lacking(bundles: Sequence[Bundle]) -> Optional[str]:
    """
    Say what the cluster lacks to hold all ``bundles`` at once, or None when its totals suffice.

    Totals, not what is free now: waiting for another job to end is legitimate, waiting for a node that
    never comes is not.
    """
    total = ray.cluster_resources()
    for name, asked in _sum(bundles).items():
        if asked > total.get(name, 0.0) + 1e-9:
            return "asked for %s, the cluster has %s" % (_text(_sum(bundles)), _text(total, bundles))
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for bundle in bundles:
        if not any(all(node.get(k, 0.0) + 1e-9 >= v for k, v in bundle.items()) for node in nodes):
            return "asked for %s on one node, the nodes have %s" % (
                _text(bundle),
                "; ".join(_text(node, [bundle]) for node in nodes),
            )
    return None


def run_when_it_fits(
    run: Run,
    field: str,
    bundles: Sequence[Bundle],
    work: Callable[[], T],
    tick: Callable[[], None] = lambda: None,
) -> T:
    """
    Do ``work`` in a thread and end it with a clear error when the cluster can never hold it.

    Config: ``fixed_size`` (the cluster cannot grow: fail at once) and ``resources_timeout_seconds``
    (how long it may take to grow). Work starts at once even so, since its demand is what makes an
    autoscaler grow the cluster. Once it makes progress, nobody asks any more what the cluster has.

    :param field: the config field that asks for the resources, for the message
    :param tick: called about every 0.1 s in the driver's main thread; what it raises ends the job
    :raises ConfigurationProblem: the cluster is too small and cannot grow; before the work starts
    :raises Unavailable: the cluster is too small and did not grow in time
    """
    watch = _Watch(run, field, bundles)
    outcome: Dict[str, Any] = {}

    def body() -> None:
        try:
            outcome["value"] = work()
        except BaseException as error:  # raised again in the main thread
            outcome["error"] = error

    # A daemon: when the main thread gives up, the process (and with it Ray's job) ends.
    thread = threading.Thread(target=body, name="air-work", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(TICK_SECONDS)
        tick()
        watch.look()
    tick()
    if "error" in outcome:
        raise outcome["error"]
    value: T = outcome["value"]
    return value


class _Watch:
    def __init__(self, run: Run, field: str, bundles: Sequence[Bundle]) -> None:
        self._run = run
        self._field = field
        self._bundles = bundles
        timeout = run.config.get("resources_timeout_seconds")
        self._timeout = DEFAULT_TIMEOUT_SECONDS if timeout is None else float(timeout)
        self._deadline = time.monotonic() + self._timeout
        self._next_look = 0.0
        self._said = ""
        self._enough = False
        run.records.followers.append(self._note)
        self.look()
        if self._enough:
            self._say_if_busy()

    def look(self) -> None:
        if self._enough or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + CLUSTER_LOOK_SECONDS
        missing = lacking(self._bundles)
        if missing is None:
            self._enough = True
            return
        if _is_placed(self._bundles[0]):
            # Whatever the totals say, such as those of a cluster that has shrunk since.
            self._enough = True
            return
        if self._run.config.get("fixed_size"):
            raise ConfigurationProblem(
                "%s: more than the cluster can ever give: %s, and it cannot grow. Ask for less, or for a larger "
                "cluster" % (self._field, missing)
            )
        if time.monotonic() > self._deadline:
            raise Unavailable(
                "%s: the cluster did not grow enough in %g s: %s. Ask for less, allow more nodes, or raise "
                "resources_timeout_seconds" % (self._field, self._timeout, missing)
            )
        self._say("waiting for the cluster to grow: %s" % missing)

    def _note(self, record: Dict[str, Any]) -> None:
        """Take a record: what reports, or has something done, has what it needs."""
        if record["kind"] in ("metric", "checkpoint") or record.get("done"):
            self._enough = True

    def _say_if_busy(self) -> None:
        asked, free = _sum(self._bundles), ray.available_resources()
        if any(asked[name] > free.get(name, 0.0) + 1e-9 for name in asked):
            self._say(
                "the cluster is busy: asked for %s, free are %s; starting as soon as they are"
                % (_text(asked), _text(free, self._bundles))
            )

    def _say(self, message: str) -> None:
        if message != self._said:
            self._said = message
            self._run.records.tell("progress", message=message, phase="resources")


def _is_placed(bundle: Bundle) -> bool:
    """
    Whether Ray has found room for what this job asked for as a group: the workers of a Train run, a trial.

    Source: Ray 2.60, the id of a placement group ends with its job's

    :param bundle: one of the group's
    """
    job = str(ray.get_runtime_context().get_job_id())
    groups = [group for name, group in ray.util.placement_group_table().items() if name.endswith(job)]
    placed = [held for group in groups if group["state"] == "CREATED" for held in group["bundles"].values()]
    return any(all(held.get(name, 0.0) + 1e-9 >= amount for name, amount in bundle.items()) for held in placed)


def _sum(bundles: Sequence[Bundle]) -> Bundle:
    total: Bundle = {}
    for bundle in bundles:
        for name, amount in bundle.items():
            total[name] = total.get(name, 0.0) + amount
    return {name: amount for name, amount in total.items() if amount}


def _text(resources: Bundle, asked: Optional[Sequence[Bundle]] = None) -> str:
    names: List[str] = sorted(_sum(asked) if asked is not None else resources)
    return ", ".join("%s: %g" % (name, resources.get(name, 0.0)) for name in names) or "nothing"
