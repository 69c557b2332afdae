"""A task's life over KubeRay on the node, from create to delete, both ways: a shared RayCluster, and a RayJob."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import ClusterState
from airflow_provider_air.contracts.jobs import JobRequest
from tests.kubernetes.bench import GONE_SECONDS, SMALL, Bench, until

# Where it ran, by the name of its pod.
TASK = """
import ray, socket
@ray.remote(num_cpus=1)
def where(): return socket.gethostname()
ray.init()
print("worked on", ray.get(where.remote()))
"""


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
    bench.wait_for(bench.ref, ClusterState.READY)
    wait_until_gone(bench.backend(), bench.ref, timeout_seconds=GONE_SECONDS)
    assert bench.left() == []


@pytest.mark.full
def test_workers_come_from_none_for_a_job_and_go_when_they_are_idle(bench: Bench) -> None:
    group = {**SMALL, "name": "grown", "min_replicas": 0, "max_replicas": 1, "idle_timeout_seconds": 10}
    ref = bench.ready(workers=None, head={**SMALL, "memory": "3Gi", "resources": {"CPU": 0}}, worker_groups=[group])

    def workers() -> list[str]:
        labels = f"ray.io/cluster={ref.name},ray.io/node-type=worker"
        pods = bench.kube.admin.items("pods", bench.namespace, labelSelector=labels)
        return [pod["metadata"]["name"] for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    assert workers() == []
    bench.target, bench.request = ref, JobRequest(["python", "-c", TASK])

    bench.whole()

    assert bench.phases == ["SUCCEEDED"]
    assert f"worked on {ref.name}-grown-worker-" in bench.log.text
    until(lambda: not workers(), "no worker being left", 180)
    assert bench.backend().describe(ref).state is ClusterState.READY
    wait_until_gone(bench.backend(), ref, timeout_seconds=180)
    # With the autoscaler's account and its rights, which KubeRay made.
    assert bench.left() == []
