from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest

from airflow_provider_air.clusters.local.home import Lease
from airflow_provider_air.clusters.local.supervisor import expiry, too_many_deaths
from airflow_provider_air.waiting import wait_until


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


# Stands for a supervisor whose head fails at once: it says whose child it is by then.
HASTY = """
import os, sys
from airflow_provider_air.clusters.local import supervisor

class Hasty:
    def __init__(self, home):
        self.folder = home.folder

    def run(self, started):
        child = os.getppid()
        started()
        (self.folder / "parents.draft").write_text(f"{child} {os.getppid()}")
        (self.folder / "parents.draft").rename(self.folder / "parents")
        return 0

supervisor.Supervisor = Hasty
sys.exit(supervisor.main(sys.argv[1]))
"""


def test_the_starters_child_is_gone_before_anything_is_ended(tmp_path: Path) -> None:
    """It bears the cluster's mark, and was killed with a head that failed at once: the starter saw a failed start."""
    subprocess.run([sys.executable, "-c", HASTY, str(tmp_path)], check=True, timeout=120)
    told = tmp_path / "parents"
    wait_until(lambda: told.exists() or None, what="The supervisor's word", timeout_seconds=120)
    child, parent = told.read_text().split()
    assert child != parent
