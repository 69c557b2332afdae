"""Templates within a spec and within its groups, as Airflow renders them."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.connections.ports import read_fields
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from tests.unit.clusters.kuberay.cases import IMAGE


def rendered(is_native: bool, **fields: Any) -> KubeRayCluster:
    with DAG("flights", render_template_as_native_obj=is_native):
        task = RaySubmitJobOperator(task_id="train", entrypoint="true", cluster=KubeRayCluster(image=IMAGE, **fields))
    task.render_template_fields({"n": 3, "yes": True, "name": "features", "run_id": "r1"})  # type: ignore[typeddict-unknown-key]
    read_fields(task)
    spec = task.cluster
    assert isinstance(spec, KubeRayCluster)
    spec.validate()
    return spec


@pytest.mark.parametrize("is_native", [False, True])
def test_numbers_and_truth_values_are_read_in_the_spec_and_in_its_groups(is_native: bool) -> None:
    spec = rendered(
        is_native,
        name="{{ name }}",
        env={"RUN": "{{ run_id }}", "COUNT": "{{ n }}"},
        ttl_seconds="{{ n }}",
        enable_in_tree_autoscaling="{{ yes }}",
        head=HeadGroup(
            cpu="{{ n }}",
            memory="{{ n }}Gi",
            gpus="{{ n }}",  # type: ignore[arg-type]
            pod_labels={"run": "{{ run_id }}", "n": "{{ n }}"},
        ),
        worker_groups=[
            WorkerGroup(max_replicas="{{ n }}", resources={"worker": "{{ n }}"}),  # type: ignore[arg-type]
            {"name": "{{ name }}", "replicas": "{{ n }}", "env": {"RUN": "{{ run_id }}"}},
        ],
    )
    first, second = spec.groups()
    assert (spec.name, spec.ttl_seconds, spec.is_autoscaled()) == ("features", 3, True)
    assert spec.head_group().gpus == 3
    assert spec.head_group().pod_labels == {"run": "r1", "n": "3"}
    assert (first.max_replicas, first.resources) == (3, {"worker": 3})
    assert (second.name, second.replicas, second.env) == ("features", 3, {"RUN": "r1"})


def test_workers_may_be_a_template() -> None:
    assert [group.replicas for group in rendered(False, workers="{{ n }}").groups()] == [3]
