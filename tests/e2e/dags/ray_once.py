"""One Ray job per run, which writes a ledger outside of Ray; each DAG is one way to wait for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_air import RaySubmitJobOperator
from tests.e2e.crashing import CrashingJobTrigger

SCRIPT = Path(__file__).parents[1] / "ledger_job.sh"
CONF = "{{ dag_run.conf['folder'] }} {{ dag_run.conf.get('lines', 0) }} {{ dag_run.conf.get('chatter', 0) }}"
WAYS: dict[str, dict[str, Any]] = {
    "once_deferred": {},
    "once_deferred_retried": {"retries": 2},
    "once_waiting": {"deferrable": False},
    "once_waiting_retried": {"deferrable": False, "retries": 2},
    "once_deadline": {"execution_timeout": timedelta(seconds=60)},
}


class OperatorWithCrashingTrigger(RaySubmitJobOperator):
    def defer(self, *, trigger: Any, **options: Any) -> Any:
        super().defer(trigger=CrashingJobTrigger(**trigger.serialize()[1]), **options)


def job(operator: type[RaySubmitJobOperator], **options: Any) -> None:
    operator(
        task_id="job",
        ray_conn_id="{{ dag_run.conf['ray_conn_id'] }}",
        entrypoint=f"sh {SCRIPT} {CONF}",
        retry_delay=timedelta(0),
        **options,
    )


for dag_id, way in WAYS.items():
    with DAG(dag_id, schedule=None, catchup=False):
        job(RaySubmitJobOperator, **way)

with DAG("once_crashing", schedule=None, catchup=False):
    job(OperatorWithCrashingTrigger)
