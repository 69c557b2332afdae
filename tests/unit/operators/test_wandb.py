"""What a sync of offline runs gives its job, and what it refuses before anything starts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_air import WandbSyncOperator
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.runs.plan import BuildInfo
from tests.deferrals import event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
from tests.unit.operators.test_submit import posts

KEY = "wandb-canary-key"


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"conn_type": "wandb", "host": "http://wandb.local", "password": KEY}
    monkeypatch.setenv("AIRFLOW_CONN_SITE", json.dumps(told))


def sync(**fields: Any) -> WandbSyncOperator:
    return WandbSyncOperator(task_id="sync", **{"wandb_conn_id": "site", "offline_dir": "/shared/wandb", **fields})


def started(store: Store, **fields: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        sync(**fields).execute(task_context(store))
    return raised.value


def test_the_job_gets_the_key_out_of_sight(head: FakeRayDashboard, store: Store) -> None:
    operator = sync()
    rendered = {name: getattr(operator, name) for name in operator.template_fields}
    started(store)

    (job,) = head.jobs.values()
    assert job.entrypoint == "python -m air_drivers.trackers.wandb_sync"
    assert "http://wandb.local" in json.dumps(job.runtime_env)
    shown = f"{rendered}{job.entrypoint}{job.runtime_env}{job.metadata}{store.rows}{operator.tracked_parameters()}"
    assert KEY not in shown
    assert "WANDB_API_KEY" not in shown


def test_the_driver_is_told_what_the_author_said(store: Store) -> None:
    request = sync(project="archive", entity="team", clean=True, settle_seconds=60).build_job(
        task_context(store), BuildInfo("run")
    )

    assert request.payload is not None
    where = {"offline_dir": "/shared/wandb", "project": "archive", "entity": "team"}
    assert json.loads(request.payload["config.json"]) == {**where, "clean": True, "settle_seconds": 60}
    assert request.expects_result


def test_a_job_that_has_succeeded_is_collected_without_the_connection(
    head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = started(store)
    (name,) = head.jobs
    write_records(head, name, {"kind": "result", "value": encode(7)}, {"kind": "end", "status": "succeeded"})
    head.set_status(name, "SUCCEEDED")
    monkeypatch.delenv("AIRFLOW_CONN_SITE")

    assert resume(sync(), task_context(store), pause, event_of(pause.trigger)) == 7


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"offline_dir": "wandb"}, "'offline_dir' must be an absolute path on the cluster, not 'wandb'"),
        ({"offline_dir": None}, "'offline_dir' must be an absolute path"),
        ({"project": "a/b"}, "'project' must be a name without slashes"),
        ({"entity": " "}, "'entity' must be a name"),
        ({"clean": "yes"}, "'clean' must be True or False, not 'yes'"),
        ({"settle_seconds": -1}, "'settle_seconds' must be a number of at least 0"),
        ({"wandb_conn_id": "absent"}, "There is no Airflow connection 'absent'"),
    ],
    ids=["relative", "no folder", "slash", "blank", "text", "negative", "no connection"],
)
def test_bad_input_names_the_field_and_starts_nothing(
    head: FakeRayDashboard, store: Store, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        sync(**fields).execute(task_context(store))
    assert not posts(head)
