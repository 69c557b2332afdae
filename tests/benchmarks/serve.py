"""What does a Serve deployment from Airflow cost over raw REST, and does a roll-out lose requests?"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import httpx

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.drivers.serve import merge
from airflow_provider_air.operators.serve import RayServeDeleteOperator
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.packages import package_folder, upload
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.report import Report, differences, interleaved
from tests.benchmarks.rig.worker import connected
from tests.serving import CODE, Clients, deploy_operator, execute

POLL_SECONDS = 0.02
_NUMBERS = itertools.count(1)


def measure(*, quick: bool) -> Iterator[Report]:
    """A new application, then a new version of one, by us and by REST in turn; then roll-outs under load."""
    with real_head("bench-serve", num_cpus=8, idle_timeout_seconds=None) as (ref, transport), connected(transport):
        execute(deploy_operator(ref, "first", application="flights", smoke_test=SmokeTest()))
        yield _to_health(ref, transport, quick)
        yield _roll_out(ref, transport, quick)
        yield _lost_requests(ref, quick)


def _to_health(ref: ClusterRef, transport: Transport, quick: bool) -> Report:
    report = Report(
        "serve.to_health",
        "seconds until a new application is healthy: the operator's execute, and a PUT with polling by raw REST",
        quick=quick,
    )

    def by_operator() -> float:
        name = f"air{next(_NUMBERS)}"
        began = time.perf_counter()
        execute(deploy_operator(ref, "v", application=name))
        seconds = time.perf_counter() - began
        execute(RayServeDeleteOperator(task_id="d", cluster=ref.to_json(), application=name, deferrable=False))
        return seconds

    seconds = interleaved(3 if quick else 5, air=by_operator, rest=lambda: _by_rest(transport))
    added = report.series("added", differences(seconds["air"], seconds["rest"]), "s")
    report.series("air", seconds["air"], "s")
    report.series("rest", seconds["rest"], "s")
    report.aim("median added seconds", added, at_most=2)
    report.note("a Ray job starts its supervisor's process first, about 2.7 s on this kind of machine (Ray 2.60)")
    return report


def _roll_out(ref: ClusterRef, transport: Transport, quick: bool) -> Report:
    report = Report(
        "serve.roll_out",
        "seconds until an application that serves has a new version: the operator's execute (in place, and blue/green "
        "with a second of draining), and a PUT of the new version by raw REST until the route answers with it",
        quick=quick,
    )
    ours = execute(deploy_operator(ref, "v", application="rolled", strategy="in_place"))["url"]
    green = execute(deploy_operator(ref, "v", application="green", strategy="blue_green"))["url"]

    def by_operator(application: str, url: str, strategy: str) -> float:
        version = f"v{next(_NUMBERS)}"
        began = time.perf_counter()
        execute(deploy_operator(ref, version, application=application, strategy=strategy))
        seconds = time.perf_counter() - began
        if _answers(url) != version:
            raise RuntimeError(f"{url} does not answer with {version}")
        return seconds

    with _by_hand(transport) as rest:
        name = "rolled_rest"
        rest.put(name, "v")
        rest.wait_for(name, "RUNNING")
        url = ours.replace("/rolled", f"/{name}")

        def by_put() -> float:
            version = f"v{next(_NUMBERS)}"
            began = time.perf_counter()
            rest.put(name, version)
            while _answers(url) != version:
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - began

        seconds = interleaved(
            2 if quick else 5,
            rest=by_put,
            in_place=lambda: by_operator("rolled", ours, "in_place"),
            blue_green=lambda: by_operator("green", green, "blue_green"),
        )
        rest.put(name, None)
        rest.wait_for(name, None)
    for application in ("rolled", "green"):
        execute(RayServeDeleteOperator(task_id="d", cluster=ref.to_json(), application=application, deferrable=False))
    for side, values in seconds.items():
        report.series(side, values, "s")
    added = report.series("added", differences(seconds["in_place"], seconds["rest"]), "s")
    report.series("added_blue_green", differences(seconds["blue_green"], seconds["rest"]), "s")
    report.aim("median added seconds, in place", added, at_most=2)
    return report


def _answers(url: str) -> str | None:
    answer = httpx.get(url, trust_env=False, timeout=60)
    return str(answer.json()["version"]) if answer.status_code == 200 else None


def _by_rest(transport: Transport) -> float:
    name = f"rest{next(_NUMBERS)}"
    began = time.perf_counter()
    with _by_hand(transport) as rest:
        rest.put(name, "v")
        rest.wait_for(name, "RUNNING")
        seconds = time.perf_counter() - began
        rest.put(name, None)
        rest.wait_for(name, None)
    return seconds


class _ByHand:
    """Serve's own REST, as a script would use it."""

    def __init__(self, http: httpx.Client, package: str) -> None:
        self._http = http
        self._package = package

    def put(self, name: str, version: str | None) -> None:
        """Deploy this version of an application beside all others; None removes it."""
        wish = {
            "route_prefix": f"/{name}",
            "import_path": "model:build",
            "args": {"version": version},
            "runtime_env": {"working_dir": self._package},
        }
        changed = merge.next_state(self._look(), {name: None if version is None else wish})
        self._http.put("/api/serve/applications/", json=changed).raise_for_status()

    def wait_for(self, name: str, status: str | None) -> None:
        """Wait until Serve says so of the application; None: until it is gone."""
        while (self._look()["applications"].get(name) or {}).get("status") != status:
            time.sleep(POLL_SECONDS)

    def _look(self) -> dict[str, Any]:
        return dict(self._http.get("/api/serve/applications/").raise_for_status().json())


@contextlib.contextmanager
def _by_hand(transport: Transport) -> Iterator[_ByHand]:
    package = package_folder(CODE)
    with RayClient(transport) as client:
        upload(client, package)
    headers = transport.request_headers()
    with httpx.Client(base_url=transport.base_url, headers=headers, trust_env=False, timeout=120) as http:
        yield _ByHand(http, package.uri)


def _lost_requests(ref: ClusterRef, quick: bool) -> Report:
    report = Report(
        "serve.lost_requests",
        "failed requests of clients that ask throughout roll-outs, 40 times per second in all",
        quick=quick,
    )
    failures, requests, rate, slowest = 0, 0, [], []
    for number in range(1 if quick else 2):
        for strategy in ("blue_green", "in_place"):
            operator = deploy_operator(ref, f"{strategy}{number}", strategy=strategy, smoke_test=SmokeTest(samples=3))
            base = execute(deploy_operator(ref, f"before{number}{strategy}", strategy=strategy))["url"]
            with Clients(base, rate=40, threads=8) as clients:
                execute(operator)
                time.sleep(1)
            failures, requests = failures + len(clients.failures), requests + clients.requests
            rate.append(clients.requests / clients.seconds)
            slowest.append(clients.slowest_seconds)
    report.number("failed", failures, "requests")
    report.number("sent", requests, "requests")
    report.series("rate", rate, "1/s")
    report.series("slowest_answer", slowest, "s")
    report.aim("failed requests", failures, at_most=0)
    return report
