"""A mapped function on a group's own cluster, and one function that runs with and without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RayClusterTaskGroup

FAIL_ONCE = (5, 19)
# For the group's setup: a busy Airflow may lose a try by itself.
SPARE = {"retries": 2, "retry_delay": timedelta(0)}


def note(folder: str, text: str) -> None:
    with open(Path(folder) / "ledger", "a") as ledger:
        ledger.write(f"{text}\n")


@dag(schedule=None, catchup=False, default_args=SPARE)
def group_mapped():
    @task
    def numbers(dag_run) -> list[int]:
        return list(range(dag_run.conf["count"]))

    cluster = LocalCluster(num_cpus=4, object_store_memory_bytes=256 * 1024 * 1024, ttl_seconds=1200)
    with RayClusterTaskGroup("ray", cluster=cluster, max_concurrent_jobs=4):
        # More than the one that is needed: Airflow may lose a worker, too, which starts no job anew.
        @task.ray(retries=3, retry_delay=timedelta(0), deferral_grace_seconds=0)
        def square(number: int, folder: str) -> int:
            seen = Path(folder) / f"seen-{number}"
            is_first = not seen.exists()
            seen.touch()
            note(folder, str(number))
            while (Path(folder) / "hold").exists():
                time.sleep(0.2)
            if is_first and number in FAIL_ONCE:
                raise RuntimeError(f"{number} fails once")
            return number * number

        square.partial(folder="{{ dag_run.conf['folder'] }}").expand(number=numbers())


@dataclass
class Window:
    first: int
    last: int


def middle_of(window: Window) -> float:
    return (window.first + window.last) / 2


def scaled_by(factor: float) -> Callable[[np.ndarray], list[float]]:
    def scale(values: np.ndarray) -> list[float]:
        return [float(value) * factor for value in values]

    return scale


def measured(values: np.ndarray) -> Iterator[str]:
    for value in values:
        yield f"measured {value:g}"


double = scaled_by(2.0)


def measure(window: Window, values: np.ndarray) -> dict:
    inside = values[window.first : window.last]
    for line in measured(inside):
        print(line)
    return {"sum": float(inside.sum()), "middle": middle_of(window), "doubled": double(inside)}


@dag(schedule=None, catchup=False)
def function_anywhere():
    arguments = {"window": Window(1, 4), "values": np.arange(6) / 2}
    task(task_id="on_worker")(measure)(**arguments)
    # In place, since it has no try to spare.
    on_ray = task.ray(task_id="on_ray", ray_conn_id="{{ dag_run.conf['ray_conn_id'] }}", deferral_grace_seconds=300)
    on_ray(measure)(**arguments)


group_mapped()
function_anywhere()
