"""How long after a job's end does its task know?"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any

from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig.fresh import fresh
from tests.benchmarks.rig.heads import real_head, replayed_head
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report, percentile

AIM_SECONDS = 1.0
WATCHED = (1, 10, 100, 1000)
LOG_INTERVAL_SECONDS = 5.0


def measure(*, quick: bool) -> Iterator[Report]:
    """From a job's end to the trigger's event, among few and many watched jobs, and on a real head."""
    ends = 20 if quick else 60
    report = Report(
        "finish_latency.replayed",
        "seconds from a job's end to the event of its trigger, on a replayed head, in one process that watches N "
        "running jobs; the ends come one after the other at random moments",
        quick=quick,
    )
    for watched in WATCHED[:3] if quick else WATCHED:
        with replayed_head(watched + ends, LOG_INTERVAL_SECONDS) as head:
            told: dict[str, Any] = {"base_url": head.transport.base_url, "token": head.transport.token}
            control = str(head.control.base_url)
            seconds = fresh(
                __name__, replayed_latencies.__name__, **told, control_url=control, ends=ends, watched=watched
            )
        report.series(f"watched_{watched}", seconds, "s")
        report.number(f"watched_{watched}.p95", percentile(seconds, 0.95), "s")
        if watched <= 100:
            report.aim(f"p95 with {watched} watched jobs", percentile(seconds, 0.95), at_most=AIM_SECONDS)
    report.note("many watched jobs are polled more rarely, so that polling costs at most a tenth of the time")
    yield report
    yield _real(quick=quick)


def _real(*, quick: bool) -> Report:
    report = Report(
        "finish_latency.real",
        "seconds from the last command of a job to the event of its trigger; Ray itself notices the end in between",
        quick=quick,
    )
    with real_head("finish") as (_, transport), RawRest(transport) as rest:
        latencies, own = [], []
        for _ in range(3 if quick else 10):
            # The job's end as Ray tells it has whole milliseconds, and lies some way behind the command's.
            name = rest.submit(f"sleep {4 + random.random():.2f}; date +%s.%N")
            told: dict[str, Any] = {"base_url": transport.base_url, "token": transport.token}
            at = float(fresh(__name__, real_event_time.__name__, **told, submission_id=name))
            ended = rest.details(name)["end_time"] / 1000
            last = float(rest.log(name).split()[-1])
            latencies.append(at - ended)
            own.append(ended - last)
    report.series("event_after_rays_end_time", latencies, "s")
    report.series("rays_end_time_after_the_command", own, "s")
    report.aim("p95 after the end that Ray tells", percentile(latencies, 0.95), at_most=AIM_SECONDS)
    return report


def replayed_latencies(*, base_url: str, token: str, control_url: str, ends: int, watched: int) -> list[float]:
    """Watch ``watched`` jobs, end some more one by one, and give the seconds of each; runs in the fresh process."""
    from tests.benchmarks.rig.worker import connected

    with connected(Transport(base_url, token=token)):
        return asyncio.run(_latencies(control_url, ends, watched))


async def _latencies(control_url: str, ends: int, watched: int) -> list[float]:
    import httpx

    from tests.benchmarks.rig.triggers import event_of, job_triggers

    names = [f"replay-{number:04d}" for number in range(watched + ends)]
    triggers = job_triggers(names)
    others = [asyncio.create_task(event_of(trigger)) for trigger in triggers[: watched - 1]]
    await asyncio.sleep(5 + watched / 50)
    seconds = []
    async with httpx.AsyncClient(base_url=control_url, verify=False, timeout=60) as control:
        for name, trigger in zip(names[watched:], triggers[watched:], strict=True):
            waiting = asyncio.create_task(event_of(trigger))
            await asyncio.sleep(2 + 2 * random.random())
            answer = await control.post(f"/finish/{name}")
            await waiting
            seconds.append(time.time() - answer.json()["at"])
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return seconds


def real_event_time(*, base_url: str, token: str, submission_id: str) -> float:
    """Watch one job to its event, and give the event's epoch seconds; runs in the fresh process."""
    from tests.benchmarks.rig.triggers import event_of, job_triggers
    from tests.benchmarks.rig.worker import connected

    with connected(Transport(base_url, token=token)):
        event = asyncio.run(event_of(job_triggers([submission_id])[0]))
    if event.payload["outcome"] != "ended":
        raise RuntimeError(f"unexpected event: {event.payload}")
    return time.time()
