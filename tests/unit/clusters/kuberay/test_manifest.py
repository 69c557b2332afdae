"""What is sent: kept manifests, KubeRay's own schemas, and what later requests change."""

from __future__ import annotations

import copy
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.manifest import (
    LEAST_TTL_SECONDS,
    Deadlines,
    cluster_manifest,
    deadlines_of,
    job_manifest,
    scaling_patch,
    with_live_replicas,
)
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.pods import PodFields
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.errors import ConfigurationError
from tests.unit.clusters.kuberay.cases import CASES, IMAGE, KEY
from tests.unit.clusters.kuberay.schemas import VERSIONS, problems_of

KEPT = Path(__file__).parent / "manifests"
UPDATE = "AIR_UPDATE_MANIFESTS"
MARKS = Marks.of(ClusterOwner(KEY.deployment, KEY), "hash")
# The official image is of this process's Python.
PYTHON = f"-py{sys.version_info.major}{sys.version_info.minor}"


def written(manifest: dict[str, Any]) -> str:
    return yaml.safe_dump(manifest, sort_keys=False, width=120).replace(PYTHON, "-pyXY")


@pytest.mark.parametrize("name", CASES)
def test_the_manifest_is_the_kept_one(name: str) -> None:
    path = KEPT / f"{name}.yaml"
    text = written(CASES[name].manifest())
    if os.environ.get(UPDATE):
        path.write_text(text)
    assert path.is_file(), f"Run with {UPDATE}=1 to keep it, and read what it has kept"
    assert text == path.read_text(), f"Run with {UPDATE}=1 to keep the new one, and read the difference"


def test_no_manifest_is_kept_for_nothing() -> None:
    assert {path.stem for path in KEPT.iterdir()} == set(CASES)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_kuberays_own_schema_takes_it(name: str, version: str) -> None:
    case = CASES[name]
    problems = problems_of(case.manifest(), version)
    if case.newer and version == "1.6.1":
        # What that version has not is refused, and not dropped in silence.
        assert any("Additional properties" in problem for problem in problems)
    else:
        assert problems == []


def test_each_field_is_in_a_kept_manifest() -> None:
    said: set[tuple[str, str]] = set()
    for case in CASES.values():
        for part in (case.spec, case.spec.head_group(), *case.spec.groups()):
            for one in dataclasses.fields(part):
                default = one.default if one.default is not dataclasses.MISSING else None
                if getattr(part, one.name) not in (default, None, (), {}, []):
                    said.add((type(part).__name__, one.name))
    pods = {one.name for one in dataclasses.fields(PodFields)}
    in_pods = {name for _, name in said if name in pods}
    assert pods - in_pods == set()
    for kind in (KubeRayCluster, HeadGroup, WorkerGroup):
        own = {one.name for one in dataclasses.fields(kind)} - pods - NOT_WRITTEN
        missing = {name for name in own if not any(field == name for _, field in said)}
        assert missing == set(), kind.__name__


# How the cluster is reached and kept: nothing of it is in a manifest's spec.
NOT_WRITTEN = {
    "dashboard_url",
    "deadline_seconds",
    "grafana_url",
    "idle_timeout_seconds",
    "kubernetes_conn_id",
    "reach",
    "serve_url",
    "scope",
    "startup_timeout_seconds",
    "ttl_seconds",
    "workers",
}


def test_a_manifest_shares_nothing_with_the_next_one() -> None:
    spec = CASES["restricted"].spec
    first = cluster_manifest(spec, "first", MARKS)
    kept = copy.deepcopy(first)
    second = cluster_manifest(spec, "first", MARKS)
    for group in (second["spec"]["headGroupSpec"], *second["spec"]["workerGroupSpecs"]):
        group["template"]["spec"]["securityContext"]["runAsNonRoot"] = False
        group["template"]["spec"]["containers"][0]["securityContext"].clear()
    assert first == kept
    assert cluster_manifest(spec, "first", MARKS) == kept


def test_what_nobody_says_is_not_set() -> None:
    spec = cluster_manifest(KubeRayCluster(), "first", MARKS)["spec"]
    assert set(spec) == {"headGroupSpec", "workerGroupSpecs", "rayVersion", "authOptions"}
    assert set(spec["headGroupSpec"]) == {"template"}
    assert set(spec["workerGroupSpecs"][0]) == {"groupName", "replicas", "template"}


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        ({}, "2.60.0"),
        ({"image": "rayproject/ray:2.55.1-py312-gpu"}, "2.55.1"),
        ({"image": "localhost:5000/team/ray:v2.54.0"}, "2.54.0"),
        ({"image": "own:7", "ray_version": "2.53.0"}, "2.53.0"),
        ({"head": {"image": "own:2.58.0"}}, "2.58.0"),
        ({"image": "own:2026.11.29", "ray_version": "2.60.0"}, "2.60.0"),
        ({"image": "own:7", "auth_options": {"mode": "disabled"}}, None),
        ({"image": "own@sha256:0123", "auth_options": {"mode": "disabled"}}, None),
    ],
)
def test_the_version_is_that_of_the_image_unless_it_is_said(fields: dict[str, Any], version: str | None) -> None:
    assert cluster_manifest(KubeRayCluster(**fields), "first", MARKS)["spec"].get("rayVersion") == version


def test_an_image_whose_version_nobody_knows_is_refused_where_tokens_need_it() -> None:
    with pytest.raises(ConfigurationError, match="ray_version"):
        cluster_manifest(KubeRayCluster(image="own:7"), "first", MARKS)


@pytest.mark.parametrize(("gpus", "ending"), [(None, PYTHON), (0, PYTHON), (1, f"{PYTHON}-gpu")])
def test_a_group_with_gpus_has_the_image_with_cuda(gpus: int | None, ending: str) -> None:
    spec = KubeRayCluster(worker_groups=[WorkerGroup(gpus=gpus)])
    (group,) = cluster_manifest(spec, "first", MARKS)["spec"]["workerGroupSpecs"]
    assert group["template"]["spec"]["containers"][0]["image"].endswith(ending)


def test_a_part_of_a_gpu_wants_cuda_too() -> None:
    spec = KubeRayCluster(worker_groups=[WorkerGroup(gpus=1, gpu_resource="nvidia.com/mig-1g.5gb")])
    (group,) = cluster_manifest(spec, "first", MARKS)["spec"]["workerGroupSpecs"]
    assert group["template"]["spec"]["containers"][0]["image"].endswith("-gpu")


def test_restricted_is_said_of_all_containers_of_the_author_too() -> None:
    pod = {
        "containers": [{}, {"name": "logs", "image": "logs:1", "securityContext": {"runAsUser": 7}}],
        "initContainers": [
            {"name": "data", "image": "data:1"},
            {"name": "sysctl", "image": "s:1", "securityContext": {"privileged": True}},
        ],
    }
    group = WorkerGroup(security_context="restricted", template={"spec": pod})
    made = cluster_manifest(KubeRayCluster(worker_groups=[group]), "first", MARKS)["spec"]
    restricted = made["workerGroupSpecs"][0]["template"]["spec"]
    *contexts, privileged = [
        one["securityContext"] for one in (*restricted["containers"], *restricted["initContainers"])
    ]
    # Kubernetes refuses it along with what restricted demands.
    assert privileged == {"privileged": True}
    assert len(contexts) == 3
    assert all(one["allowPrivilegeEscalation"] is False and one["runAsNonRoot"] is True for one in contexts)
    assert contexts[1]["runAsUser"] == 7
    assert "securityContext" not in made["headGroupSpec"]["template"]["spec"]["containers"][0]


def test_a_groups_own_word_counts_before_the_clusters() -> None:
    case = CASES["environment"].manifest()
    (workers,) = case["spec"]["workerGroupSpecs"]
    container = workers["template"]["spec"]["containers"][0]
    assert {one["name"]: one.get("value") for one in container["env"]} == {
        "REGION": "eu",
        "LEVEL": "debug",
        "TOKEN": None,
        "THREADS": "4",
    }
    volumes = {one["name"]: one for one in workers["template"]["spec"]["volumes"]}
    assert volumes["scratch"] == {"name": "scratch", "emptyDir": {}}
    assert len(workers["template"]["spec"]["volumes"]) == 2


def test_a_job_waits_for_its_id_and_always_has_both_deadlines() -> None:
    spec = job_manifest(KubeRayCluster(), "first", MARKS, deadlines=Deadlines(1, 2, 30))["spec"]
    assert "jobId" not in spec
    assert (spec["preRunningDeadlineSeconds"], spec["activeDeadlineSeconds"]) == (1, 2)
    # A reader that comes back late still finds the log.
    assert spec["ttlSecondsAfterFinished"] == LEAST_TTL_SECONDS
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["backoffLimit"] == 0


@pytest.mark.parametrize(
    ("fields", "not_after", "active"),
    [
        ({}, 10_000.0, 9_000 + 300),
        ({}, 10.0, 300),  # over already: KubeRay takes no 0
        ({"deadline_seconds": 60.0}, None, 900 + 60),
        ({"ttl_seconds": 3600.0}, None, 900 + 3600),
        ({"ttl_seconds": None}, None, 2**31 - 1),
        ({}, 1e12, 2**31 - 1),
    ],
)
def test_the_deadlines_of_a_job(fields: dict[str, Any], not_after: float | None, active: int) -> None:
    assert deadlines_of(KubeRayCluster(**fields), not_after, 1_000.0) == Deadlines(900, active)


@pytest.mark.parametrize(("starts_until", "pre_running"), [(1_060.0, 900), (4_600.0, 3_900), (10.0, 900)])
def test_kuberay_waits_for_a_cluster_as_long_as_its_task_does(starts_until: float, pre_running: int) -> None:
    deadlines = deadlines_of(KubeRayCluster(), 10_000.0, 1_000.0, starts_until=starts_until)
    assert deadlines == Deadlines(pre_running, 9_300)


def scaled(spec: KubeRayCluster, live: dict[str, Any]) -> list[Any]:
    return [(one["op"], one["path"], one["value"]) for one in scaling_patch(spec, live)]


def test_scaling_writes_least_and_most_and_leaves_replicas_to_the_autoscaler() -> None:
    live = CASES["autoscaled"].manifest()
    groups = [WorkerGroup(name="steady", min_replicas=2, max_replicas=4, replicas=3)]
    assert scaled(KubeRayCluster(worker_groups=groups), live) == [
        ("test", "/spec/workerGroupSpecs/1/groupName", "steady"),
        ("add", "/spec/workerGroupSpecs/1/minReplicas", 2),
        ("add", "/spec/workerGroupSpecs/1/maxReplicas", 4),
    ]


def test_without_an_autoscaler_scaling_writes_replicas() -> None:
    live = cluster_manifest(KubeRayCluster(workers=2, image=IMAGE), "first", MARKS)
    assert scaled(KubeRayCluster(workers=2), live) == []
    assert scaled(KubeRayCluster(workers=5), live) == [
        ("test", "/spec/workerGroupSpecs/0/groupName", "workers"),
        ("add", "/spec/workerGroupSpecs/0/replicas", 5),
    ]


@pytest.mark.parametrize("autoscaled", [False, True])
def test_scaling_never_takes_workers_from_somebody_else(autoscaled: bool) -> None:
    spec = KubeRayCluster(
        image=IMAGE,
        enable_in_tree_autoscaling=autoscaled,
        worker_groups=[WorkerGroup(replicas=5, min_replicas=3, max_replicas=8)],
    )
    live = cluster_manifest(spec, "first", MARKS)
    for group in (WorkerGroup(replicas=1), WorkerGroup(min_replicas=0, max_replicas=2), WorkerGroup()):
        assert scaled(KubeRayCluster(worker_groups=[group]), live) == []


@pytest.mark.parametrize("group", [WorkerGroup(min_replicas=7), WorkerGroup(replicas=7)])
def test_what_scaling_asks_for_is_allowed(group: WorkerGroup) -> None:
    first = WorkerGroup(replicas=1, max_replicas=3)
    spec = KubeRayCluster(image=IMAGE, enable_in_tree_autoscaling=False, worker_groups=[first])
    live = cluster_manifest(spec, "first", MARKS)
    written = {path.rpartition("/")[2]: value for _, path, value in scaled(KubeRayCluster(worker_groups=[group]), live)}
    assert written["maxReplicas"] == written["replicas"] == 7


def test_scaling_a_group_that_is_not_there_is_refused_by_name() -> None:
    live = CASES["autoscaled"].manifest()
    with pytest.raises(ConfigurationError, match=r"'other'.*flights.*spot, steady"):
        scaling_patch(KubeRayCluster(worker_groups=[WorkerGroup(name="other")]), live)


def test_a_later_apply_keeps_what_scaling_has_written() -> None:
    manifest = CASES["autoscaled"].manifest()
    live = copy.deepcopy(manifest)
    live["spec"]["workerGroupSpecs"].reverse()
    live["spec"]["workerGroupSpecs"][1]["replicas"] = 7
    live["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 9
    spot, steady = with_live_replicas(manifest, live)["spec"]["workerGroupSpecs"]
    assert (spot["groupName"], spot["replicas"]) == ("spot", 7)
    assert (steady["groupName"], steady["maxReplicas"]) == ("steady", 9)
    assert with_live_replicas(manifest, manifest) == manifest
