from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.checks import CHECKS
from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.spec import SAME_CLUSTER, KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterSpec, HasManifest, ReadsFiles
from airflow_provider_air.errors import ConfigurationError
from tests.unit.clusters.kuberay.cases import CASES, IMAGE, KEY, RAW


def test_the_default_spec_is_valid_and_satisfies_the_contracts() -> None:
    spec = KubeRayCluster()
    spec.validate()
    assert isinstance(spec, ClusterSpec)
    assert isinstance(spec, ReadsFiles)
    assert isinstance(spec, HasManifest)


@pytest.mark.parametrize("name", CASES)
def test_each_case_is_valid(name: str) -> None:
    CASES[name].spec.validate()


@pytest.mark.parametrize("kind", [KubeRayCluster, HeadGroup, WorkerGroup])
def test_each_field_is_rendered_and_checked(kind: Any) -> None:
    names = {one.name for one in dataclasses.fields(kind)}
    assert set(kind.template_fields) == names
    assert names - CHECKS.keys() - {"head", "worker_groups"} == set()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", 5),
        ("kubernetes_conn_id", ""),
        ("namespace", "Upper"),
        ("namespace", "a" * 64),
        ("image", ""),
        ("image", " x"),
        ("image_pull_policy", "always"),
        ("image_pull_secrets", "registry"),
        ("image_pull_secrets", [{"name": "registry"}]),
        ("env", {"A": True}),
        ("env", {"A": None}),
        ("env", {"A": {}}),
        ("env", {"A=B": "1"}),
        ("env", {"RAY_AUTH_TOKEN": "x"}),
        ("env", [{"name": "A", "value": "1"}]),
        ("env_from", {"secret_ref": {}}),
        ("volumes", [1]),
        ("volume_mounts", "data"),
        ("node_selector", {"pool": 1}),
        ("node_selector", {"a b": "c"}),
        ("tolerations", {"key": "a"}),
        ("affinity", []),
        ("termination_grace_period_seconds", -1),
        ("security_context", "baseline"),
        ("pod_labels", {"a": "b c"}),
        ("pod_annotations", {"a": 1}),
        ("workers", -1),
        ("workers", "2"),
        ("workers", 1.5),
        ("workers", True),
        ("enable_in_tree_autoscaling", "yes"),
        ("auth_options", "token"),
        ("labels", {"a/b/c": "d"}),
        ("annotations", {"": "d"}),
        ("manifest", 5),
        ("manifest", ""),
        ("scope", "task"),
        ("reach", "vpn"),
        ("reach", "ray://head:10001"),
        ("reach", "https://"),
        ("ttl_seconds", 0),
        ("idle_timeout_seconds", float("nan")),
        ("startup_timeout_seconds", None),
        ("deadline_seconds", 2**31),
        ("ttl_seconds", 10**400),
    ],
)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"KubeRayCluster\({field}\b"):
        KubeRayCluster(**{field: value}).validate()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpu", "two"),
        ("cpu", 0),
        ("cpu", True),
        ("memory", "4gb"),
        ("memory", -1),
        ("ephemeral_storage", "1 Gi"),
        ("gpus", 0.5),
        ("gpu_resource", ""),
        ("requests", {"cpu": "x"}),
        ("limits", ["cpu"]),
        ("resources", {"CPU": None}),
        ("labels", {"a": "ü"}),
        ("ray_start_params", {"a": {}}),
        ("template", []),
        ("name", ""),
        ("name", "a b"),
        ("name", "gpu_a100"),
        ("name", "a..b"),
        ("name", "small.-x"),
        ("name", "a" * 64),
        ("replicas", -1),
        ("min_replicas", "1x"),
        ("max_replicas", 2**31),
        ("idle_timeout_seconds", -3),
        ("idle_timeout_seconds", 2.5),
        ("num_of_hosts", 0),
        ("tpus", "four"),
        ("priority", 1.5),
        ("image", ""),
    ],
)
@pytest.mark.parametrize("as_data", [False, True])
def test_a_wrong_field_of_a_group_is_named_with_the_group(field: str, value: Any, as_data: bool) -> None:
    fields = {field: value}
    group = fields if as_data else WorkerGroup(**fields)
    with pytest.raises(ConfigurationError, match=rf"worker_groups\[.*\]\.{field}\b"):
        KubeRayCluster(worker_groups=[group]).validate()
    if field in {one.name for one in dataclasses.fields(HeadGroup)}:
        with pytest.raises(ConfigurationError, match=rf"head\.{field}\b"):
            KubeRayCluster(head=fields if as_data else HeadGroup(**fields)).validate()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"head": 5}, r"head=5"),
        ({"head": {"gpu": 1}}, r"no field 'gpu'"),
        ({"worker_groups": "workers"}, r"worker_groups='workers'"),
        ({"worker_groups": [5]}, r"worker_groups\[0\]=5"),
        ({"worker_groups": [{}, {"replica": 1}]}, r"worker_groups\[1\]\) has no field 'replica'"),
        ({"worker_groups": [{}, {}]}, r"'workers' is there twice"),
        ({"workers": 2, "worker_groups": [{}]}, r"both 'workers' and 'worker_groups'"),
        ({"worker_groups": [{"min_replicas": 3, "max_replicas": 2}]}, r"at most max_replicas, 2"),
        ({"worker_groups": [{"replicas": 3, "max_replicas": 2}]}, r"between min_replicas and max_replicas, 0 and 2"),
        ({"labels": {"airflow-provider-air/task": "x"}}, r"by which we find"),
        ({"annotations": {"airflow-provider-air/owner": "x"}}, r"by which we find"),
        ({"labels": {"app.kubernetes.io/managed-by": "helm"}}, r"by which we find"),
        ({"pod_labels": {"app.kubernetes.io/managed-by": "helm"}}, r"pod_labels.*by which we find"),
        ({"image": "own:7"}, r"set 'ray_version'"),
        ({"manifest": {"kind": "RayJob"}}, r"is a RayJob"),
        ({"manifest": {"kind": "RayCluster", "apiVersion": "ray.io/v1alpha1"}}, r"v1alpha1"),
        ({"manifest": {"metadata": {"name": "n"}}}, r"metadata.name"),
        ({"manifest": {"metadata": {"labels": {"airflow-provider-air/task": "x"}}}}, r"by these we find"),
        ({"manifest": {"headGroupSpec": {}}}, r"no field 'headGroupSpec'"),
        ({"manifest": {"spec": []}}, r"spec must be an object"),
        ({"manifest": RAW, "image": "other:1"}, r"at spec.*|headGroupSpec.template.spec.containers\[ray-node\].image"),
        (
            {"autoscaler_options": {"idle_timeout_seconds": "1m"}},
            r"autoscalerOptions.idleTimeoutSeconds must be a whole",
        ),
        ({"autoscaler_options": {"env": {"A": "1"}}}, r"autoscalerOptions.env must be a list"),
        ({"gcs_fault_tolerance_options": {"storage": "1Gi"}}, r"gcsFaultToleranceOptions.storage must be an object"),
        ({"network_policy": {"worker_groups": {"workers": {}}}}, r"networkPolicy.workerGroups must be a list"),
        ({"volumes": [{"name": {}}], "manifest": RAW}, r"spec.volumes\[0\].name must be text"),
        (
            {"security_context": {"capabilities": "NET_ADMIN"}, "worker_groups": [{"security_context": "restricted"}]},
            r"securityContext.capabilities must be an object",
        ),
        ({"head": {"image": "a:1", "template": {"spec": {"containers": [{"image": "b:1"}]}}}}, r"'template'.*image"),
    ],
)
def test_fields_that_cannot_be_together_are_told(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        KubeRayCluster(**fields).validate()


def test_the_value_of_a_variable_is_never_in_a_message() -> None:
    for env in ({"RAY_AUTH_TOKEN": "s3cret", "A": "s3cret"}, {"B": True, "A": "s3cret"}, {"A=": "s3cret"}):
        with pytest.raises(ConfigurationError) as caught:
            KubeRayCluster(env=env).validate()
        assert "s3cret" not in str(caught.value)


def test_a_connections_json_says_all() -> None:
    said = {
        "image": IMAGE,
        "head": {"cpu": "500m"},
        "worker_groups": [{"name": "a", "replicas": "2", "gpus": 1, "num_of_hosts": "1"}],
        "auth_options": {"secretName": "token"},
        "ttl_seconds": 60,
    }
    by_data = KubeRayCluster(**json.loads(json.dumps(said)))
    by_data.validate()
    by_hand = KubeRayCluster(
        image=IMAGE,
        head=HeadGroup(cpu="500m"),
        worker_groups=[WorkerGroup(name="a", replicas=2, gpus=1, num_of_hosts=1)],
        auth_options={"secret_name": "token"},
    )
    assert by_data.fingerprint() == by_hand.fingerprint()
    assert by_data.groups() == by_hand.groups()


@pytest.mark.parametrize(
    "other",
    [
        {"name": "other"},
        {"namespace": "other"},
        {"scope": "dag"},
        {"reach": "proxy"},
        {"ttl_seconds": None},
        {"idle_timeout_seconds": 5.0},
        {"startup_timeout_seconds": 5.0},
        {"deadline_seconds": 5.0},
        {"kubernetes_conn_id": "other"},
        {"workers": 3},
        {"worker_groups": [WorkerGroup(replicas=7)]},
        {"worker_groups": [{"name": "workers"}]},
        {"env": {}},
        {"tolerations": []},
    ],
)
def test_what_does_not_make_another_cluster(other: dict[str, Any]) -> None:
    assert KubeRayCluster(**other).fingerprint() == KubeRayCluster().fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        {"image": IMAGE},
        {"ray_version": "2.59.0"},
        {"workers": 0},
        {"worker_groups": [WorkerGroup(name="other")]},
        {"worker_groups": [WorkerGroup(cpu=2)]},
        {"head": {"memory": "8Gi"}},
        {"enable_in_tree_autoscaling": True},
        {"enable_in_tree_autoscaling": False},
        {"env": {"A": "1"}},
        {"auth_options": {"mode": "disabled"}},
        {"tolerations": [{"key": "a"}]},
        {"labels": {"a": "b"}},
        {"manifest": {"spec": {"suspend": False}}},
    ],
)
def test_what_makes_another_cluster(other: dict[str, Any]) -> None:
    assert KubeRayCluster(**other).fingerprint() != KubeRayCluster().fingerprint()


def test_how_words_are_spelled_makes_no_other_cluster() -> None:
    snake = KubeRayCluster(head={"template": {"spec": {"host_network": True}}}, auth_options={"secret_name": "s"})
    camel = KubeRayCluster(head={"template": {"spec": {"hostNetwork": True}}}, auth_options={"secretName": "s"})
    assert snake.fingerprint() == camel.fingerprint()


def test_all_that_makes_no_other_cluster_is_a_field() -> None:
    assert {one.name for one in dataclasses.fields(KubeRayCluster)} >= SAME_CLUSTER


@pytest.mark.parametrize("manifest", [{"spec": {}}, RAW])
def test_a_manifest_says_all_groups_itself(manifest: Any) -> None:
    assert KubeRayCluster(manifest=manifest).groups() == []


def test_what_would_be_sent_can_be_read_before() -> None:
    spec = KubeRayCluster(namespace="ray", image=IMAGE)
    cluster = spec.to_yaml(KEY, is_owned=False)
    assert "kind: RayCluster\n" in cluster
    assert "namespace: ray\n" in cluster
    job = spec.to_yaml(KEY, is_owned=True)
    assert "kind: RayJob\n" in job
    assert "jobId" not in job
    named = KubeRayCluster(name="features", image=IMAGE).to_yaml(KEY, is_owned=True)
    assert "kind: RayCluster\n" in named
    assert "name: features\n" in named
    with pytest.raises(ConfigurationError, match="image"):
        KubeRayCluster(image="").to_yaml(KEY, is_owned=False)
