"""What a decorated function gets of Airflow's context."""

from __future__ import annotations

import io
import pickle
import zipfile
from datetime import UTC, datetime
from typing import Any

import lazy_object_proxy  # type: ignore[import-untyped]  # Airflow wraps what it would have to ask for
import pendulum
import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from airflow_provider_air.drivers.frame import stored_results
from airflow_provider_air.drivers.wire.values import encode
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.unit.conftest import Connect

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def moments(
    logical_date: Any, data_interval_start: Any, data_interval_end: Any, prev_start_date_success: Any, ds: Any
) -> None:
    """Want what Airflow knows of the run's time."""


def shipped_call(head: FakeRayDashboard) -> bytes:
    for data in head.packages.values():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if name.endswith("call.pkl"):
                    return archive.read(name)
    raise AssertionError("no call was shipped")


def test_moments_of_the_context_need_no_pendulum_on_the_cluster(head: FakeRayDashboard, connect: Connect) -> None:
    connect(host=head.url, password=head.token)
    with DAG("flights", schedule=None) as dag:
        wants_moments: Any = task.ray(task_id="train")(moments)
        called = wants_moments()
    zoned = pendulum.instance(BEGIN).in_timezone("Europe/Berlin")
    context = {
        **task_context(Store()),
        "dag": dag,
        "logical_date": pendulum.instance(BEGIN),
        "data_interval_start": zoned,
        "data_interval_end": None,
        "prev_start_date_success": lazy_object_proxy.Proxy(lambda: pendulum.instance(BEGIN)),
        "ds": "2026-01-02",
    }

    with pytest.raises(TaskDeferred):
        called.operator.execute(context)

    call = shipped_call(head)
    assert b"pendulum" not in call
    _, _, wanted = pickle.loads(call)
    assert wanted == {
        "logical_date": BEGIN,
        "data_interval_start": BEGIN,
        "data_interval_end": None,
        "prev_start_date_success": BEGIN,
        "ds": "2026-01-02",
    }
    assert {type(value) for value in wanted.values()} == {datetime, str, type(None)}
    assert wanted["data_interval_start"].utcoffset() == zoned.utcoffset()


def test_results_of_mapped_tasks_are_an_argument(
    head: FakeRayDashboard, connect: Connect, supervisor: Supervisor
) -> None:
    """Map, then reduce; as Airflow renders it, wherever it stands."""
    connect(host=head.url, password=head.token)
    supervisor.mapped = Supervisor(mapped={"part": [1, {"blob": encode(b"x")}]}).mapped
    with DAG("flights", schedule=None):
        part: Any = task.ray(task_id="part")(lambda number: number).expand(number=[1, 2])
        reduce: Any = task.ray(task_id="train")(lambda parts, more: (parts, more))
        operator = reduce(part, more={"deep": [part], "since": pendulum.instance(BEGIN)}).operator
    context = task_context(Store())
    operator.render_template_fields(context)

    with pytest.raises(TaskDeferred):
        operator.execute(context)

    call = shipped_call(head)
    assert b"airflow.sdk" not in call
    assert b"pendulum" not in call
    _, args, kwargs = pickle.loads(call)
    parts = [1, {"blob": b"x"}]
    assert stored_results.fetched(args) == (parts,)
    assert stored_results.fetched(kwargs) == {"more": {"deep": [parts], "since": BEGIN}}


@pytest.mark.parametrize(
    "name", ["ti", "macros", "dag_run", "triggering_asset_events", "task_state_store", "inlets", "outlets"]
)
def test_what_is_airflow_itself_stays(head: FakeRayDashboard, connect: Connect, name: str) -> None:
    connect(host=head.url, password=head.token)
    function = eval(f"lambda {name}: {name}")  # a parameter of this name
    with DAG("flights", schedule=None) as dag:
        wanting: Any = task.ray(task_id="train")(function)
        operator = wanting().operator

    with pytest.raises(AirflowFailException, match=f"The context variable '{name}' does not travel"):
        operator.execute({name: object(), **task_context(Store()), "dag": dag})
