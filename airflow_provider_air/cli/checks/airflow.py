"""Is this Airflow able to run Ray jobs: versions, the provider's registration, a triggerer."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from airflow.jobs.job import Job, JobState
from airflow.providers_manager import ProvidersManager
from airflow.sdk import conf
from airflow.utils.session import create_session
from packaging.version import Version
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_air.cli.checks import BROKEN, NOTE, OK, Finding
from airflow_provider_air.connections.deployment import deployment_id
from airflow_provider_air.hooks.ray import RayHook

OLDEST_AIRFLOW = Version("3.3")
OLDEST_RAY = Version("2.52")
TRIGGERER = "TriggererJob"


def check_versions() -> Iterator[Finding]:
    """Look at what is installed here."""
    airflow = version("apache-airflow-core")
    if Version(airflow) < OLDEST_AIRFLOW:
        yield Finding("airflow", BROKEN, f"Airflow {airflow} is too old", f"Install Airflow {OLDEST_AIRFLOW} or newer")
    else:
        yield Finding("airflow", OK, f"Airflow {airflow}, airflow-provider-air {version('airflow-provider-air')}")
    python = platform.python_version()
    yield Finding(
        "python", OK, f"Python {python}: for @task.ray, clusters need Python {python.rpartition('.')[0]} as well"
    )
    yield _check_ray()


def _check_ray() -> Finding:
    try:
        ray = version("ray")
    except PackageNotFoundError:
        return Finding(
            "ray",
            NOTE,
            "Ray is not installed here, so LocalCluster cannot be used; other clusters can",
            "For LocalCluster: pip install 'airflow-provider-air[ray]'",
        )
    if Version(ray) < OLDEST_RAY:
        return Finding("ray", BROKEN, f"Ray {ray} is too old", f"Install Ray {OLDEST_RAY} or newer")
    return Finding("ray", OK, f"Ray {ray} for local clusters")


def check_provider() -> Iterator[Finding]:
    """Look whether the connection type and the decorator are ours, and who this deployment is."""
    manager = ProvidersManager()
    hook = manager.hooks.get(RayHook.conn_type)
    owner = hook.hook_class_name if hook else "nobody"
    decorator = getattr(manager.taskflow_decorators.get("ray"), "__module__", "nobody")
    for check, found in (("connection type ray", owner), ("@task.ray", decorator)):
        if found.startswith("airflow_provider_air."):
            yield Finding(check, OK, f"belongs to {found}")
        else:
            yield Finding(
                check,
                BROKEN,
                f"belongs to {found}, which was registered first",
                "Uninstall the other provider (astro-provider-ray uses the same names), then restart Airflow",
            )
    named = conf.get("air", "deployment", fallback="")
    yield Finding(
        "deployment",
        OK if named else NOTE,
        f"this deployment marks its Ray jobs with {deployment_id()!r}" + ("" if named else ", a hash"),
        "" if named else "Set [air] deployment to a name, so that jobs stay yours when Airflow's address changes",
    )


def check_triggerer() -> Iterator[Finding]:
    """Look for a triggerer with a fresh heartbeat in the metadata database."""
    query = select(Job).where(Job.state == JobState.RUNNING, Job.job_type == TRIGGERER)
    try:
        with create_session() as session:
            alive = [str(job.hostname) for job in session.scalars(query) if job.is_alive()]
    except SQLAlchemyError as error:
        yield Finding(
            "triggerer",
            BROKEN,
            f"Airflow's metadata database cannot be read: {str(error).splitlines()[0]}",
            "Run this with the deployment's settings; for a new database: airflow db migrate",
        )
        return
    if alive:
        yield Finding("triggerer", OK, f"{len(alive)} alive, on {', '.join(sorted(set(alive)))}")
    else:
        yield Finding(
            "triggerer",
            BROKEN,
            "none is alive: deferred tasks would wait for ever",
            "Start one: airflow triggerer (or use deferrable=False, which holds a worker slot per job)",
        )
