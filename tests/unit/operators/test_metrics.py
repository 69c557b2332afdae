"""Metrics of any number and name, through operators: shown to people in part, and to trackers whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_air import MlflowTracker
from airflow_provider_air.attachments.mlflow.names import name_of
from airflow_provider_air.drivers.wire.metrics import metrics_of
from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.attachment import SERVERS, FakeTracker, FakeTrackerSpec
from tests.fakes.mlflow import FakeMlflow
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.kinds import parameters
from tests.kinds.metrics import NAMES, NUMBERS
from tests.unit.operators.test_submit import on_job
from tests.unit.operators.test_values import END, operator

__all__ = ["on_job"]

FLOOD = 30_000
REPORTS = [reported for reported, _ in parameters(NUMBERS)[0]]
ODD = [original for original, _ in parameters(NAMES)[0]]


@pytest.fixture
def tracker() -> Iterator[FakeTracker]:
    SERVERS["here"] = FakeTracker()
    yield SERVERS["here"]
    SERVERS.clear()


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMlflow]:
    with FakeMlflow() as server:
        monkeypatch.setenv("AIRFLOW_CONN_MLFLOW_DEFAULT", f'{{"conn_type": "mlflow", "host": "{server.url}"}}')
        yield server


def test_a_flood_of_records_is_a_handful_of_lines_and_whole_in_the_tracker(
    head: FakeRayDashboard,
    store: Store,
    on_job: Any,
    tracker: FakeTracker,
    capsys: pytest.CaptureFixture[str],
    supervisor: Supervisor,
) -> None:
    def end(name: str) -> None:
        flood = [{"kind": "metric", "values": {"loss": number / FLOOD}, "step": number} for number in range(FLOOD)]
        write_records(head, name, *flood, {"kind": "result", "value": 7}, END)
        head.set_status(name, "SUCCEEDED")

    on_job(end)

    assert operator(tracker=FakeTrackerSpec("here"), deferrable=False).execute(task_context(store)) == 7

    lines = [line for line in capsys.readouterr().out.splitlines() if "[metric]" in line]
    assert len(lines) <= 5
    assert f"step {FLOOD - 1}" in lines[-1]
    assert "are not shown" in lines[-1]
    [run] = tracker.runs.values()
    told = [record for record in run.records.values() if record["kind"] == "metric"]
    assert [record["step"] for record in told] == list(range(FLOOD))
    assert supervisor.xcoms["progress"]["values"] == {"loss": (FLOOD - 1) / FLOOD}


def test_a_job_with_metrics_and_parameters_of_any_name_ends_well(
    head: FakeRayDashboard, store: Store, mlflow: FakeMlflow
) -> None:
    context = task_context(store)
    task = operator(tracker=MlflowTracker(), metadata={"team@x": "y" * 10_000})
    pause = deferred(task, context)
    name = next(iter(head.jobs))
    reports = [{"kind": "metric", "values": metrics_of(reported), "step": 1} for reported in REPORTS]
    odd = {"kind": "metric", "values": dict.fromkeys(ODD, math.nan), "step": 2}
    write_records(head, name, *reports, odd, {"kind": "result", "value": 7}, END)
    head.set_status(name, "SUCCEEDED")

    assert resume(task, context, pause, event_of(pause.trigger)) == 7

    [run] = mlflow.runs.values()
    assert {(name_of(name), 2, "nan") for name in ODD} <= run["metrics"]
    [kept] = store.get(LEDGER_KEY)["attempts"][0]["attachments"]
    assert (kept["told"], kept["untold"]) == ("SUCCEEDED", None)
