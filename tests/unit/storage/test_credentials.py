"""For how long the credentials of a job have to be good."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.storage.credentials import MARGIN, check_credentials, check_lifetime

HOUR = timedelta(hours=1)


def in_an_hour() -> float:
    return time.time() + HOUR.total_seconds()


def test_a_job_that_ends_before_its_credentials_is_fine() -> None:
    check_lifetime("store", in_an_hour(), HOUR - MARGIN - timedelta(seconds=5), "longer")


@pytest.mark.parametrize("lifetime", [None, HOUR, HOUR - MARGIN + timedelta(seconds=5)])
def test_one_that_may_outlive_them_is_told_what_to_do(lifetime: timedelta | None) -> None:
    with pytest.raises(ConfigurationError, match=r"end in 60 minutes.*connection store.*make them last"):
        check_lifetime("store", in_an_hour(), lifetime, "make them last")


@pytest.mark.parametrize("value", ["static", "", None, 1])
def test_credentials_are_of_two_kinds(value: object) -> None:
    with pytest.raises(ConfigurationError, match="must be ambient or session"):
        check_credentials(value, "It")
