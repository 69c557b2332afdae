from __future__ import annotations

import dataclasses
from collections import deque

import pytest

from airflow_provider_air.clusters.local.home import Lease
from airflow_provider_air.clusters.local.supervisor import expiry, too_many_deaths


def lease(*, ttl: float | None = None, idle: float | None = None, renewed_at: float = 0.0) -> Lease:
    return Lease(ttl_seconds=ttl, idle_timeout_seconds=idle, startup_timeout_seconds=180.0, renewed_at=renewed_at)


def test_a_standing_cluster_never_expires() -> None:
    assert expiry(lease(), created_at=0, active_at=0, now=10**9) is None


def test_the_ttl_counts_from_the_creation_used_or_not() -> None:
    assert expiry(lease(ttl=100), created_at=0, active_at=99, now=99) is None
    assert "ttl_seconds=100" in str(expiry(lease(ttl=100, renewed_at=99), created_at=0, active_at=99, now=100))


def test_the_idle_time_counts_from_the_last_activity_or_adoption() -> None:
    assert expiry(lease(idle=10), created_at=0, active_at=95, now=104) is None
    assert expiry(lease(idle=10, renewed_at=95), created_at=0, active_at=0, now=104) is None
    assert "idle_timeout_seconds=10" in str(expiry(lease(idle=10), created_at=0, active_at=94, now=104))


def test_what_somebody_counts_on_outlives_its_ttl_but_not_its_idle_time() -> None:
    kept = Lease(ttl_seconds=1, idle_timeout_seconds=100, startup_timeout_seconds=1, renewed_at=0, kept_until=50)
    assert expiry(kept, created_at=0, active_at=0, now=49) is None
    assert "ttl_seconds" in str(expiry(kept, created_at=0, active_at=0, now=50))
    idle = dataclasses.replace(kept, ttl_seconds=None, kept_until=500)
    assert "idle_timeout_seconds" in str(expiry(idle, created_at=0, active_at=0, now=100))


def test_a_lease_never_shortens_a_life() -> None:
    short = Lease(ttl_seconds=100, idle_timeout_seconds=None, startup_timeout_seconds=1, renewed_at=0, kept_until=50)
    assert expiry(short, created_at=0, active_at=0, now=99) is None


@pytest.mark.parametrize(
    ("deaths", "hopeless"), [([], False), ([99, 100], False), ([1, 99, 100], False), ([50, 99, 100], True)]
)
def test_three_deaths_within_a_minute_are_too_many(deaths: list[float], hopeless: bool) -> None:
    assert too_many_deaths(deque(deaths), now=100) is hopeless
