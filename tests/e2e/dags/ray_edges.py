"""What a deployment has on its second day: odd names and values, an edited DAG, clusters of a task's own."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from airflow.sdk import DAG, task

from airflow_provider_air import LocalCluster, RayClusterTaskGroup, RaySubmitJobOperator
from tests.e2e.ledger_job import ENTRYPOINT
from tests.e2e.moved import OperatorWithMovedTrigger

FOLDER = "{{ dag_run.conf['folder'] }}"
STORE = 256 * 1024 * 1024
# Written by a test in the middle of its job: this file then says something else, as an edited one does.
IS_EDITED = Path(os.environ.get("AIR_LOCAL_HOME", os.devnull), "edited").exists()


def job(operator: type[RaySubmitJobOperator] = RaySubmitJobOperator, **options: Any) -> None:
    ray: dict[str, Any] = {} if "cluster" in options else {"ray_conn_id": "{{ dag_run.conf['ray_conn_id'] }}"}
    settings: dict[str, Any] = {
        "entrypoint": ENTRYPOINT,
        "retry_delay": timedelta(0),
        "deferral_grace_seconds": 0,
    }
    operator(task_id="job", **ray, **(settings | options))


def odd_values(folder: str) -> dict[str, Any]:
    """Tell what JSON has no word for, and wait to be let go."""
    from air_drivers import report

    place = Path(folder)
    with (place / "ledger").open("a") as ledger:
        ledger.write("start 1\n")
    report.metric({"loss": float("nan"), "best": float("inf"), "epoch": 1}, step=1)
    while not (place / "release-1").exists():
        time.sleep(0.2)
    with (place / "ledger").open("a") as ledger:
        ledger.write("end 1\n")
    return {
        "loss": float("nan"),
        "bounds": [float("-inf"), 1.5],
        "scale": np.float32(0.5),
        "weights": np.arange(3),
        "digest": b"\x00\xff",
    }


# A name that no HTTP header takes.
with DAG("once.данные", schedule=None, catchup=False):
    odd = task.ray(
        task_id="job",
        ray_conn_id="{{ dag_run.conf['ray_conn_id'] }}",
        deferral_grace_seconds=0,
        retries=2,
        retry_delay=timedelta(0),
    )
    odd(odd_values)(FOLDER)

with DAG("once_moved", schedule=None, catchup=False):
    job(OperatorWithMovedTrigger, retries=2)

with DAG("once_edited", schedule=None, catchup=False):
    if IS_EDITED:
        job(entrypoint="false", working_dir="/nowhere", retries=2)
    else:
        job(working_dir=f"{FOLDER}/code", retries=2)

# Later than an outage of Airflow's api-server, in which no worker could begin; a busy machine starts it slowly.
with DAG("once_waiting_retried_later", schedule=None, catchup=False):
    job(deferrable=False, retries=2, retry_delay=timedelta(seconds=180))

OWN: dict[str, dict[str, Any]] = {
    "own_killed": {},
    "own_unreachable": {"unreachable_timeout_seconds": 5},
    "own_refused": {},
}
for dag_id, options in OWN.items():
    with DAG(dag_id, schedule=None, catchup=False):
        job(cluster=LocalCluster(num_cpus=1, object_store_memory_bytes=STORE, ttl_seconds=1200), **options)

with DAG("once_on_this_host", schedule=None, catchup=False):
    job(
        cluster=LocalCluster(name="of-this-host", num_cpus=1, object_store_memory_bytes=STORE, ttl_seconds=1200),
        deferrable=False,
        retries=2,
    )

# More memory than there is: Ray's head ends at once. Waited for in place, since the setup has no try to spare.
BROKEN = LocalCluster(num_cpus=1, object_store_memory_bytes=10**15)
IN_PLACE = {"deferral_grace_seconds": 300}
with (
    DAG("group_broken", schedule=None, catchup=False, default_args=IN_PLACE),
    RayClusterTaskGroup("ray", cluster=BROKEN),
):
    task.ray(task_id="job")(odd_values)(FOLDER)
