"""How many tasks does Airflow lose because they come back from a deferral too soon?"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.rig.airflow import Airflow, airflow, epoch
from tests.benchmarks.rig.heads import replayed_head
from tests.benchmarks.rig.report import Report

TASKS = 200
QUICK_TASKS = 40
AT_ONCE = 8
SHORTEST_SECONDS = 1.0
DAG_ID, TASK_ID = "bench_race", "job"
# 200 tasks have two cores and their load for a quarter of an hour.
SECONDS_PER_TASK = 15.0
START_SECONDS = 600.0
BUSY = "while True: pass"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say what this benchmark can be told."""
    parser.add_argument("--tasks", type=int, help=f"how many tasks; {TASKS} by default")
    parser.add_argument(
        "--grace", type=float, help="deferral_grace_seconds; 0: each task defers; as shipped by default"
    )
    parser.add_argument("--settle", type=float, help="deferral_settle_seconds; as shipped by default")
    parser.add_argument("--load", type=int, help="busy processes beside Airflow; as many as cores by default")


def measure(
    *,
    quick: bool,
    tasks: int | None = None,
    grace: float | None = None,
    settle: float | None = None,
    load: int | None = None,
) -> Iterator[Report]:
    """Tasks without retries on a busy scheduler, of which a half lasts longer than the grace."""
    from airflow_provider_air.triggers import deferring

    count = tasks if tasks is not None else QUICK_TASKS if quick else TASKS
    busy = (os.cpu_count() or 1) if load is None else load
    longest = 2 * deferring.DEFAULT_GRACE_SECONDS
    report = Report(
        "deferral_race",
        f"{count} deferrable tasks without retries in a real Airflow (LocalExecutor, {AT_ONCE} workers, SQLite) beside "
        f"{busy} busy processes; their jobs, of a double of Ray's dashboard, last evenly from {SHORTEST_SECONDS:g} to "
        f"{longest:g} s; lost: failed by the scheduler with 'state mismatch'",
        quick=quick,
    )
    report.number("grace", deferring.DEFAULT_GRACE_SECONDS if grace is None else grace, "s")
    report.number("settle", deferring.DEFAULT_SETTLE_SECONDS if settle is None else settle, "s")
    told = {"GRACE": grace, "SETTLE": settle}
    env = {f"AIRFLOW__AIR__DEFERRAL_{name}_SECONDS": str(value) for name, value in told.items() if value is not None}
    with replayed_head(0, 1.0) as head, airflow(head.transport, env=env, parallelism=AT_ONCE) as stack:
        # What does not work at all is told now, and not by all tasks.
        stack.run_seconds("bench_within_grace")
        with _load(busy):
            run_id = stack.start(DAG_ID, seconds=_seconds(count, longest))
            stack.api.wait_run(DAG_ID, run_id, timeout_seconds=START_SECONDS + SECONDS_PER_TASK * count)
        _count(report, stack, run_id, count)
    yield report


def _seconds(count: int, longest: float) -> list[float]:
    step = (longest - SHORTEST_SECONDS) / max(1, count - 1)
    seconds = [round(SHORTEST_SECONDS + number * step, 2) for number in range(count)]
    random.Random(0).shuffle(seconds)
    return seconds


@contextmanager
def _load(processes: int) -> Iterator[None]:
    """Keep this many cores busy."""
    with contextlib.ExitStack() as started:
        for _ in range(processes):
            process = subprocess.Popen([sys.executable, "-c", BUSY])
            started.callback(process.wait)
            started.callback(process.kill)
        yield


def _count(report: Report, stack: Airflow, run_id: str, count: int) -> None:
    """
    Tell what has become of the tasks.

    :raises RuntimeError: one failed for another reason: then this was another race
    """
    instances = [ti for ti in stack.task_instances(DAG_ID, run_id) if ti["task_id"] == TASK_ID]
    if len(instances) != count:
        raise RuntimeError(f"there are {len(instances)} of {count} task instances")
    states = {ti["map_index"]: ti["state"] for ti in instances}
    deferred = _indexes(stack.events(DAG_ID, run_id, "deferred"))
    mismatched = _indexes(stack.events(DAG_ID, run_id, "state mismatch"))
    others = {index: state for index, state in states.items() if state != "success" and index not in mismatched}
    if others:
        index = min(others)
        text = stack.api.log_text(DAG_ID, run_id, TASK_ID, 1, index)[-2000:]
        raise RuntimeError(f"{len(others)} tasks ended otherwise; {index} as {others[index]}: {text}")
    lost = {index for index in mismatched if states[index] != "success"}
    report.number("deferred", len(deferred), "tasks")
    report.number("lost", len(lost), "tasks")
    report.number("lost_of_deferred", len(lost) / max(1, len(deferred)), "1")
    report.series("task", [epoch(ti["end_date"]) - epoch(ti["start_date"]) for ti in instances if ti["end_date"]], "s")
    run = stack.api.run(DAG_ID, run_id)
    report.number("run", epoch(run["end_date"]) - epoch(run["start_date"]), "s")
    report.aim("tasks that Airflow loses", len(lost), at_most=0)
    report.aim("tasks that have deferred", len(deferred), at_least=count // 2)


def _indexes(events: list[dict[str, Any]]) -> set[int]:
    return {int(event["map_index"]) for event in events if event["task_id"] == TASK_ID}
