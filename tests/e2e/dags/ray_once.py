"""One Ray job per run, which writes a ledger outside of Ray; each DAG is one way to wait for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_air import RaySubmitJobOperator
from tests.e2e.crashing import CrashingRunTrigger
from tests.e2e.first_trigger import OperatorWithBadTrigger
from tests.e2e.ledger_job import ENTRYPOINT

WAYS: dict[str, dict[str, Any]] = {
    "once_deferred": {},
    "once_deferred_retried": {"retries": 2},
    "once_waiting": {"deferrable": False},
    "once_waiting_retried": {"deferrable": False, "retries": 2},
    "once_deadline": {"execution_timeout": timedelta(seconds=60)},
}


class OperatorWithCrashingTrigger(OperatorWithBadTrigger):
    """Its first trigger crashes."""

    bad = CrashingRunTrigger


def job(operator: type[RaySubmitJobOperator], **options: Any) -> None:
    operator(
        task_id="job",
        ray_conn_id="{{ dag_run.conf['ray_conn_id'] }}",
        entrypoint=ENTRYPOINT,
        retry_delay=timedelta(0),
        # Not in place first: what is deferred is what these runs are about.
        deferral_grace_seconds=0,
        **options,
    )


for dag_id, way in WAYS.items():
    with DAG(dag_id, schedule=None, catchup=False):
        job(RaySubmitJobOperator, **way)

for dag_id, retries in {"once_crashing": 0, "once_crashing_retried": 2}.items():
    with DAG(dag_id, schedule=None, catchup=False):
        job(OperatorWithCrashingTrigger, retries=retries)

with DAG("once_with_sibling", schedule=None, catchup=False):

    @task
    def sibling() -> None:
        """Is cleared by a person, while the job runs."""

    sibling()
    # Soon out of patience, so that it is tried again.
    job(RaySubmitJobOperator, retries=2, unreachable_timeout_seconds=5)
