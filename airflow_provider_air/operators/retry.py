"""A ready-made ``retry_policy`` that tells Ray's trouble from the user's."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

_ERRORS = "airflow_provider_air.errors"


def ray_retry_policy(
    *, infrastructure_delay_seconds: float = 30.0, retry_user_errors: bool = True
) -> ExceptionRetryPolicy:
    """
    Retry infrastructure failures soon, and the user's own failures by the task's settings or not at all.

    The number of retries stays the task's ``retries``. Evaluated on the worker.

    :param retry_user_errors: False fails the task at once where the user's code raised
    """
    soon = timedelta(seconds=infrastructure_delay_seconds)
    infrastructure: list[str | type[BaseException]] = [
        f"{_ERRORS}.{name}"
        for name in (
            "UnavailableError",
            "JobInfrastructureError",
            "JobLostError",
            "ResultLostError",
            "ClusterFailedError",
        )
    ]
    user = RetryAction.DEFAULT if retry_user_errors else RetryAction.FAIL
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(exception=infrastructure, action=RetryAction.RETRY, retry_delay=soon, reason="Ray's trouble"),
            RetryRule(exception=f"{_ERRORS}.JobFailedError", action=user, reason="the job's own failure"),
        ]
    )
