"""The retry policy acts on who is to blame."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from airflow_provider_air import errors
from airflow_provider_air.errors import JobFailedError
from airflow_provider_air.operators.retry import ray_retry_policy


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("ClusterUnreachableError", RetryAction.RETRY),
        ("ClusterNotReadyError", RetryAction.RETRY),
        ("JobInfrastructureError", RetryAction.RETRY),
        ("JobLostError", RetryAction.RETRY),
        ("ResultLostError", RetryAction.RETRY),
        ("ClusterFailedError", RetryAction.RETRY),
        ("JobFailedError", RetryAction.FAIL),
        ("JobStoppedError", RetryAction.DEFAULT),
        ("DeadlineExceededError", RetryAction.DEFAULT),
        ("ProtocolError", RetryAction.DEFAULT),
    ],
)
def test_the_ready_policy_tells_rays_trouble_from_the_users(name: str, action: RetryAction) -> None:
    policy = ray_retry_policy(infrastructure_delay_seconds=7, retry_user_errors=False)

    decision = policy.evaluate(getattr(errors, name)("x"), 1, 3)

    assert decision.action is action
    assert decision.retry_delay == (timedelta(seconds=7) if action is RetryAction.RETRY else None)


def test_the_users_failures_follow_the_tasks_own_settings_by_default() -> None:
    assert ray_retry_policy().evaluate(JobFailedError("x"), 1, 3).action is RetryAction.DEFAULT


def test_the_policy_survives_serialization() -> None:
    data = ray_retry_policy(retry_user_errors=False).serialize()

    again = type(ray_retry_policy()).deserialize(data)

    assert again.evaluate(JobFailedError("x"), 1, 3).action is RetryAction.FAIL
