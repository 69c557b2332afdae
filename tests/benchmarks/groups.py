"""What do a decorated function, a mapped group and live progress cost?"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tests.benchmarks.rig import worker
from tests.benchmarks.rig.airflow import Airflow, airflow, epoch
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report, differences, interleaved, percentile

JOBS = 30
PYTHON_NO_OP = "python -c pass"
PROGRESS_SECONDS = 3.0
XCOM_WRITE_SECONDS = 2.0
# Two stamps of one clock, a moment after the write was allowed.
CLOCK_SECONDS = 0.05


def measure(*, quick: bool) -> Iterator[Report]:
    """A decorated no-op, 30 mapped jobs, and the time from a progress record to Airflow's REST API."""
    with real_head("groups") as (_, transport), RawRest(transport) as rest:
        rest.run("true")
        with worker.connected(transport):
            yield _decorated(5 if quick else 20, quick=quick)
        with airflow(transport) as stack:
            yield _progress(stack, 30 if quick else 120, quick=quick)
            yield _mapped(stack, rest, 1 if quick else 3, quick=quick)


def _decorated(pairs: int, *, quick: bool) -> Report:
    from airflow.sdk import DAG, task

    from airflow_provider_air import RaySubmitJobOperator

    with DAG("bench", schedule=None):

        @task.ray(ray_conn_id=worker.RAY_CONN_ID, deferrable=False)
        def no_op() -> None:
            """Do nothing."""

        decorated = no_op().operator  # type: ignore[attr-defined]
        submit = RaySubmitJobOperator(
            task_id="submit", ray_conn_id=worker.RAY_CONN_ID, deferrable=False, entrypoint=PYTHON_NO_OP
        )
    report = Report(
        "groups.decorated_no_op",
        f"seconds of execute() of a @task.ray that does nothing over those of the job {PYTHON_NO_OP!r} by the submit "
        "operator, in this process, on one local head",
        quick=quick,
    )
    worker.run(submit)
    worker.run(decorated)
    values = interleaved(pairs, submit=lambda: worker.run(submit), decorated=lambda: worker.run(decorated))
    for name, seconds in values.items():
        report.series(name, seconds, "s")
    report.series("added", differences(values["decorated"], values["submit"]), "s")
    return report


def _mapped(stack: Airflow, rest: RawRest, pairs: int, *, quick: bool) -> Report:
    report = Report(
        "groups.mapped_jobs",
        f"{JOBS} mapped trivial jobs in a group with a cluster of its own, from the cluster's readiness to the last "
        f"task's end, over the same {JOBS} jobs by raw REST; added seconds are per job",
        quick=quick,
    )
    setups: list[float] = []
    values = interleaved(pairs, raw=lambda: _raw_jobs(rest), group=lambda: _group_jobs(stack, setups))
    for name, seconds in values.items():
        report.series(name, seconds, "s")
    report.series("cluster_setup", setups, "s")
    added = [difference / JOBS for difference in differences(values["group"], values["raw"])]
    report.aim("median added seconds per job", report.series("added_per_job", added, "s"), at_most=2)
    report.note("both sides hand in all jobs at once; Airflow runs four of its tasks at a time")
    return report


def _raw_jobs(rest: RawRest) -> float:
    began = time.perf_counter()
    rest.wait([rest.submit(f"echo {number}") for number in range(JOBS)])
    return time.perf_counter() - began


def _group_jobs(stack: Airflow, setups: list[float]) -> float:
    instances = stack.ended("bench_group", stack.start("bench_group"))
    create = next(ti for ti in instances if ti["task_id"] == "ray.create_cluster")
    ends = [epoch(ti["end_date"]) for ti in instances if ti["task_id"] == "ray.job"]
    if len(ends) != JOBS:
        raise RuntimeError(f"{len(ends)} of {JOBS} jobs have ended")
    setups.append(epoch(create["end_date"]) - epoch(create["start_date"]))
    return max(ends) - epoch(create["end_date"])


def _progress(stack: Airflow, records: int, *, quick: bool) -> Report:
    report = Report(
        "groups.progress",
        "seconds from a progress record of a deferred @task.ray (or its deferral, for those before it) to Airflow's "
        "REST API giving it or a later one, and "
        "seconds between writes of the progress XCom; a record per second, asked for every 50 ms",
        quick=quick,
    )
    seen, stamps, deferred_at = _seen_progress(stack, records)
    firsts = [(stamp, next((v for v in seen if v["done"] >= done), None)) for done, stamp in enumerate(stamps)]
    latencies = [value["seen_at"] - max(stamp, deferred_at) for stamp, value in firsts if value is not None]
    writes = sorted({datetime.fromisoformat(value["updated_at"]).timestamp() for value in seen})
    pauses = [later - earlier for earlier, later in itertools.pairwise(writes)]
    report.series("record_to_rest", latencies, "s")
    report.series("between_writes", pauses, "s")
    report.aim("seconds from record to REST, p95", percentile(latencies, 0.95), at_most=PROGRESS_SECONDS)
    report.aim("seconds between XCom writes, at least", min(pauses), at_least=XCOM_WRITE_SECONDS - CLOCK_SECONDS)
    return report


def _seen_progress(stack: Airflow, records: int) -> tuple[list[dict[str, Any]], list[float], float]:
    """Run the DAG; give each value of the XCom with a new record, when each was made, and when it was deferred."""
    run_id = stack.start("bench_progress", records=records)
    seen: list[dict[str, Any]] = []
    deferred_at = float("inf")
    while stack.api.run_state("bench_progress", run_id) in ("queued", "running"):
        value = stack.api.xcom("bench_progress", run_id, "progress", "progress")
        state = stack.api.task_instance("bench_progress", run_id, "progress")["state"]
        if state == "deferred":
            deferred_at = min(deferred_at, time.time())
        if value and "done" in value and state == "deferred" and (not seen or value["done"] > seen[-1]["done"]):
            seen.append({**value, "seen_at": time.time()})
        time.sleep(0.05)
    stack.ended("bench_progress", run_id)
    stamps: list[float] = stack.api.xcom("bench_progress", run_id, "progress")
    if len(seen) < records / 6:
        raise RuntimeError(f"only {len(seen)} of {records} records were seen (load {os.getloadavg()})")
    return seen, stamps, deferred_at
