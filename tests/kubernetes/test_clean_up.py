"""What is left on the node by tasks that nobody ends any more, and what a clean-up takes of it."""

from __future__ import annotations

import pytest

from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import submit_job
from airflow_provider_air.runs.cleaning import Cleaning, Report
from airflow_provider_air.runs.left_clusters import cluster_neighbours
from tests.kubernetes import manifests
from tests.kubernetes.bench import Bench, until
from tests.kubernetes.node.node import Node

# They need not start to be left.
NEVER_STARTS = {"image": "localhost:1/nowhere/ray:2.60.0"}
STRANGERS = "strangers"


def _begun(kube: Node, namespace: str, task: str) -> Bench:
    """A task with a cluster of its own, whose worker and triggerer are gone."""
    bench = Bench(kube, namespace, task)
    bench.cluster = NEVER_STARTS
    assert isinstance(bench.run().begin(), Wait)
    return bench


def _clean(bench: Bench, live: TaskKey, *, only_tell: bool = False) -> Report:
    """Clean up the namespace, as an Airflow in which one DAG run goes on and all others are over."""
    neighbours = cluster_neighbours([], [bench.spec()], bench.backend, bench.owner.deployment, only_tell=only_tell)
    return Cleaning(
        bench.owner.deployment, lambda key: "live" if key == live else "over", bench.log, only_tell=only_tell
    ).clean(neighbours)


def _said(report: Report) -> dict[str, tuple[str, str]]:
    return {line.name: (line.verdict, line.reason) for line in report.lines if line.kind == "cluster"}


@pytest.mark.full
def test_what_expired_or_whose_run_is_over_goes_and_nothing_else(kube: Node, bench: Bench) -> None:
    over, live = (_begun(kube, bench.namespace, task) for task in ("over", "live"))
    stranger = manifests.ray_cluster(STRANGERS, bench.namespace)
    kube.admin.apply(stranger)
    shared = bench.ready(ttl_seconds=1.0)
    with RayClient(bench.backend().open_transport(shared)) as client:
        client.send(submit_job(JobSubmission(entrypoint="sleep 3600", submission_id="a-persons")))

    told = _said(_clean(bench, live.key, only_tell=True))
    assert told[over.ref.name] == ("would be taken", "its DAG run is over")
    assert told[live.ref.name][0] == "spared"
    assert "is not over" in told[live.ref.name][1]
    assert told[shared.name][0] == "spared"
    assert "it expired" in told[shared.name][1]
    assert "in use: by 1 live jobs (a-persons)" in told[shared.name][1]
    assert STRANGERS not in told
    assert over.ref.name in {name.partition("/")[2] for name in bench.left()}

    bench.backend().jobs(shared).stop("a-persons")
    until(lambda: not bench.backend().jobs(shared).alive(), "the end of the job", 120)
    done = _said(_clean(bench, live.key))
    assert [done[name][0] for name in (over.ref.name, shared.name, live.ref.name)] == ["taken", "taken", "spared"]

    for ref in (over.ref, shared):
        wait_until_gone(bench.backend(), ref, timeout_seconds=180)
    assert kube.admin.get("rayclusters", STRANGERS, bench.namespace, "ray.io/v1")
    until(lambda: all(live.ref.name in name for name in bench.left()), "an end of all but the live run's", 120)
    assert bench.left()
