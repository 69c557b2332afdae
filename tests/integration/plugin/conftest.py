"""One api-server's application with a database, shared by the tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow_site import AirflowSite
from tests.e2e.conftest import migrated_db

__all__ = ["migrated_db"]


@pytest.fixture(scope="session")
def site(migrated_db: Path) -> Iterator[AirflowSite]:
    """Airflow's application with the pages, and its database."""
    made = AirflowSite(migrated_db)
    yield made
    made.close()
