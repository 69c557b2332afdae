"""
Lesson 1: run a script on Ray.

The folder ``example_code`` travels to the cluster, the command runs there, its log shows in the task log while the
task is deferred: no worker slot is held. With ``records=True`` the script may report progress and a result; the
result is the task's XCom.

No cluster is named here, so it is the one that the connection ``ray_default`` stands for: the same file runs on a
laptop and on Kubernetes. For a real Ray cluster on the worker's own host, which all examples share, and which goes by
itself after 30 idle minutes::

    airflow connections add ray_default --conn-type ray \\
        --conn-extra '{"backend": "local", "cluster": {"name": "examples", "num_cpus": 2}}'

``cluster=LocalCluster(...)`` on a task says it in the DAG instead. The documentation's page on KubeRay has the
connection that moves all of it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import RaySubmitJobOperator

CODE = Path(__file__).parent / "example_code"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_01_submit() -> None:
    """Submit, then use the result."""
    primes = RaySubmitJobOperator(
        task_id="primes",
        entrypoint="python count_primes.py --below 20000",
        working_dir=str(CODE),
        records=True,
    )

    @task
    def say(result: dict[str, Any]) -> str:
        return f"There are {result['primes']} primes below {result['below']}."

    say(primes.output)


example_01_submit()
