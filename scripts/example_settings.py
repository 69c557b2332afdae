"""What the examples in ``dags/`` expect of an Airflow: connections for their clusters, a Variable for their storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# One for all, by its name: a cluster for each task would take 10 to 20 s to start each time.
EXAMPLES: dict[str, Any] = {"name": "examples", "num_cpus": 2}
# What serves stays until somebody deletes it.
SERVING: dict[str, Any] = {"name": "serving", "num_cpus": 4, "ttl_seconds": None, "idle_timeout_seconds": None}


def example_connections(**ray_default: Any) -> dict[str, dict[str, Any]]:
    """
    Give the connections by their ids, in Airflow's JSON form.

    :param ray_default: fields of the connection ``ray_default``; by default a cluster on the worker's own host
    """
    default = ray_default or {"extra": {"backend": "local", "cluster": EXAMPLES}}
    return {
        "ray_default": {"conn_type": "ray", **default},
        "ray_serving": {"conn_type": "ray", "extra": {"backend": "local", "cluster": SERVING}},
    }


def example_variables(storage: Path) -> dict[str, str]:
    """
    Give the environment that holds the examples' Variable.

    :param storage: a folder that workers and the cluster see by this path; made here, since no example makes it
    """
    storage.mkdir(parents=True, exist_ok=True)
    return {"AIRFLOW_VAR_AIR_EXAMPLES_STORAGE": str(storage)}
