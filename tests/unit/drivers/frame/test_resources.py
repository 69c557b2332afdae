"""What was asked for and what the cluster has, in words; and for how long the one is compared with the other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_air.drivers.frame import resources
from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem, Unavailable
from tests.kinds import parameters
from tests.kinds.outages import GROWTH

SEEN, SEEN_NAMES = parameters(GROWTH)
JOB = "07000000"
WORKER = {"GPU": 1.0}


def test_amounts_are_told_as_people_write_them() -> None:
    assert resources._text({"GPU": 1.0, "CPU": 2.5}) == "CPU: 2.5, GPU: 1"
    assert resources._text({"CPU": 4.0, "node:x": 1.0}, [{"CPU": 1.0}, {"GPU": 1.0}]) == "CPU: 4, GPU: 0"


class Cluster:
    """
    Ray, as far as the watch asks it: always too small.

    :ivar groups: the placement groups of all jobs
    """

    def __init__(self) -> None:
        self.groups: dict[str, Any] = {}
        self.util = SimpleNamespace(placement_group_table=lambda: self.groups)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4.0}

    available_resources = cluster_resources

    def nodes(self) -> list[Any]:
        return [{"Alive": True, "Resources": {"CPU": 4.0}}]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_job_id=lambda: JOB)

    def place(self, job: str, *bundles: dict[str, float], state: str = "CREATED") -> None:
        self.groups[f"d66c2e3b7c80700a8834e4f968d8{job}"] = {"state": state, "bundles": dict(enumerate(bundles))}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr(resources, "ray", cluster)
    return cluster


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(at=0.0)
    monkeypatch.setattr(resources, "time", SimpleNamespace(monotonic=lambda: clock.at))
    return clock


def show(what: str, run: Run, cluster: Cluster) -> None:
    """Let this be seen of the work."""
    if what == "a metric":
        run.records.write("metric", values={"loss": 1.0}, step=0)
    elif what == "a checkpoint":
        run.records.write("checkpoint", uri="s3://b/k")
    elif what == "rows":
        run.records.write("progress", message="rows predicted", done=10, phase="predict")
    elif what == "its own places":
        cluster.place(JOB, WORKER, WORKER)
    elif what == "another job's places":
        cluster.place("08000000", WORKER, WORKER)
        cluster.place(JOB, WORKER, WORKER, state="PENDING")
    elif what == "a trial's small place":
        cluster.place(JOB, {"CPU": 0.001})
        run.records.write("progress", message="trial t starts", phase="trials", done=0, total=2)


@pytest.mark.parametrize(("what", "end"), list(zip(SEEN_NAMES, SEEN, strict=True)))
def test_only_work_that_has_not_begun_ends_with_its_time_to_wait_for_room(
    what: str, end: str, by_hand: Run, cluster: Cluster, clock: SimpleNamespace
) -> None:
    watch = resources._Watch(by_hand, "scaling_config", [WORKER, WORKER])
    show(what, by_hand, cluster)
    clock.at = resources.DEFAULT_TIMEOUT_SECONDS - 1
    watch.look()
    clock.at = 2 * resources.DEFAULT_TIMEOUT_SECONDS

    if end == "goes on":
        watch.look()
        return
    with pytest.raises(
        Unavailable, match=r"scaling_config: the cluster did not grow enough in 600 s: asked for GPU: 2"
    ):
        watch.look()


def test_work_that_has_begun_stays_undisturbed_when_the_cluster_shrinks(
    by_hand: Run, cluster: Cluster, clock: SimpleNamespace
) -> None:
    watch = resources._Watch(by_hand, "scaling_config", [WORKER])
    cluster.place(JOB, WORKER)
    clock.at = resources.CLUSTER_LOOK_SECONDS
    watch.look()
    cluster.groups.clear()
    clock.at = 2 * resources.DEFAULT_TIMEOUT_SECONDS

    watch.look()


def test_a_cluster_that_cannot_grow_is_told_before_the_work(by_hand: Run, cluster: Cluster) -> None:
    by_hand.config["fixed_size"] = True
    begun: list[int] = []

    with pytest.raises(ConfigurationProblem, match="more than the cluster can ever give"):
        resources.run_when_it_fits(by_hand, "scaling_config", [WORKER], lambda: begun.append(1))

    assert begun == []


def test_the_id_of_a_placement_group_ends_with_its_jobs() -> None:
    ray = pytest.importorskip("ray")
    job = ray.JobID.from_int(7)

    assert job.hex() == JOB
    assert ray.PlacementGroupID.of(job).hex().endswith(JOB)


def test_who_gives_no_time_to_wait_waits_for_none(by_hand: Run, cluster: Cluster, clock: SimpleNamespace) -> None:
    by_hand.config["resources_timeout_seconds"] = 0
    watch = resources._Watch(by_hand, "scaling_config", [WORKER])

    assert watch._timeout == 0
