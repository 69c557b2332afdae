"""What MLflow is told of an attempt's end."""

from __future__ import annotations

import pytest

from airflow_provider_air.contracts.attachments import Outcome
from tests.unit.attachments.mlflow.test_slow_server import INFO, SlowMlflow, mlflow, tracking

__all__ = ["mlflow"]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("SUCCEEDED", "FINISHED"),
        ("SKIPPED", "FINISHED"),
        ("FAILED", "FAILED"),
        ("LOST", "FAILED"),
        ("STOPPED", "KILLED"),
        ("DEADLINE", "KILLED"),
        ("ABANDONED", "KILLED"),
    ],
)
def test_a_run_ends_as_its_attempt_did(outcome: str, status: str, mlflow: SlowMlflow) -> None:
    tracking(mlflow).on_end(INFO, {"run_id": "r", "experiment_id": "7"}, Outcome(outcome))

    assert [update["status"] for update in mlflow.updates] == [status]
