"""What importing the package costs Airflow's processes: nothing heavy, measured in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.source import REPOSITORY, modules

HEAVY = {
    "aiohttp",
    "boto3",
    "botocore",
    "cloudpickle",
    "feast",
    "google.auth",
    "google.cloud",
    "kubernetes",
    "kubernetes_asyncio",
    "lightgbm",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pyspark",
    "ray",
    "sklearn",
    "wandb",
}
PROBE = """
import json, sys
{prepare}
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
# Measured: 0.07 to 0.10 (Airflow 3.3.2, Python 3.11).
MOST_OF_AIRFLOW_SDK = 0.15
EVERY_PUBLIC_NAME = """
import airflow_provider_air
for name in airflow_provider_air.__all__:
    getattr(airflow_provider_air, name)
"""


def newly_loaded(statement: str, prepare: str = "") -> set[str]:
    """Run the statement in a fresh interpreter and give the modules that it loaded."""
    return set(json.loads(_printed(PROBE.format(prepare=prepare, statement=statement))))


def _printed(code: str) -> str:
    """Run code in a fresh interpreter and give its last line."""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-1]


def test_all_public_names_load_nothing_heavy_beyond_what_airflow_sdk_has_loaded() -> None:
    loaded = newly_loaded(EVERY_PUBLIC_NAME, prepare="import airflow.sdk")
    assert "airflow_provider_air.operators.submit" in loaded
    assert not loaded & HEAVY


def test_a_dag_that_is_only_parsed_loads_neither_engine_nor_triggers() -> None:
    loaded = newly_loaded(EVERY_PUBLIC_NAME, prepare="import airflow.sdk")
    engine = (
        "runs.run",
        "runs.watch",
        "triggers.run",
        "connections.aws",
        "contracts.jobs",
        "drivers.wire.error_kinds",
        "ray_api.client",
        "ray_api.code_files",
        "workloads.tune",
    )
    assert not loaded & {f"airflow_provider_air.{name}" for name in engine}
    assert "airflow.triggers.base" not in loaded


def test_all_public_names_cost_little_beside_airflow_sdk() -> None:
    """CPU time, so that a busy machine counts for both; milliseconds are what tests/benchmarks measures."""
    probe = f"""
import time
begin = time.process_time()
import airflow.sdk
airflow.sdk.BaseOperator, airflow.sdk.BaseHook, airflow.sdk.conf
before = time.process_time()
{EVERY_PUBLIC_NAME}
print((time.process_time() - before) / (before - begin))
"""
    shares = [float(_printed(probe)) for _ in range(3)]
    assert min(shares) <= MOST_OF_AIRFLOW_SDK, shares


def test_importing_the_package_alone_loads_none_of_its_parts() -> None:
    """Airflow discovers providers before it has read its own configuration."""
    loaded = newly_loaded("import airflow_provider_air")
    assert {name for name in loaded if name.startswith("airflow")} == {"airflow_provider_air"}


def test_provider_discovery_loads_neither_airflow_nor_the_package() -> None:
    loaded = newly_loaded("from airflow_provider_air.get_provider_info import get_provider_info as g; g()")
    assert {name for name in loaded if name.startswith("airflow")} == {
        "airflow_provider_air",
        "airflow_provider_air.get_provider_info",
    }


def test_what_airflow_loads_of_the_plugin_in_each_process_is_next_to_nothing() -> None:
    """Scheduler, workers and triggerer load plugins, too; the routes are built when the first request comes."""
    loaded = newly_loaded(
        "from airflow_provider_air.plugin.entry import AirPlugin; AirPlugin()", prepare="import airflow.plugins_manager"
    )
    assert "airflow_provider_air.plugin.entry" in loaded
    # Providers' metadata may have loaded the package before.
    assert loaded <= {"airflow_provider_air", "airflow_provider_air.plugin", "airflow_provider_air.plugin.entry"}


def test_the_pages_load_nothing_heavy_into_the_api_server() -> None:
    loaded = newly_loaded(
        "from airflow_provider_air.plugin.app import build_app; build_app()", prepare="import airflow.api_fastapi.app"
    )
    assert "airflow_provider_air.plugin.task_api" in loaded
    assert not loaded & HEAVY


def test_parts_below_the_connections_import_without_airflow() -> None:
    above = (
        "connections",
        "hooks",
        "triggers",
        "links",
        "operators",
        "sensors",
        "decorators",
        "plugin",
        "cli",
        "drivers",
    )
    below = [module.name for module in modules() if not _under(module.name, above)]
    loaded = newly_loaded("\n".join(f"import {name}" for name in below))
    assert "airflow" not in loaded
    assert not loaded & HEAVY


def test_drivers_import_without_airflow() -> None:
    names = [module.name for module in modules() if _under(module.name, ("drivers",))]
    assert "airflow" not in newly_loaded("\n".join(f"import {name}" for name in names))


def test_what_both_sides_say_to_each_other_needs_the_standard_library_alone() -> None:
    """Airflow's side reads records, names and spaces with the drivers' own modules."""
    names = [module.name for module in modules() if module.name.startswith("airflow_provider_air.drivers.wire")]
    assert "airflow_provider_air.drivers.wire.records" in names
    loaded = newly_loaded("\n".join(f"import {name}" for name in names))
    assert not {name.partition(".")[0] for name in loaded} - {*sys.stdlib_module_names, "airflow_provider_air"}


@pytest.mark.parametrize("heavy", ["pandas", "ray"])
def test_the_probe_sees_what_is_heavy(heavy: str) -> None:
    assert heavy in newly_loaded(f"import {heavy}")


def _under(name: str, folders: tuple[str, ...]) -> bool:
    return name.split(".")[1:2] in [[folder] for folder in folders]
