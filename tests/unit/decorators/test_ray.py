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
from airflow.sdk.exceptions import TaskDeferred

from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context
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
