"""The triggers of many waiting tasks in one event loop, as a triggerer runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from airflow.triggers.base import TriggerEvent

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.triggers.run import RayRunTrigger
from tests.benchmarks.rig.worker import RAY_CONN_ID

CLUSTER = ClusterRef("existing", RAY_CONN_ID, {"ray_conn_id": RAY_CONN_ID})


def attempt_of(submission_id: str, number: int = 0) -> Attempt:
    """Give what the ledger says of a job that was submitted; each number is another mapped task instance."""
    key = asdict(TaskKey("bench", "bench", "bench", "job", number))
    cluster = CLUSTER.to_json()
    return Attempt(1, 1, submission_id, cluster=cluster, phase="submitted", steps={"sent": 1.0}, key=key)


def job_triggers(submission_ids: Sequence[str]) -> list[RayRunTrigger]:
    """Give one trigger per job, which waits for its end."""
    task = {"dag_id": "bench", "run_id": "bench", "task_id": "job"}
    return [
        RayRunTrigger(step=attempt_of(name, number).wait("end", None).to_json(), task={**task, "map_index": number})
        for number, name in enumerate(submission_ids)
    ]


def room_triggers(count: int, limit: int) -> list[RayRunTrigger]:
    """Give the triggers of so many task instances that wait for room on a cluster that takes ``limit`` jobs."""
    task = {"dag_id": "bench", "run_id": "bench", "task_id": "job"}
    attempts = [
        replace(attempt_of(f"room-{number:04d}", number), phase="intended", limit=limit) for number in range(count)
    ]
    return [
        RayRunTrigger(step=attempt.wait("room", None).to_json(), task={**task, "map_index": number})
        for number, attempt in enumerate(attempts)
    ]


def cluster_triggers(refs: Sequence[ClusterRef]) -> list[RayRunTrigger]:
    """Give one trigger per cluster, which waits until it is ready."""
    task = {"dag_id": "bench", "run_id": "bench", "task_id": "job"}
    attempts = [
        replace(attempt_of(f"cluster-{number:04d}", number), phase="intended", cluster=ref.to_json())
        for number, ref in enumerate(refs)
    ]
    return [
        RayRunTrigger(step=attempt.wait("cluster", None).to_json(), task={**task, "map_index": number})
        for number, attempt in enumerate(attempts)
    ]


async def event_of(trigger: RayRunTrigger) -> TriggerEvent:
    """Run a trigger to its event, as the triggerer does."""
    async for event in trigger.run():
        return event
    raise RuntimeError("the trigger ended without an event")
