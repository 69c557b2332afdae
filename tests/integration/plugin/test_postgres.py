"""The pages read a database that many write to at once, as most deployments have one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow_site import DATABASE
from tests.postgres_server import USER, initdb, postgres_server
from tests.requirements import needs


@pytest.mark.full
@pytest.mark.timeout(900)
@needs("postgres", initdb() is not None, "there is no Postgres here")
def test_the_routes_do_the_same_over_postgres() -> None:
    with postgres_server() as port:
        env = {name: value for name, value in os.environ.items() if name != "AIRFLOW_HOME"}
        # As a rule asyncpg is the second one's; psycopg, which is here, does both.
        for name in (DATABASE, f"{DATABASE}_ASYNC"):
            env[name] = f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "not full"]
        done = subprocess.run([*command, str(Path(__file__).parent)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout
