"""DAGs, runs and tasks may be named in any script: once, deferred, watched, collected."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from airflow.sdk.execution_time import task_runner

from airflow_provider_air.operators.submit import RaySubmitJobOperator
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.in_process_api import InProcessSupervisor
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcessSupervisor]:
    supervisor = InProcessSupervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    yield supervisor
    supervisor.close()


@pytest.mark.parametrize("name", ["flights", "h3.данные", "café", "航班_延误"])
def test_a_deferred_task_of_any_name_is_watched(
    name: str, head: FakeRayDashboard, store: Store, in_process: InProcessSupervisor
) -> None:
    task, task_id, run_id = (
        RaySubmitJobOperator(task_id=name, entrypoint="python x.py", records=True),
        name,
        "manual__1",
    )
    context = task_context(store, dag_id=name, task_id=task_id, run_id=run_id, map_index=2)
    pause = deferred(task, context)
    job = next(iter(head.jobs))
    write_records(
        head,
        job,
        {"kind": "progress", "message": "half", "done": 1, "total": 2},
        {"kind": "result", "value": name},
        {"kind": "end", "status": "succeeded"},
    )
    head.set_status(job, "SUCCEEDED")

    assert resume(task, context, pause, event_of(pause.trigger)) == name
    assert (head.jobs[job].metadata or {})["air_task"] == f"{name}/{run_id}/{name}[2]"
    progress = in_process.xcoms[name, run_id, task_id, 2, "progress"]
    assert (progress["message"], progress["next_record"], progress["clean"]) == ("half", 3, True)
    assert json.dumps(progress)
