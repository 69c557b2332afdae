"""The triggers of many waiting tasks in one event loop, as a triggerer runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_air.clusters.contract import ClusterRef
from airflow_provider_air.triggers.job import RayJobTrigger
from tests.benchmarks.rig.worker import RAY_CONN_ID

CLUSTER = ClusterRef("existing", RAY_CONN_ID, ray_conn_id=RAY_CONN_ID).to_json()


def job_triggers(submission_ids: Sequence[str], **fields: Any) -> list[RayJobTrigger]:
    """Give one trigger per job; ``fields`` are those of the trigger."""
    task = {"dag_id": "bench", "run_id": "bench", "task_id": "job"}
    return [
        RayJobTrigger(cluster=CLUSTER, submission_id=name, task={**task, "map_index": number}, **fields)
        for number, name in enumerate(submission_ids)
    ]


async def event_of(trigger: RayJobTrigger) -> TriggerEvent:
    """Run a trigger to its event, as the triggerer does."""
    async for event in trigger.run():
        return event
    raise RuntimeError("the trigger ended without an event")
