from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.names import name_of_global, resource_name
from airflow_provider_air.clusters.kuberay.rules import LONGEST_NAME
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError

KEY = TaskKey("deployment", "dag", "run", "task")
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
ODD = [
    "2gpu",
    "ray-2gpu",
    "Ünïcode",
    "日本",
    "UPPER",
    "a" * 80,
    "a" * 79 + "b",
    "with space",
    "-",
    "x.y",
    "1" * 60,
    "a--b",
]


def attempt(submission_id: str, key: TaskKey = KEY) -> AttemptInfo:
    return AttemptInfo(key, submission_id, "", 0, 1, "submit", "")


@pytest.mark.parametrize("scope", ["global", "dag", "dag_run"])
def test_any_name_is_a_resources_and_no_two_become_one(scope: Any) -> None:
    names = [resource_name(KubeRayCluster(name=name, scope=scope), KEY) for name in ODD]
    assert len(set(names)) == len(ODD)
    for kind, name in names:
        assert kind == "RayCluster"
        assert len(name) <= LONGEST_NAME[kind]
        assert DNS_1035.fullmatch(name), name


@pytest.mark.parametrize("dag_id", ["dag", "2026_report", "Ünïcode", "x" * 250])
@pytest.mark.parametrize("attempts", [False, True])
def test_a_tasks_own_name_is_a_resources(dag_id: str, attempts: bool) -> None:
    key = dataclasses.replace(KEY, dag_id=dag_id, task_id="9" * 250)
    kind, name = resource_name(KubeRayCluster(), key, attempt("air-1", key) if attempts else None)
    assert kind == ("RayJob" if attempts else "RayCluster")
    assert len(name) <= LONGEST_NAME[kind]
    assert DNS_1035.fullmatch(name), name


def test_a_plain_name_stays() -> None:
    assert resource_name(KubeRayCluster(name="features"), KEY) == ("RayCluster", "features")
    assert name_of_global(KubeRayCluster(name="features")) == "features"


@pytest.mark.parametrize("name", ODD)
def test_whoever_finds_it_has_the_name_that_it_is_made_with(name: str) -> None:
    spec = KubeRayCluster(name=name)
    assert ("RayCluster", name_of_global(spec)) == resource_name(spec, KEY)


def test_each_attempt_has_a_job_of_its_own_and_a_retry_of_the_task_none_of_anothers() -> None:
    spec = KubeRayCluster()
    other = dataclasses.replace(KEY, map_index=1)
    names = {resource_name(spec, KEY, attempt("air-1")), resource_name(spec, KEY, attempt("air-2"))}
    names.add(resource_name(spec, other, attempt("air-1", other)))
    assert len(names) == 3
    assert resource_name(spec, KEY, attempt("air-1")) in names


def test_a_named_cluster_is_shared_by_attempts() -> None:
    spec = KubeRayCluster(name="features")
    assert resource_name(spec, KEY, attempt("air-1")) == resource_name(spec, KEY)


@pytest.mark.parametrize(
    ("scope", "same"),
    [("global", {"run", "dag", "deployment", "task"}), ("dag", {"run", "task"}), ("dag_run", {"task"})],
)
def test_the_scope_says_who_shares_a_name(scope: Any, same: set[str]) -> None:
    spec = KubeRayCluster(name="features", scope=scope)
    others = {
        "run": dataclasses.replace(KEY, run_id="other"),
        "dag": dataclasses.replace(KEY, dag_id="other"),
        "deployment": dataclasses.replace(KEY, deployment="other"),
        "task": dataclasses.replace(KEY, task_id="other"),
    }
    for name, key in others.items():
        assert (resource_name(spec, key) == resource_name(spec, KEY)) is (name in same), name
        assert resource_name(spec, key)[1].startswith("features")


def test_one_of_a_run_cannot_be_found_without_it() -> None:
    with pytest.raises(ConfigurationError, match=r"'features'.*dag_run"):
        name_of_global(KubeRayCluster(name="features", scope="dag_run"))
    with pytest.raises(ConfigurationError, match="without a name"):
        name_of_global(KubeRayCluster())


@pytest.mark.parametrize("dag_id", ["dag", "2026_report", "日本", "x" * 250])
def test_a_scope_without_a_name_is_shared_by_all_that_ask_for_the_same_there(dag_id: str) -> None:
    key = dataclasses.replace(KEY, dag_id=dag_id)
    other_task = dataclasses.replace(key, task_id="other")
    other_run = dataclasses.replace(key, run_id="other")
    spec = KubeRayCluster(scope="dag_run")
    kind, name = resource_name(spec, key, attempt("air-1", key))
    assert kind == "RayCluster"
    assert len(name) <= LONGEST_NAME[kind]
    assert DNS_1035.fullmatch(name), name
    assert resource_name(spec, other_task, attempt("air-2", other_task)) == (kind, name)
    assert resource_name(KubeRayCluster(scope="dag_run", image="own:2.60.0"), key)[1] != name
    assert resource_name(spec, other_run)[1] != name
    of_dag = KubeRayCluster(scope="dag")
    assert resource_name(of_dag, other_run) == resource_name(of_dag, key)
