"""A task's life over KubeRay on the node, from create to delete, both ways: a shared RayCluster, and a RayJob."""

from __future__ import annotations

from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import ClusterState
from tests.kubernetes.bench import Bench


def test_a_job_on_a_cluster_of_its_own_from_create_to_delete(bench: Bench) -> None:
    assert bench.whole() == bench.attempts[0].submission_id

    assert "hello from a pod" in bench.log.text
    assert bench.phases == ["SUCCEEDED"]
    assert (bench.ref.details["kind"], bench.ref.owned) == ("RayJob", True)
    assert bench.ref.uid
    bench.assert_nothing_is_left()


def test_a_job_on_a_shared_cluster_which_stays_until_it_is_deleted(bench: Bench) -> None:
    bench.cluster = {"name": "shared"}

    assert bench.whole() == bench.attempts[0].submission_id

    assert "hello from a pod" in bench.log.text
    assert (bench.ref.details["kind"], bench.ref.owned) == ("RayCluster", False)
    assert bench.backend().describe(bench.ref).state is ClusterState.READY
    wait_until_gone(bench.backend(), bench.ref, timeout_seconds=90)
    assert bench.left() == []
