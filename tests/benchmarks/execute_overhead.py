"""What does a job through the operator cost over the same job by Ray's REST?"""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.rig import worker
from tests.benchmarks.rig.airflow import Airflow, airflow
from tests.benchmarks.rig.heads import real_head
from tests.benchmarks.rig.raw_rest import RawRest
from tests.benchmarks.rig.report import Report, differences, interleaved, ratios

ENTRYPOINT = "true"


def measure(*, quick: bool) -> Iterator[Report]:
    """``execute()`` in process against raw REST; then in Airflow: waiting, within the grace, and deferred."""
    with real_head("execute") as (_, transport), RawRest(transport) as rest:
        rest.run(ENTRYPOINT)  # the first job of a head starts what later ones share
        with worker.connected(transport):
            yield _in_process(rest, 8 if quick else 25, quick=quick)
        with airflow(transport) as stack:
            yield _in_airflow(rest, stack, 3 if quick else 10, quick=quick)


def _in_airflow(rest: RawRest, stack: Airflow, pairs: int, *, quick: bool) -> Report:
    from airflow_provider_air.triggers.deferring import DEFAULT_SETTLE_SECONDS

    report = Report(
        "execute_overhead.in_airflow",
        "seconds of a run of one task with a trivial job in a real Airflow, beside the same job by raw REST: waiting "
        "(deferrable=False), within the grace as shipped (deferrable=True, and the job ends before that), and "
        "deferred at once (deferral_grace_seconds=0)",
        quick=quick,
    )
    stack.run_seconds("bench_waiting")
    values = interleaved(
        pairs,
        raw=lambda: rest.run(ENTRYPOINT),
        waiting=lambda: stack.run_seconds("bench_waiting"),
        within_grace=lambda: stack.run_seconds("bench_within_grace"),
        deferred=lambda: stack.run_seconds("bench_deferred"),
    )
    for name, seconds in values.items():
        report.series(name, seconds, "s")
    for name in ("waiting", "within_grace", "deferred"):
        report.series(f"{name}_over_raw", differences(values[name], values["raw"]), "s")
    report.series("within_grace_over_waiting", differences(values["within_grace"], values["waiting"]), "s")
    report.series("deferred_over_waiting", differences(values["deferred"], values["waiting"]), "s")
    report.note("waiting_over_raw is Airflow itself: scheduling, a worker process, the end of the run")
    report.note(f"a deferred task comes back no sooner than {DEFAULT_SETTLE_SECONDS:g} s after its deferral")
    return report


def _in_process(rest: RawRest, pairs: int, *, quick: bool) -> Report:
    from airflow_provider_air import RaySubmitJobOperator

    operator = RaySubmitJobOperator(
        task_id="job", ray_conn_id=worker.RAY_CONN_ID, entrypoint=ENTRYPOINT, deferrable=False
    )
    report = Report(
        "execute_overhead.in_process",
        f"seconds of execute() of the job {ENTRYPOINT!r} with deferrable=False in this process, against the same job "
        "by raw REST with tight polling, on one local head",
        quick=quick,
    )
    worker.run(operator)
    values = interleaved(pairs, raw=lambda: rest.run(ENTRYPOINT), operator=lambda: worker.run(operator))
    for name, seconds in values.items():
        report.series(name, seconds, "s")
    report.series("added", differences(values["operator"], values["raw"]), "s")
    report.aim("median ratio", report.series("ratio", ratios(values["operator"], values["raw"]), "1"), at_most=1.05)
    return report
