"""One real Airflow and one real Ray head, shared by all end-to-end tests of a session."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path

import pytest
from airflow_stack import AirflowStack

from tests.clusters import local_cluster
from tests.e2e.ray_lab import RayLab, Scenario

DAGS = Path(__file__).parent / "dags"
# A lost worker or triggerer is noticed after minutes by default; here a test waits for it.
IMPATIENT = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
    # Of a whole machine that is gone; a busy one may be silent for half a minute.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}
# A scheduler that shares two cores with all of this hears of a worker's exit late, see triggers/deferring.py.
PATIENT = {"AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS": "30"}
# DAGs and triggers of the tests are imported by Airflow's processes as the tests import them.
ENVIRONMENT = IMPATIENT | PATIENT | {"PYTHONPATH": str(Path(__file__).parents[2])}
AT_ONCE = 8


@pytest.fixture(scope="session")
def migrated_db(pytestconfig: pytest.Config) -> Path:
    """A place for the migrated database, kept between runs for the installed Airflow alone."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("airflow-db") / f"{version('apache-airflow-core')}.db"


@pytest.fixture(scope="session")
def local_home() -> Iterator[Path]:
    """Where local Ray clusters live: pytest's own folders have paths that are too long for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="air-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIR_LOCAL_HOME", str(folder))
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_stack(migrated_db: Path, local_home: Path) -> Iterator[AirflowStack]:
    """A running Airflow whose DAGs are those of ``tests/e2e/dags``."""
    env = ENVIRONMENT | {"AIR_LOCAL_HOME": str(local_home)}
    with AirflowStack(DAGS, env=env, template_db=migrated_db, parallelism=AT_ONCE) as stack:
        yield stack


@pytest.fixture(scope="session")
def ray_lab(
    airflow_stack: AirflowStack, local_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RayLab]:
    """Airflow and a supervised Ray head, for runs of ``dags/ray_once.py``."""
    with local_cluster("lab", ttl_seconds=3600.0) as (cluster, transport):
        yield RayLab(airflow_stack.api, cluster, transport, tmp_path_factory.mktemp("cases"))


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, ray_lab: RayLab) -> Iterator[dict[Scenario, Future[float]]]:
    """All selected scenarios of all files, at once: each has its own run, and all that it changes."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    selected = [call.params["scenario"] for call in calls if call is not None and "scenario" in call.params]
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield {scenario: pool.submit(_timed, scenario, ray_lab) for scenario in selected}
    finally:
        pool.shutdown(cancel_futures=True)


def _timed(scenario: Scenario, lab: RayLab) -> float:
    start = time.monotonic()
    scenario(lab)
    return time.monotonic() - start


@pytest.fixture(scope="session")
def others_are_over(running: dict[Scenario, Future[float]]) -> None:
    """No scenario uses the lab any more: for tests that kill what all share."""
    wait(running.values())


@pytest.fixture
def lonely_lab(ray_lab: RayLab, others_are_over: None) -> RayLab:
    """The lab once no scenario uses it any more."""
    return ray_lab
