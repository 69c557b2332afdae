"""What do the pages in Airflow's UI cost: how long an answer takes, how large it is, and what open tabs cost?"""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib.metadata import version
from typing import Any

import httpx

from airflow_provider_air.contracts.history import MOST_BYTES
from airflow_provider_air.runs.history import RunHistory
from tests.airflow_site import AirflowSite, StoredTask
from tests.benchmarks.rig.fresh import REPOSITORY
from tests.benchmarks.rig.report import Report, percentile, ratios

# Points of each curve, and trials.
SIZES = {"10": 10, "1000": 1000, "most": 2000}
CURVES = 6
# Of a tab in which nothing is new, and of one in which each answer has something.
TABS, EVERY_SECONDS = 50, {"idle": 3.0, "whole": 2.0}
# Airflow's own answer about a task instance: what a person waits for beside ours.
AIRFLOWS = "/api/v2/dags/{0}/dagRuns/r/taskInstances/t"
OURS = "/air/api/task/{0}/r/t/-1"


def measure(*, quick: bool) -> Iterator[Report]:
    """Over the whole application in this process, with SQLite."""
    # Where the tests keep theirs.
    template = REPOSITORY / ".pytest_cache" / "d" / "airflow-db" / f"{version('apache-airflow-core')}.db"
    site = AirflowSite(template)
    try:
        yield asyncio.run(_measured(site, quick=quick))
    finally:
        site.close()


async def _measured(site: AirflowSite, *, quick: bool) -> Report:
    report = Report(
        "ui_routes",
        "latency and payload of a task's view by the points of its curves and its trials, beside Airflow's own answer "
        "about the same task instance; and what 50 tabs cost that ask every two seconds, or three where nothing is new",
        quick=quick,
    )
    times = 20 if quick else 100
    async with _browser(site) as browser:
        for name, size in SIZES.items():
            task = _stored(site, f"size{name}", size)
            await _of_size(report, browser, task, name, times)
        await _tabs(report, browser, times)
    report.note("in one process, over ASGI: what a network and a second process add is not in these numbers")
    report.note("the share of a core is the api-server's: what the browser's side of the same calls takes is taken off")
    return report


def _browser(site: AirflowSite) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=site.app)
    headers = {"cookie": site.client("viewer").headers["cookie"], "accept-encoding": "gzip"}
    return httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers)


async def _of_size(report: Report, browser: httpx.AsyncClient, task: StoredTask, name: str, times: int) -> None:
    path = OURS.format(task.names["dag_id"])
    first = await _get(browser, path)
    known = [f"{section}:{value}" for section, value in first.json()["hashes"].items()]
    number = iter(range(10**9))

    async def whole() -> float:
        # The history was written anew: nothing that was made of it before is of use.
        task.push("air_history", _HISTORIES[name])
        return await _seconds(browser, path)

    async def same() -> float:
        return await _seconds(browser, path, known)

    async def live() -> float:
        task.push("progress", _progress(next(number)))
        return await _seconds(browser, path, known)

    async def airflows() -> float:
        return await _seconds(browser, AIRFLOWS.format(task.names["dag_id"]))

    found = await _interleaved(times, whole=whole, same=same, live=live, airflows=airflows)
    for kind, values in found.items():
        report.series(f"{name}_{kind}", [value * 1000 for value in values], "ms")
        report.number(f"{name}_{kind}_p95", percentile(values, 0.95) * 1000, "ms")
    report.series(f"{name}_whole_over_airflows", ratios(found["whole"], found["airflows"]), "ratio")
    report.series(f"{name}_same_over_airflows", ratios(found["same"], found["airflows"]), "ratio")
    report.aim(f"p95 milliseconds of a whole view, {name}", percentile(found["whole"], 0.95) * 1000, at_most=100)
    size = report.number(f"{name}_payload", _sent(first) / 1024, "KB")
    report.aim(f"KB of a whole view as sent, {name}", size, at_most=200)


async def _tabs(report: Report, browser: httpx.AsyncClient, times: int) -> None:
    paths = [OURS.format(f"size{name}") for name in SIZES]
    known = {path: _known(await _get(browser, path)) for path in paths}
    began = time.process_time()
    for _ in range(times):
        await _get(browser, "/api/v2/version")
    # What any answer costs: Airflow's middlewares, its access log, and here the browser's side of the call.
    least = report.number("cpu_of_airflows_least_answer", (time.process_time() - began) / times * 1000, "ms")
    for kind, kept in (("idle", known), ("whole", dict.fromkeys(paths))):
        began = time.process_time()
        for number in range(times):
            path = paths[number % len(paths)]
            await _get(browser, path, kept[path])
        busy = (time.process_time() - began) / times
        answers = [await _get(browser, path, kept[path]) for path in paths]
        browsers = report.number(f"cpu_of_the_browsers_side_{kind}", await _browsers_side(answers, times) * 1000, "ms")
        busy -= browsers / 1000
        report.number(f"cpu_of_an_answer_{kind}", busy * 1000, "ms")
        report.number(f"cpu_over_airflows_least_{kind}", busy * 1000 - least, "ms")
        share = report.number(f"tabs_{kind}", busy * TABS / EVERY_SECONDS[kind] * 100, "% of a core")
        if kind == "idle":
            report.aim(f"percent of a core for {TABS} tabs every {EVERY_SECONDS[kind]:g} s", share, at_most=10)


async def _browsers_side(answers: list[httpx.Response], times: int) -> float:
    """Give the CPU seconds of one call to an application that has its answer at hand."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer = by_path[scope["path"]]
        headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bodies[scope["path"]]})

    by_path = {answer.request.url.path: answer for answer in answers}
    bodies = {
        path: gzip.compress(answer.content) if answer.headers.get("content-encoding") == "gzip" else answer.content
        for path, answer in by_path.items()
    }
    sent = answers[0].request.headers
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), headers=sent) as browser:
        began = time.process_time()
        for number in range(times):
            (await browser.get(str(answers[number % len(answers)].request.url))).raise_for_status()
        return (time.process_time() - began) / times


def _known(answer: httpx.Response) -> list[str]:
    return [f"{section}:{value}" for section, value in answer.json()["hashes"].items()]


async def _seconds(browser: httpx.AsyncClient, path: str, known: list[str] | None = None) -> float:
    began = time.perf_counter()
    await _get(browser, path, known)
    return time.perf_counter() - began


async def _get(browser: httpx.AsyncClient, path: str, known: list[str] | None = None) -> httpx.Response:
    answer = await browser.get(path, params={"known": known} if known else None)
    return answer.raise_for_status()


def _sent(answer: httpx.Response) -> int:
    return int(answer.num_bytes_downloaded)


async def _interleaved(times: int, **sides: Callable[[], Coroutine[Any, Any, float]]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(times):
        for name, call in sides.items():
            values[name].append(await call())
    return values


_HISTORIES: dict[str, dict[str, Any]] = {}


def _stored(site: AirflowSite, dag_id: str, size: int) -> StoredTask:
    task = site.add_task(dag_id, state="deferred")
    attempt = {
        "submission_id": "air-1",
        "generation": 1,
        "number": 1,
        "phase": "submitted",
        "workload": "tune",
        "steps": {"intended": 1.0, "sent": 2.0, "submitted": 3.0},
        "cluster": {"backend": "existing", "name": "ray_default", "details": {"ray_conn_id": "ray_default"}},
    }
    task.set("air_ledger", {"version": 1, "attempts": [attempt]})
    task.push("progress", _progress(0))
    _HISTORIES[dag_id.removeprefix("size")] = history = _history(size, min(size, 1000))
    task.push("air_history", history)
    return task


def _progress(number: int) -> dict[str, Any]:
    values = {f"metric{curve}": number / 7 for curve in range(CURVES)}
    return {
        "submission_id": "air-1",
        "status": "RUNNING",
        "message": f"step {number}",
        "done": number,
        "values": values,
    }


def _history(points: int, trials: int) -> dict[str, Any]:
    """Give what the engine would have kept, of numbers that do not compress."""
    chance = random.Random(points)
    told = RunHistory({"submission_id": "air-1", "workload": "tune"})
    records = [
        {"kind": "metric", "step": step, "values": {f"metric{curve}": chance.random() for curve in range(CURVES)}}
        for step in range(points)
    ]
    for trial in range(trials):
        config = {f"parameter{number}": chance.random() for number in range(8)}
        for step in range(10):
            values = {f"value{number}": chance.random() for number in range(4)}
            records.append({"kind": "metric", "trial": f"t{trial}", "step": step, "config": config, "values": values})
    told.note_records([{"v": 1, "seq": seq, "t": float(seq), **record} for seq, record in enumerate(records)])
    return told.to_json(MOST_BYTES)
