"""Names of what a run starts remotely, and the metadata by which its jobs are found again."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from airflow_provider_air.contracts.names import TaskKey, digest, slug

# Metadata keys of our jobs; Ray shows them to whoever can list jobs.
DEPLOYMENT, TASK, GENERATION, ATTEMPT, TRY = (
    "air_deployment",
    "air_task",
    "air_generation",
    "air_attempt",
    "air_try",
)


def mint_submission_id(key: TaskKey, generation: int, number: int) -> str:
    """Make a new id: readable first, unique by its last part."""
    mapped = "" if key.map_index < 0 else f"-m{key.map_index}"
    name = f"{slug(key.dag_id, 30)}-{slug(key.task_id, 40)}{mapped}"
    return f"air-{name}-g{generation}a{number}-{secrets.token_hex(6)}"


def run_name(key: TaskKey, run_generation: int) -> str:
    """Name what is stable over the attempts of a generation: Train's and Tune's run folder."""
    name = f"{slug(key.dag_id, 30)}-{slug(key.task_id, 40)}"
    return f"{name}-{digest(key.deployment, key, length=10)}-g{run_generation}"


def metadata_of(key: TaskKey, *, generation: int, attempt: int, try_number: int) -> dict[str, str]:
    """Give the job metadata by which the jobs of this task instance are found."""
    return {
        DEPLOYMENT: key.deployment,
        TASK: str(key),
        GENERATION: str(generation),
        ATTEMPT: str(attempt),
        TRY: str(try_number),
    }


def owns(key: TaskKey, metadata: Mapping[str, str]) -> bool:
    """Whether a job with this metadata was submitted for this task instance."""
    return metadata.get(DEPLOYMENT) == key.deployment and metadata.get(TASK) == str(key)
