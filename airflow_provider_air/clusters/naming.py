"""Which name a cluster gets."""

from __future__ import annotations

from airflow_provider_air.contracts.names import TaskKey, digest, fitted, slug
from airflow_provider_air.errors import ConfigurationError


def cluster_name(name: str | None, key: TaskKey, limit: int) -> str:
    """
    Name a cluster by its spec's own name, else by the task instance.

    Never by the generation, so that a retry and a clear find the same cluster again; and two names that differ
    never become the same one.

    :param limit: in characters, at least 20
    """
    if name:
        return fitted(name, limit)
    tail = digest(key.deployment, key)
    half = (limit - len(tail) - 2) // 2
    return f"{slug(key.dag_id, half)}-{slug(key.task_id, half)}-{tail}"


def name_to_find(name: str | None, limit: int) -> str:
    """
    Name the cluster of a spec that has a name.

    :raises ConfigurationError: it has none, so that each task has a cluster of its own
    """
    if not name:
        raise ConfigurationError(
            "A cluster without a name cannot be found",
            hint="Pass the XCom of the task that creates it, or a spec with a name",
        )
    return fitted(name, limit)
