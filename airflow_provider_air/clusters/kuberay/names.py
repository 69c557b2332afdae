"""What a cluster's resource is called, and of which kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_air.clusters.kuberay.rules import LONGEST_NAME
from airflow_provider_air.clusters.naming import cluster_name, name_to_find
from airflow_provider_air.contracts.names import digest, named, slug
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.contracts.runs import AttemptInfo

CLUSTER, JOB = "RayCluster", "RayJob"
# Before a name that starts with a digit, which a Service's must not (DNS-1035).
LETTERS = "ray-"
LEAST = 20


def resource_name(spec: KubeRayCluster, key: TaskKey, attempt: AttemptInfo | None = None) -> tuple[str, str]:
    """
    Give kind and name of the resource that a spec has for a task.

    A RayJob, one for each attempt, where the spec has neither name nor scope and it is for an attempt's job; else a
    RayCluster, which a retry and a clear find again. Without a name, a scope shares it among all that ask for the same
    cluster there. Two names that differ never become the same one.

    :returns: ``("RayCluster" | "RayJob", name)``
    """
    scope = _scope(spec, key)
    if spec.name is None and scope is None and attempt is not None:
        tail = digest(attempt.submission_id, length=6)
        limit = LONGEST_NAME[JOB] - len(tail) - 1 - len(LETTERS)
        return JOB, f"{_lettered(cluster_name(None, key, limit))}-{tail}"
    limit = LONGEST_NAME[CLUSTER] - len(LETTERS)
    if scope is None:
        return CLUSTER, _lettered(cluster_name(spec.name, key, limit))
    tail = digest(*scope)
    if spec.name is None:
        tail = digest(*scope, spec.fingerprint())
        return CLUSTER, f"{_lettered(slug(key.dag_id, limit - len(tail) - 1))}-{tail}"
    return CLUSTER, f"{_lettered(cluster_name(spec.name, key, limit - len(tail) - 1))}-{tail}"


def name_of_global(spec: KubeRayCluster) -> str:
    """
    Give the name of the RayCluster that a spec stands for, whoever asks.

    :raises ConfigurationError: it has none, or each run or DAG has one of its own
    """
    if spec.name is not None and spec.scope != "global":
        raise ConfigurationError(
            f"The cluster {spec.name!r} of scope {spec.scope!r} cannot be found without its run",
            hint="Pass the XCom of the task that creates it, or use scope='global'",
        )
    return _lettered(name_to_find(spec.name, LONGEST_NAME[CLUSTER] - len(LETTERS)))


def _scope(spec: KubeRayCluster, key: TaskKey) -> tuple[str, ...] | None:
    if spec.scope == "global":
        return None
    run = (key.run_id,) if spec.scope == "dag_run" else ()
    return (key.deployment, key.dag_id, *run)


def _lettered(name: str) -> str:
    if name[0].isalpha():
        return name
    # With a digest, so that "2gpu" and "ray-2gpu" are two clusters.
    return f"{LETTERS}{named(name, max(len(name), LEAST))}"
