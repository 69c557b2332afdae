"""How our errors become Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException

from airflow_provider_air.errors import AirError, ConfigurationError, RemoteFailureError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Map our errors to Airflow's at the one place where they meet: what no retry can help is not retried."""
    try:
        yield
    except ConfigurationError as error:
        raise AirflowFailException(str(error)) from error


@contextmanager
def sensor_errors(*, soft_fail: bool, never_fail: bool) -> Iterator[None]:
    """
    Map our errors to what they mean to a sensor.

    :param soft_fail: skip where it is decided: its time is over, its configuration is wrong, or what it waits for has
        failed; an outage is none of these, so that retries apply
    :param never_fail: skip whatever the error
    """
    try:
        with airflow_errors():
            yield
    except (AirflowFailException, AirflowSensorTimeout, RemoteFailureError) as error:
        if soft_fail or never_fail:
            raise AirflowSkipException(f"Skipped, since {_named(soft_fail)} is set: {error}") from error
        raise
    except AirError as error:
        if never_fail:
            raise AirflowSkipException(f"Skipped, since {_named(soft_fail)} is set: {error}") from error
        raise


def _named(soft_fail: bool) -> str:
    return "soft_fail" if soft_fail else "never_fail"
