"""Functions on a real head: they reach the cluster by themselves, in Ray's own interpreter, and end as they say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_provider_air import RaySubmitJobOperator
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.workloads.function import ENTRYPOINT, function_payload
from tests.fakes.task_context import Store, Supervisor, supervised, task_context
from tests.integration.drivers.conftest import Submit

pytestmark = pytest.mark.integration


def payload_of(function: Any) -> dict[str, bytes]:
    return function_payload(function, (), {}, code_folders=[str(Path(__file__).parent)])


def asks_of_the_cluster() -> dict[str, Any]:
    """Ask what Ray answers to those who are connected only, and only then have a task."""
    import ray
    from ray import available_resources

    was_connected = ray.is_initialized()
    cpus = ray.cluster_resources()["CPU"]
    alive = [node["Alive"] for node in ray.nodes()]
    return {
        "was_connected": was_connected,
        "cpus": (cpus, ray.get(ray.remote(lambda: 4.0).remote())),
        "alive": alive,
        "free": available_resources()["CPU"] > 0,
        "python": sys.executable,
    }


def connects_itself() -> list[Any]:
    """Call ray.init() with arguments of its own, as in a script."""
    import ray

    ray.init(namespace="mine", runtime_env={"env_vars": {"COLOUR": "blue"}})
    colour = ray.get(ray.remote(lambda: os.environ["COLOUR"]).remote())
    return [ray.get_runtime_context().namespace, colour, len(ray.nodes())]


def finds_nothing_in_a_task() -> None:
    import ray
    from air_drivers import report  # its name on a cluster

    def look() -> None:
        report.skip("no new files")

    ray.get(ray.remote(look).remote())


@pytest.fixture(autouse=True)
def supervisor() -> Iterator[None]:
    with supervised(Supervisor()):
        yield


def test_a_function_needs_no_init_and_one_that_has_its_own_is_the_first(submit: Submit) -> None:
    asking, connecting = (submit(ENTRYPOINT, payload_of(each)) for each in (asks_of_the_cluster, connects_itself))

    found = asking.succeeded()
    assert found.pop("python") == sys.executable
    assert found == {"was_connected": False, "cpus": (4.0, 4.0), "alive": [True], "free": True}
    assert connecting.succeeded() == ["mine", "blue", 1]


def test_a_python_without_ray_goes_on_in_rays_own(submit: Submit, tmp_path: Path) -> None:
    """As on a head whose PATH leads to a system's or conda's python first."""
    # The environment's own interpreter, without the environment.
    (tmp_path / "python").symlink_to(os.path.realpath(sys.executable))

    job = submit(ENTRYPOINT, payload_of(lambda: sys.executable), env_vars={"PATH": f"{tmp_path}:/usr/bin:/bin"})

    assert job.succeeded() == sys.executable


@pytest.mark.parametrize("kind", ["function", "script", "exit code"])
def test_what_finds_nothing_to_do_skips_its_task(kind: str, cluster: ClusterRef, tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text("from air_drivers import report\nreport.skip('no new files')\n")
    options: dict[str, Any] = {"task_id": "look", "cluster": cluster.to_json(), "deferrable": False}
    context = task_context(store := Store(), task_id="look")
    if kind == "function":
        with DAG("flights", schedule=None) as dag:
            called: Any = task.ray(**options)(finds_nothing_in_a_task)()
        operator, context = called.operator, {**context, "dag": dag}
    elif kind == "script":
        operator = RaySubmitJobOperator(entrypoint="python look.py", working_dir=str(tmp_path), records=True, **options)
    else:
        operator = RaySubmitJobOperator(entrypoint="exit 99", skip_on_exit_code=99, **options)

    with pytest.raises(AirflowSkipException, match="exit code 99" if kind == "exit code" else "^no new files$"):
        operator.execute(context)

    assert [attempt["phase"] for attempt in store.get(LEDGER_KEY)["attempts"]] == ["SKIPPED"]
