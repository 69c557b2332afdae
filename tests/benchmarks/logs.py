"""What do log lines cost on their way from a job to Airflow's log?"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil

from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig.fresh import fresh
from tests.benchmarks.rig.heads import ReplayedHead, replayed_head
from tests.benchmarks.rig.report import Report

LINES = 200_000
WAYS = {
    "triggerer_and_worker": "the trigger shows what it may, the worker shows the rest, as of a deferred task",
    "worker": "the trigger's code on the worker shows all, as with deferrable=False",
}
AIMS: dict[str, tuple[str, dict[str, float]]] = {
    "lines_per_second": ("lines/s", {"at_least": 10_000}),
    "cpu_microseconds_per_line": ("us", {"at_most": 100}),
    "longest_stall": ("ms", {"at_most": 200}),
    "memory_growth": ("MB", {"at_most": 50}),
    "longest_stall_of_an_idle_loop": ("ms", {}),
}


def measure(*, quick: bool) -> Iterator[Report]:
    """Lines per second, CPU per line, event-loop stalls and memory, for a log that is long at once."""
    for way, meaning in WAYS.items():
        report = Report(
            f"logs.{way}",
            f"{LINES} lines of an ended job: {meaning}; logged as Airflow's processes log, through its own logging "
            "configuration into a socket whose other end takes them as they come",
            quick=quick,
        )
        runs = [_one(way) for _ in range(1 if quick else 5)]
        for name, (unit, bounds) in AIMS.items():
            median = report.series(name, [run[name] for run in runs], unit)
            if bounds:
                report.aim(name, median, **bounds)
        report.note("what Airflow's supervisors do with a line afterwards is not in here")
        yield report


def _one(way: str) -> dict[str, float]:
    with replayed_head(2, 1e6) as head:
        _write_log(head)
        for name in head.jobs:
            head.finish(name)
        told: dict[str, Any] = {"base_url": head.transport.base_url, "token": head.transport.token}
        seen: dict[str, float] = fresh(
            __name__, show_in_process.__name__, **told, way=way, submission_id=head.jobs[0], first=head.jobs[1]
        )
    return seen


def _write_log(head: ReplayedHead) -> None:
    text = "".join(f"{number:06d} 2026-11-26 12:00:00,000 INFO train.py:42 -- a line\n" for number in range(LINES))
    head.log(head.jobs[0], text.encode())


def show_in_process(*, base_url: str, token: str, way: str, submission_id: str, first: str) -> dict[str, float]:
    """Show the log in one of the ways, after a short one, and give what it cost; runs in the fresh process."""
    from tests.benchmarks.rig.worker import connected

    with Sink() as sink, connected(Transport(base_url, token=token)):
        _log_into(sink)
        _show(way, first)  # a triggerer has long loaded what the first job makes it load
        memory = Memory()
        cpu, wall = time.process_time(), time.perf_counter()
        stall = _show(way, submission_id)
        seconds, busy = time.perf_counter() - wall, time.process_time() - cpu - sink.cpu_seconds
        growth = memory.growth()
    if sink.lines < LINES:
        raise RuntimeError(f"only {sink.lines} of {LINES} lines were shown")
    return {
        "lines_per_second": sink.lines / seconds,
        "cpu_microseconds_per_line": busy / sink.lines * 1e6,
        "longest_stall": stall * 1000,
        "memory_growth": growth / 1e6,
        # As long as the measurement, right after it: what the machine itself makes a loop wait.
        "longest_stall_of_an_idle_loop": asyncio.run(_watched_loop(asyncio.sleep(seconds)))[1] * 1000,
    }


def _log_into(sink: Sink) -> None:
    """Configure logging as Airflow's supervisor does for tasks and triggers (3.3.2)."""
    from airflow.sdk.log import configure_logging

    output = os.fdopen(sink.near.detach(), "wb", buffering=0)
    configure_logging(json_output=True, output=output, sending_to_supervisor=True)


def _show(way: str, submission_id: str) -> float:
    from airflow.sdk.execution_time.xcom import XCom  # noqa: F401  # loaded long before in Airflow's processes

    from airflow_provider_air.connections.ports import watch_ports
    from airflow_provider_air.contracts.runs import Wait
    from airflow_provider_air.runs.watch import Watch
    from tests.benchmarks.rig.triggers import event_of, job_triggers

    trigger = job_triggers([submission_id])[0]
    if way == "worker":
        watch = Watch(Wait.from_json(trigger.step), watch_ports(trigger.task_names, trigger.log))
        return asyncio.run(_watched_loop(watch.event()))[1]
    event, stall = asyncio.run(_watched_loop(event_of(trigger)))
    _resume(submission_id, event.payload)
    return stall


def _resume(submission_id: str, event: Any) -> None:
    """Go on as the worker does that a deferred task comes back to."""
    from airflow_provider_air import RaySubmitJobOperator
    from airflow_provider_air.runs.ledger import LEDGER_KEY, Ledger
    from tests.benchmarks.rig import worker
    from tests.benchmarks.rig.triggers import attempt_of
    from tests.fakes.task_context import Store

    operator = RaySubmitJobOperator(task_id="job", ray_conn_id=worker.RAY_CONN_ID, entrypoint="true")
    store = Store()
    store.set(LEDGER_KEY, Ledger(max_tries=2, attempts=(attempt_of(submission_id),)).to_json())
    operator.on_event(worker.new_context(operator, store=store), event)


async def _watched_loop(work: Any) -> tuple[Any, float]:
    """Await something, and tell for how long the event loop stood still at most meanwhile."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before - 0.005)

    looking = asyncio.create_task(look())
    value = await work
    looking.cancel()
    return value, longest


class Sink:
    """The other end of the log's socket, in a thread of a process of its own's making; counts lines."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        self.lines = 0
        self.cpu_seconds = 0.0
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __enter__(self) -> Sink:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._far.close()

    def _take(self) -> None:
        rest = b""
        while True:
            try:
                data = self._far.recv(65536)
            except OSError:
                return
            if not data:
                return
            # In a flood an entry is a block of lines, whose ends are escaped in its JSON.
            data, rest = rest + data, b""
            if data.endswith(b"\\"):
                data, rest = data[:-1], b"\\"
            self.lines += data.count(b"\n") + data.count(b"\\n")
            self.cpu_seconds = time.thread_time()


class Memory:
    """Watches how far this process's resident memory grows, every 20 ms, from a thread."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def growth(self) -> int:
        """Give the bytes between the first look and the highest one."""
        self._ended.set()
        self._thread.join()
        return int(self._most - self._before)

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            self._most = max(self._most, self._process.memory_info().rss)
