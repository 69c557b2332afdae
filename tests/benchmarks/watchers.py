"""What does waiting cost the triggerer: one process with 1, 100 and 1,000 tasks that wait for jobs, or for room?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig.fresh import fresh
from tests.benchmarks.rig.heads import real_head, replayed_head
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report

COUNTS = (1, 100, 1000)
REAL_JOBS = 10
LOG_INTERVAL_SECONDS = 5.0
ROOM = 10
RATES = {"requests": "requests/s", "reply_bytes": "bytes/s", "xcom_writes": "XCom writes/s", "cpu_share": "of a core"}


def measure(*, quick: bool) -> Iterator[Report]:
    """Requests, bytes and CPU of one triggerer, on the replayed head and for a few real jobs."""
    windows, seconds = (1, 20.0) if quick else (3, 30.0)
    yield from _replayed(windows, seconds, quick=quick)
    yield _real(windows, seconds, quick=quick)


def _replayed(windows: int, seconds: float, *, quick: bool) -> Iterator[Report]:
    report = Report(
        "watchers.replayed",
        "one process with the triggers of N running jobs, each of which logs a line per 5 s, on a replayed head; "
        "XComs go to a double of the supervisor",
        quick=quick,
    )
    room = Report(
        "watchers.room",
        f"one process with the triggers of N tasks that wait for room under max_concurrent_jobs={ROOM}, on the same "
        "heads, which have N live jobs and list them all at each look",
        quick=quick,
    )
    cpu, waiting = {}, {}
    for count in COUNTS:
        with replayed_head(count, LOG_INTERVAL_SECONDS) as head:
            url = str(head.control.base_url)
            seen = _watched(head.transport, head.jobs, url, windows, seconds)
            if count > ROOM:
                waited = _watched(head.transport, [], url, windows, seconds, waiting=count)
                for rate, unit in RATES.items():
                    room.series(f"tasks_{count}.{rate}", waited[rate], unit)
                waiting[count] = room.measured[f"tasks_{count}.cpu_share"]["median"]
        for rate, unit in RATES.items():
            report.series(f"jobs_{count}.{rate}", seen[rate], unit)
        cpu[count] = report.measured[f"jobs_{count}.cpu_share"]["median"]
    few, many = cpu[COUNTS[1]], cpu[COUNTS[2]]
    report.aim("share of a core that watching 1,000 jobs takes", many, at_most=0.25)
    report.aim("CPU of 1,000 jobs over that of 100: sublinear", many / few, at_most=COUNTS[2] / COUNTS[1])
    room.aim("share of a core that 1,000 tasks take which wait for room", waiting[COUNTS[2]], at_most=0.10)
    yield report
    yield room


def _real(windows: int, seconds: float, *, quick: bool) -> Report:
    report = Report("watchers.real", f"the same for {REAL_JOBS} sleeping jobs on a real head", quick=quick)
    with real_head("watch") as (_, transport), RawRest(transport) as rest:
        last = 120 + windows * seconds
        jobs = [rest.submit(f"for i in $(seq 1000); do echo $i; sleep {last / 1000}; done") for _ in range(REAL_JOBS)]
        while any(rest.details(name)["status"] == "PENDING" for name in jobs):
            time.sleep(0.5)
        seen = _watched(transport, jobs, None, windows, seconds)
    for rate, unit in RATES.items():
        if seen[rate]:
            report.series(f"jobs_{REAL_JOBS}.{rate}", seen[rate], unit)
    return report


def _watched(
    transport: Transport, jobs: list[str], control_url: str | None, windows: int, seconds: float, *, waiting: int = 0
) -> dict[str, list[float]]:
    """Watch in a process of its own, so that its CPU time is that of the watching."""
    told: dict[str, Any] = {"base_url": transport.base_url, "token": transport.token, "control_url": control_url}
    told["waiting"] = waiting
    seen: dict[str, list[float]] = fresh(
        __name__, watch_in_process.__name__, jobs=jobs, windows=windows, seconds=seconds, **told
    )
    return seen


def watch_in_process(
    *, base_url: str, token: str, control_url: str | None, jobs: list[str], waiting: int, windows: int, seconds: float
) -> dict[str, list[float]]:
    """Run the triggers of these jobs, or of so many waiting tasks, for some windows of time; in the fresh process."""
    from tests.benchmarks.rig.triggers import job_triggers, room_triggers
    from tests.benchmarks.rig.worker import connected

    with connected(Transport(base_url, token=token)) as supervisor:
        triggers = [*job_triggers(jobs), *room_triggers(waiting, ROOM)]
        return asyncio.run(_watch(supervisor, control_url, triggers, windows, seconds))


async def _watch(
    supervisor: Any, control_url: str | None, triggers: list[Any], windows: int, seconds: float
) -> dict[str, list[float]]:
    from tests.benchmarks.rig.triggers import event_of

    tasks = [asyncio.create_task(event_of(trigger)) for trigger in triggers]
    # All take over their progress first, one thread hop each; and logs that have grown meanwhile are read.
    await asyncio.sleep(10 + len(triggers) / 50)
    seen: dict[str, list[float]] = {rate: [] for rate in RATES}
    for _ in range(windows):
        before = await _counters(supervisor, control_url)
        await asyncio.sleep(seconds)
        after = await _counters(supervisor, control_url)
        wall = after.pop("wall") - before.pop("wall")
        for name in after:
            seen[name].append((after[name] - before[name]) / wall)
    ended = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if ended:
        raise RuntimeError(f"{len(ended)} of {len(tasks)} watches ended early: {ended[0]}")
    return seen


async def _counters(supervisor: Any, control_url: str | None) -> dict[str, float]:
    import httpx

    counters = {"cpu_share": time.process_time(), "xcom_writes": float(len(supervisor.history))}
    if control_url is not None:
        async with httpx.AsyncClient(base_url=control_url, verify=False, timeout=60) as control:
            stats = (await control.get("/stats")).raise_for_status().json()
        counters |= {"requests": stats["requests"], "reply_bytes": stats["reply_bytes"]}
    return counters | {"wall": time.monotonic()}
