"""What a driver is told of its W&B run."""

from __future__ import annotations

import pytest

from airflow_provider_air import WandbTracker
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from tests.fakes.attachment import FakeConnections

KEY = TaskKey("here", "flights", "manual__1", "train")


@pytest.mark.parametrize("workload", ["train", "tune"])
@pytest.mark.parametrize("required", [True, False])
def test_the_driver_knows_whether_the_work_goes_on_without_it(workload: str, required: bool) -> None:
    tracker = WandbTracker(mode="offline", offline_dir="/shared", required=required)
    attempt = AttemptInfo(KEY, "air-1", "run", 1, 1, workload, "c")

    environment = tracker.open(FakeConnections()).before_submit(attempt).env_vars

    assert ("RAY_AIRFLOW_WANDB_OPTIONAL" in environment) is not required
