"""Names of what a run starts remotely, and the metadata by which its jobs are found again."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_air.contracts.names import OUR_METADATA, TaskKey, digest, slug
from airflow_provider_air.errors import ConfigurationError

# Ray takes any text (2.60), but names the log's file after it and finds a job by it in a path. 255 bytes a file has.
MAX_OWN_ID = 200
OWN_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_OWN_ID - 1}}}")

# A task instance as text: neither a DAG's nor a task's id holds a slash, a DAG run's may.
_TASK = re.compile(r"([^/]+)/(.+)/([^/]+?)(?:\[(\d+)\])?", re.DOTALL)

# Of the metadata of our jobs, which Ray shows to whoever can list jobs.
DEPLOYMENT, TASK, LEDGER, GENERATION, ATTEMPT, TRY, DETACHED_MARK = OUR_METADATA


def mint_submission_id(key: TaskKey, generation: int, number: int) -> str:
    """Make a new id: readable first, unique by its last part."""
    mapped = "" if key.map_index < 0 else f"-m{key.map_index}"
    name = f"{slug(key.dag_id, 30)}-{slug(key.task_id, 40)}{mapped}"
    return f"air-{name}-g{generation}a{number}-{secrets.token_hex(6)}"


def check_submission_id(submission_id: Any) -> None:
    """
    See that an author's own id can name a job, its log and its records, whatever number comes behind it.

    :raises ConfigurationError: it cannot
    """
    if submission_id is not None and not (isinstance(submission_id, str) and OWN_ID.fullmatch(submission_id)):
        raise ConfigurationError(
            f"'submission_id' must be letters, digits, dots, dashes and underscores, {MAX_OWN_ID} at most and a letter "
            f"or digit first, not {submission_id!r}",
            hint="Leave it out: then each attempt gets an id of its own",
        )


def next_submission_id(own: str, taken: Iterable[str]) -> str:
    """
    Give an author's own id to the first attempt, and the same with ``-2``, ``-3``, … behind it to later ones.

    :param taken: the ids of the task's attempts so far, the last one among them
    """
    found = (re.fullmatch(rf"{re.escape(own)}(?:-(\d+))?", name) for name in taken)
    last = max((int(match.group(1) or 1) for match in found if match), default=0)
    return f"{own}-{last + 1}" if last else own


def mint_nonce() -> str:
    """Make what tells a ledger from any other one of the same task instance, such as one that has expired."""
    return secrets.token_hex(6)


def run_name(key: TaskKey, run_generation: int) -> str:
    """Name what is stable over the attempts of a generation: Train's and Tune's run folder."""
    name = f"{slug(key.dag_id, 30)}-{slug(key.task_id, 40)}"
    return f"{name}-{digest(key.deployment, key, length=10)}-g{run_generation}"


def metadata_of(
    key: TaskKey, *, generation: int, attempt: int, try_number: int, nonce: str = "", waits: bool = True
) -> dict[str, str]:
    """
    Give the job metadata by which the jobs of this task instance are found.

    :param nonce: of the ledger that knows the job
    :param waits: whether the task waits for its end
    """
    return {
        **({} if waits else {DETACHED_MARK: "1"}),
        DEPLOYMENT: key.deployment,
        TASK: str(key),
        LEDGER: nonce,
        GENERATION: str(generation),
        ATTEMPT: str(attempt),
        TRY: str(try_number),
    }


def owns(key: TaskKey, metadata: Mapping[str, str]) -> bool:
    """Whether a job with this metadata was submitted for this task instance."""
    return metadata.get(DEPLOYMENT) == key.deployment and metadata.get(TASK) == str(key)


def key_of(metadata: Mapping[str, str]) -> TaskKey | None:
    """Read for which task instance a job was submitted; None where its metadata is not ours."""
    found = _TASK.fullmatch(metadata.get(TASK, ""))
    if found is None or not metadata.get(DEPLOYMENT):
        return None
    dag_id, run_id, task_id, map_index = found.groups()
    return TaskKey(metadata[DEPLOYMENT], dag_id, run_id, task_id, -1 if map_index is None else int(map_index))
