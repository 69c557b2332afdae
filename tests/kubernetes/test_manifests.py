"""What the package sends, before a real kube-apiserver with KubeRay's CRDs, and some of it before real pods."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.manifest import cluster_manifest, scaling_patch, with_live_replicas
from airflow_provider_air.clusters.kuberay.marks import Marks, selector_of
from airflow_provider_air.clusters.kuberay.option_rules import refused_fields
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from tests.kubernetes.node.api import Api, ApiError, condition
from tests.kubernetes.node.node import Node
from tests.unit.clusters.kuberay.cases import CASES, KEY

pytestmark = pytest.mark.integration

RAY = "ray.io/v1"
OWNER = ClusterOwner(KEY.deployment, KEY)
STRICT = {"fieldManager": "airflow-provider-air", "fieldValidation": "Strict"}
NEWER = "AIR_KUBERAY_CRDS"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


LINUX = {
    "node_selector_terms": [
        {"match_expressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]},
    ]
}


def collection(api: Api, manifest: dict[str, Any], namespace: str) -> str:
    return api.path(f"{manifest['kind'].lower()}s", "", namespace, RAY)


def applied(api: Api, manifest: dict[str, Any], namespace: str, **query: str) -> dict[str, Any]:
    path = f"{collection(api, manifest, namespace)}/{manifest['metadata']['name']}"
    sent: dict[str, Any] = api.call("PATCH", path, manifest, kind="apply-patch+yaml", **STRICT, **query)
    return sent


def created(api: Api, manifest: dict[str, Any], namespace: str, **query: str) -> dict[str, Any]:
    sent: dict[str, Any] = api.call("POST", collection(api, manifest, namespace), manifest, **STRICT, **query)
    return sent


@pytest.fixture(scope="module")
def place(kube: Node) -> Iterator[str]:
    """A namespace for dry runs, which leave nothing."""
    with kube.namespace() as name:
        yield name


@pytest.mark.parametrize("way", [applied, created])
@pytest.mark.parametrize("name", CASES)
def test_the_strict_dry_run_takes_it_or_names_the_field(kube: Node, place: str, name: str, way: Any) -> None:
    case, manifest = CASES[name], CASES[name].manifest()
    if not case.newer:
        assert way(kube.admin, manifest, place, dryRun="All")["metadata"]["name"] == manifest["metadata"]["name"]
        return
    with pytest.raises(ApiError) as caught:
        way(kube.admin, manifest, place, dryRun="All")
    error = refused_fields(caught.value.message)
    assert error is not None, caught.value
    assert "came with KubeRay 1.7" in str(error)


@pytest.fixture(scope="module")
def newer(kube: Node) -> Iterator[Node]:
    """The node with the CRDs of KubeRay 1.7, as long as this module's tests need them."""
    folder = Path(os.environ.get(NEWER) or "/nonexistent")
    if not folder.is_dir():
        pytest.skip(f"{NEWER} names no folder of KubeRay 1.7's CRDs")
    kept = {}
    for plural in ("rayclusters", "rayjobs"):
        kept[plural] = kube.admin.get("customresourcedefinitions", f"{plural}.ray.io", of="apiextensions.k8s.io/v1")
        text = gzip.decompress((folder / f"ray.io_{plural}.yaml.gz").read_bytes())
        replace(kube.admin, plural, yaml.load(text, Loader=yaml.CSafeLoader)["spec"])
    yield kube
    for plural, crd in kept.items():
        replace(kube.admin, plural, crd["spec"])


def replace(api: Api, plural: str, spec: dict[str, Any]) -> None:
    there = api.get("customresourcedefinitions", f"{plural}.ray.io", of="apiextensions.k8s.io/v1")
    there["spec"]["versions"] = spec["versions"]
    api.call("PUT", f"{CRDS}/{plural}.ray.io", there)


@pytest.mark.parametrize("name", CASES)
def test_the_strict_dry_run_of_1_7_takes_all(newer: Node, place: str, name: str) -> None:
    manifest = CASES[name].manifest()
    said = manifest["spec"]
    # The server takes new definitions over a moment after it has said yes to them.
    if CASES[name].newer:
        sent = eventually(lambda: applied(newer.admin, manifest, place, dryRun="All"))
    else:
        sent = applied(newer.admin, manifest, place, dryRun="All")
    assert said.keys() <= sent["spec"].keys()


def eventually(call: Any, seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except ApiError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def waiting(groups: list[WorkerGroup], **fields: Any) -> KubeRayCluster:
    """Give a spec whose pods no scheduler takes: a resource without a load."""
    return KubeRayCluster(image="nobody/ray:2.60.0", scheduler_name="nobody", worker_groups=groups, **fields)


def test_scaling_is_of_a_second_manager_and_a_later_apply_keeps_it(kube: Node, namespace: str) -> None:
    spec = waiting([WorkerGroup(name="a", replicas=1), WorkerGroup(name="b", replicas=1)])
    manifest = cluster_manifest(spec, "scaled", Marks.of(OWNER, spec.fingerprint()))
    applied(kube.admin, manifest, namespace)
    path = kube.admin.path("rayclusters", "scaled", namespace, RAY)
    live = kube.admin.get("rayclusters", "scaled", namespace, RAY)
    wish = waiting(
        [WorkerGroup(name="b", replicas=3, min_replicas=1, max_replicas=4)], enable_in_tree_autoscaling=False
    )
    patch = scaling_patch(wish, live)
    query = {"fieldManager": "airflow-provider-air-scaling", "fieldValidation": "Strict"}
    kube.admin.call("PATCH", path, patch, kind="json-patch+json", **query)

    def sizes() -> dict[str, tuple[int, int, int]]:
        groups = kube.admin.get("rayclusters", "scaled", namespace, RAY)["spec"]["workerGroupSpecs"]
        return {one["groupName"]: (one["replicas"], one["minReplicas"], one["maxReplicas"]) for one in groups}

    assert sizes() == {"a": (1, 0, 2**31 - 1), "b": (3, 1, 2**31 - 1)}
    live = kube.admin.get("rayclusters", "scaled", namespace, RAY)
    assert scaling_patch(wish, live) == []
    # The list is one field for the server: whoever wrote it last has it whole.
    with pytest.raises(ApiError) as caught:
        applied(kube.admin, manifest, namespace)
    assert caught.value.status == 409
    assert "airflow-provider-air-scaling" in caught.value.message
    applied(kube.admin, with_live_replicas(manifest, live), namespace, force="true")
    assert sizes() == {"a": (1, 0, 2**31 - 1), "b": (3, 1, 2**31 - 1)}


def test_a_group_that_moved_in_between_is_not_scaled(kube: Node, namespace: str) -> None:
    spec = waiting([WorkerGroup(name="a"), WorkerGroup(name="b")])
    manifest = cluster_manifest(spec, "moved", Marks.of(OWNER, spec.fingerprint()))
    live = applied(kube.admin, manifest, namespace)
    patch = scaling_patch(waiting([WorkerGroup(name="b", replicas=5)]), live)
    manifest["spec"]["workerGroupSpecs"].reverse()
    applied(kube.admin, manifest, namespace, force="true")
    with pytest.raises(ApiError) as caught:
        kube.admin.call("PATCH", kube.admin.path("rayclusters", "moved", namespace, RAY), patch, kind="json-patch+json")
    assert caught.value.status == 422
    # By these words it is told from what else is refused by 422.
    assert "the server rejected our request due to an error in our request" in caught.value.message


def test_what_the_operator_refuses_has_no_status_and_ours_is_told_before(kube: Node, namespace: str) -> None:
    """The rules are the operator's: what one of them refuses is taken by the kube-apiserver, and never runs."""
    spec = waiting([WorkerGroup()])
    manifest = cluster_manifest(spec, "refused", Marks.of(OWNER, spec.fingerprint()))
    manifest["spec"]["rayVersion"] = "2.51.0"
    applied(kube.admin, manifest, namespace)
    kube.admin.wait(
        "rayclusters",
        "refused",
        namespace,
        of=RAY,
        until=lambda _: any(
            "minimum Ray version is 2.52.0" in event for event in kube.admin.events(namespace, "refused")
        ),
    )
    seen = kube.admin.get("rayclusters", "refused", namespace, RAY)
    assert not seen.get("status", {}).get("conditions")


def test_a_restricted_namespace_takes_the_restricted_preset_with_all_that_a_pod_can_have(
    kube: Node, namespace: str
) -> None:
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    kube.admin.patch("namespaces", namespace, "", enforce)
    in_namespace = {"namespace": namespace}
    kube.admin.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "keys", **in_namespace},
            "stringData": {"token": "t1"},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", **in_namespace},
            "data": {"MODE": "m1"},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ray", **in_namespace}},
    )
    spec = KubeRayCluster(
        manifest={
            "metadata": {"labels": {"from": "manifest"}},
            "spec": {"headGroupSpec": {"template": {"metadata": {"annotations": {"from": "manifest"}}}}},
        },
        image=kube.ray_image,
        image_pull_policy="IfNotPresent",
        image_pull_secrets=["registry"],
        annotations={"example.com/owner": "Ada"},
        head_service_annotations={"example.com/dns": "ray"},
        upgrade_strategy={"type": "None"},
        security_context="restricted",
        pod_security_context={"run_as_user": 1000, "fs_group": 1000},
        service_account_name="ray",
        env={"TOKEN": {"secret_key_ref": {"name": "keys", "key": "token"}}, "PLAIN": "p1"},
        env_from=[{"config_map_ref": {"name": "settings"}}],
        volumes=[{"name": "scratch", "empty_dir": {}}, {"name": "keys", "secret": {"secret_name": "keys"}}],
        volume_mounts=[{"name": "scratch", "mount_path": "/scratch"}, {"name": "keys", "mount_path": "/keys"}],
        node_selector={"kubernetes.io/os": "linux"},
        tolerations=[{"operator": "Exists"}],
        affinity={"node_affinity": {"required_during_scheduling_ignored_during_execution": LINUX}},
        topology_spread_constraints=[
            {"max_skew": 1, "topology_key": "kubernetes.io/hostname", "when_unsatisfiable": "ScheduleAnyway"}
        ],
        termination_grace_period_seconds=5,
        pod_labels={"team": "ml"},
        pod_annotations={"example.com/why": "a test"},
        head=HeadGroup(
            cpu=1,
            memory="2Gi",
            requests={"cpu": "200m", "memory": "1Gi"},
            limits={"ephemeral-storage": "4Gi"},
            labels={"zone": "a"},
            resources={"CPU": 0, "front": 2},
            ray_start_params={"log-color": False},
            template={"spec": {"hostname": "front"}},
        ),
        worker_groups=[
            WorkerGroup(
                name="small", max_replicas=1, cpu="200m", memory="1Gi", ephemeral_storage="1Gi", idle_timeout_seconds=30
            )
        ],
        autoscaler_options={"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}},
    )
    spec.validate()
    manifest = cluster_manifest(spec, "restricted", Marks.of(OWNER, spec.fingerprint(), 2e9))
    applied(kube.admin, manifest, namespace)
    ready = kube.admin.wait(
        "rayclusters",
        "restricted",
        namespace,
        of=RAY,
        seconds=300,
        until=lambda seen: condition(seen, "HeadPodReady") == "True",
    )
    assert Marks.read(ready) == Marks.of(OWNER, spec.fingerprint(), 2e9)
    (pod,) = kube.admin.items("pods", namespace, labelSelector=selector_of(OWNER))
    name = pod["metadata"]["name"]
    assert {one["name"] for one in pod["spec"]["containers"]} == {"ray-head", "autoscaler"}
    assert pod["metadata"]["labels"]["zone"] == "a"
    assert pod["metadata"]["labels"]["team"] == "ml"
    assert pod["metadata"]["annotations"]["from"] == "manifest"
    (ray,) = (one for one in pod["spec"]["containers"] if one["name"] == "ray-head")
    # What Ray schedules is not what the container has.
    for words in ("--num-cpus=0", '"front":2', "--log-color=False"):
        assert words in ray["args"][0]
    assert ray["resources"]["limits"] == {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "4Gi"}
    service = kube.admin.get("services", ready["status"]["head"]["serviceName"], namespace)
    assert service["metadata"]["annotations"]["example.com/dns"] == "ray"
    shown = kube.kubectl(
        "exec",
        "-n",
        namespace,
        name,
        "-c",
        "ray-head",
        "--",
        "sh",
        "-c",
        'echo "$TOKEN $PLAIN $MODE"; cat /keys/token; echo " $(hostname) $(id -u)"; touch /scratch/x',
    )
    assert shown.split() == ["t1", "p1", "m1", "t1", "front", "1000"]
