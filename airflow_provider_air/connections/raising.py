"""How our errors become Airflow's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_air.errors import ConfigurationError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Map our errors to Airflow's at the one place where they meet: what no retry can help is not retried."""
    try:
        yield
    except ConfigurationError as error:
        raise AirflowFailException(str(error)) from error
