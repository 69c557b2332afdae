"""Which credentials a job gets for a bucket, and for how long they have to be good."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow_provider_air.errors import ConfigurationError

# A job that ends at its deadline still writes its last checkpoint and records.
MARGIN = timedelta(minutes=5)


def check_credentials(value: Any, what: str) -> None:
    """:raises ConfigurationError: this is no way to get credentials."""
    if value not in ("ambient", "session"):
        raise ConfigurationError(f"{what}'s 'credentials' must be ambient or session, not {value!r}")


def check_lifetime(conn_id: str, expires_at: float, lifetime: timedelta | None, longer: str) -> None:
    """
    See that a job ends before its credentials do.

    :param expires_at: when they end, in epoch seconds
    :param lifetime: how long the job may run, or None
    :param longer: how such credentials are made to last longer, for the message
    :raises ConfigurationError: the job may outlive them
    """
    left = timedelta(seconds=expires_at - time.time())
    if lifetime is None or lifetime + MARGIN > left:
        allowed = "no execution_timeout" if lifetime is None else f"an execution_timeout of {lifetime}"
        raise ConfigurationError(
            f"The credentials that the job would get end in {left.total_seconds() / 60:.0f} minutes, but the task has "
            f"{allowed}",
            where=f"connection {conn_id}",
            hint=f"Set execution_timeout at least {MARGIN} below that, {longer}, or use credentials='ambient'",
        )
