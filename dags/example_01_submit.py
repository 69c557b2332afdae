"""
Lesson 1: run a script on Ray.

The folder ``example_code`` travels to the cluster, the command runs there, its log shows in the task log while the
task is deferred: no worker slot is held. With ``records=True`` the script may report progress and a result; the
result is the task's XCom.

``LocalCluster`` is a real Ray cluster on the worker's host. One with a name is kept for the next task that asks for
it: all examples share this one, and it goes by itself after 30 idle minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RaySubmitJobOperator

CODE = Path(__file__).parent / "example_code"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_01_submit() -> None:
    """Submit, then use the result."""
    primes = RaySubmitJobOperator(
        task_id="primes",
        entrypoint="python count_primes.py --below 20000",
        working_dir=str(CODE),
        records=True,
        cluster=LocalCluster(name="examples", num_cpus=2),
    )

    @task
    def say(result: dict[str, Any]) -> str:
        return f"There are {result['primes']} primes below {result['below']}."

    say(primes.output)


example_01_submit()
