"""What does a cluster on Kubernetes cost: waiting for it, starting it, and a job on one of its own?"""

from __future__ import annotations

import asyncio
import base64
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig import worker
from tests.benchmarks.rig.fresh import fresh
from tests.benchmarks.rig.kube import CONN_ID, connection_to, counted, waiting_clusters
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report, alternated, percentile, ratios
from tests.kubernetes import manifests
from tests.kubernetes.bench import Bench, bind
from tests.kubernetes.node.node import Node, running

FEW, MANY = 100, 1000
# Longer than a head takes to say that it is not ready, so that all look around meanwhile, too.
SETTLE_SECONDS = 15.0
CHANGES_PER_SECOND = 12.0
LAST_SECONDS = 900.0
POLL_SECONDS = 0.1
HELLO = "echo hello from a pod"
DASHBOARD = "{}-head-svc:dashboard"


def measure(*, quick: bool) -> Iterator[Report]:
    """100 and 1,000 clusters that are waited for, starts, and a trivial job, on the node of ``tests/kubernetes``."""
    with running() as kube:
        yield _waiting(kube, 60.0 if quick else 180.0, quick=quick)
        yield _watching(kube, 200 if quick else MANY, quick=quick)
        yield _starts(kube, 1 if quick else 5, quick=quick)
        yield _jobs(kube, 1 if quick else 5, quick=quick)


def _waiting(kube: Node, seconds: float, *, quick: bool) -> Report:
    report = Report(
        "kuberay.waiting",
        f"what one triggerer sends to a real kube-apiserver while {FEW} task instances wait for RayClusters that do "
        "not get ready, in one namespace",
        quick=quick,
    )
    seen = _waited(kube, FEW, seconds)
    a_minute = {what: count * 60 / seconds for what, count in seen["requests"].items()}
    for what, rate in a_minute.items():
        report.number(what, rate, "requests/min")
    report.aim("requests a minute in all", sum(a_minute.values()), at_most=10)
    report.number("cpu", seen["idle_cpu"], "of a core")
    report.note(f"in {seconds:g} s, after all had joined; that took {dict(seen['joined_by'])}")
    return report


def _watching(kube: Node, count: int, *, quick: bool) -> Report:
    report = Report(
        "kuberay.watching",
        f"one process with the triggers of {count} task instances that wait for RayClusters in one namespace: at rest, "
        f"and while {CHANGES_PER_SECOND:g} a second get ready; seconds from the write of that status to the event",
        quick=quick,
    )
    seen = _waited(kube, count, 60.0)
    report.number("requests_at_rest", sum(seen["requests"].values()), "requests/min")
    report.number("watches", seen["joined_by"].get("watch rayclusters", 0), "requests")
    report.aim("share of a core at rest", report.number("cpu_at_rest", seen["idle_cpu"], "of a core"), at_most=0.15)
    report.number("cpu_while_changing", seen["busy_cpu"], "of a core")
    report.series("ready_to_event", seen["latencies"], "s")
    report.number("ready_to_event.p95", percentile(seen["latencies"], 0.95), "s")
    report.aim("seconds from ready to event, p95", percentile(seen["latencies"], 0.95), at_most=1.0)
    return report


def _waited(kube: Node, count: int, seconds: float) -> dict[str, Any]:
    """Wait for so many clusters in a process of its own; then make them ready one by one."""
    with (
        waiting_clusters(kube, count) as clusters,
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(1) as one,
    ):
        rested = Path(folder, "rested")
        told: dict[str, Any] = {
            "connection": connection_to(kube, clusters.namespace),
            "ref": clusters.refs[0].to_json(),
            "names": " ".join(ref.name for ref in clusters.refs),
            "seconds": seconds,
            "rested": str(rested),
        }
        waiting = one.submit(fresh, __name__, wait_in_process.__name__, timeout_seconds=LAST_SECONDS, **told)
        while not rested.exists() and not waiting.done():
            time.sleep(0.1)
        written = []
        for ref in clusters.refs:
            if waiting.done():
                break
            began = time.time()
            clusters.make_ready(ref)
            written.append(began)
            time.sleep(max(0.0, began + 1 / CHANGES_PER_SECOND - time.time()))
        seen: dict[str, Any] = waiting.result()
    return {**seen, "latencies": [event - began for event, began in zip(seen["events"], written, strict=True)]}


def wait_in_process(
    *, connection: dict[str, Any], ref: dict[str, Any], names: str, seconds: float, rested: str
) -> dict[str, Any]:
    """
    Wait for all of them until each is ready; in the fresh process.

    :param ref, names: one of them, and what all are called
    :param seconds: how long it is measured at rest; then ``rested`` is made
    :return: ``joined_by``, ``requests`` (at rest; by what is asked), ``idle_cpu``, ``busy_cpu``, ``events``
    """
    from airflow_provider_air.contracts.clusters import ClusterRef
    from tests.benchmarks.rig.triggers import cluster_triggers

    with worker.with_connection(CONN_ID, connection), counted() as sent:
        triggers = cluster_triggers([ClusterRef.from_json({**ref, "name": name}) for name in names.split()])
        return asyncio.run(_wait(triggers, sent, seconds, Path(rested)))


async def _wait(triggers: list[Any], sent: Any, seconds: float, rested: Path) -> dict[str, Any]:
    from tests.benchmarks.rig.triggers import event_of

    async def ready_at(trigger: Any) -> float:
        event = await event_of(trigger)
        if event.payload["state"] != "ready":
            raise RuntimeError(f"not ready: {event.payload}")
        return time.time()

    tasks = [asyncio.create_task(ready_at(trigger)) for trigger in triggers]
    await asyncio.sleep(SETTLE_SECONDS + len(triggers) / 50)
    joined_by = dict(sent)
    idle_cpu = await _cpu_of(asyncio.sleep(seconds))
    requests = {what: count - joined_by.get(what, 0) for what, count in sent.items()}
    rested.touch()
    events: list[float] = []

    async def all_ready() -> None:
        events.extend(await asyncio.gather(*tasks))

    busy_cpu = await _cpu_of(all_ready())
    return {
        "joined_by": joined_by,
        "requests": {what: count for what, count in requests.items() if count},
        "idle_cpu": idle_cpu,
        "busy_cpu": busy_cpu,
        "events": events,
    }


async def _cpu_of(work: Any) -> float:
    """Give the share of a core that this process takes meanwhile."""
    cpu, wall = time.process_time(), time.monotonic()
    await work
    return (time.process_time() - cpu) / (time.monotonic() - wall)


def _starts(kube: Node, times: int, *, quick: bool) -> Report:
    report = Report(
        "kuberay.starts",
        "seconds from asking for a named cluster until its Ray takes work: none there yet, and one that lives",
        quick=quick,
    )
    cold: list[float] = []
    warm: list[float] = []
    with kube.namespace() as namespace:
        bind(kube, namespace)
        bench = Bench(kube, namespace)
        for _ in range(times):
            for into in (cold, warm):
                began = time.perf_counter()
                ref = bench.ready()
                into.append(time.perf_counter() - began)
            wait_until_gone(bench.backend(), ref, timeout_seconds=180)
    report.series("cold", cold, "s")
    report.series("warm", warm, "s")
    return report


def _jobs(kube: Node, pairs: int, *, quick: bool) -> Report:
    from airflow.sdk import DAG

    from airflow_provider_air import RaySubmitJobOperator

    report = Report(
        "kuberay.job",
        f"seconds of execute() of the job {HELLO!r} on a cluster of its own, which ends with the wish that it be "
        "deleted, over those of a RayCluster and Ray's REST API by hand, likewise",
        quick=quick,
    )
    with kube.namespace() as namespace:
        bind(kube, namespace)
        bench = Bench(kube, namespace)
        with DAG("bench", schedule=None):
            operator = RaySubmitJobOperator(task_id="job", cluster=bench.spec(), entrypoint=HELLO, deferrable=False)

        def ours() -> float:
            seconds = worker.run(operator)
            bench.assert_nothing_is_left()
            return seconds

        with worker.with_connection(CONN_ID, connection_to(kube, namespace)):
            ours()  # what the first one imports
            values = alternated(pairs, ours=ours, plain=lambda: _plain_job(kube, namespace))
    for name, seconds in values.items():
        report.series(name, seconds, "s")
    over = ratios(values["ours"], values["plain"])
    report.aim("median of ours over plain REST", report.series("ratio", over, "times"), at_most=1.1)
    return report


def _plain_job(kube: Node, namespace: str) -> float:
    """Do the same by hand, as quickly as one can."""
    admin, name = kube.admin, f"plain-{uuid.uuid4().hex[:8]}"
    began = time.perf_counter()
    admin.apply(manifests.ray_cluster(name, namespace))
    admin.wait(
        "rayclusters", name, namespace, of="ray.io/v1", seconds=180,
        until=lambda seen: seen.get("status", {}).get("state") == "ready",
    )  # fmt: skip
    token = base64.b64decode(admin.get("secrets", name, namespace)["data"]["auth_token"]).decode()
    path = admin.path("services", DASHBOARD.format(name), namespace, sub="proxy")
    headers = {"Authorization": f"Bearer {admin.token}", "X-Ray-Authorization": f"Bearer {token}"}
    transport = Transport(kube.url + path, headers=headers, verify=str(kube.credentials.authority))
    with RawRest(transport, poll_seconds=POLL_SECONDS) as rest:
        (job,) = rest.wait([rest.submit_when_ready(HELLO)])
        if "hello" not in rest.log(job["submission_id"]):
            raise RuntimeError("the job has no log")
    admin.delete("rayclusters", name, namespace, "ray.io/v1")
    seconds = time.perf_counter() - began
    admin.wait_gone("rayclusters", name, namespace, of="ray.io/v1")
    while admin.items("pods", namespace):
        time.sleep(POLL_SECONDS)
    return seconds
