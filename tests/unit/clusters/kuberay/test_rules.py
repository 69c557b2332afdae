"""What KubeRay's operator would refuse is refused by us, with a sentence that names it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay.manifest import Deadlines, cluster_manifest, job_manifest
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.option_rules import NEW_IN_1_7, refused_fields
from airflow_provider_air.clusters.kuberay.rules import QUEUE_LABEL, check_resource, problems_of
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.errors import ConfigurationError
from tests.unit.clusters.kuberay.schemas import schema_of

MARKS = Marks.of(ClusterOwner("deployment"), "hash")
GROUP = {"template": {"spec": {"containers": [{"name": "ray", "image": "i"}]}}}


def cluster(**spec: Any) -> dict[str, Any]:
    whole = {
        "headGroupSpec": copy.deepcopy(GROUP),
        "workerGroupSpecs": [{"groupName": "a", **copy.deepcopy(GROUP)}],
        "rayVersion": "2.60.0",
        "authOptions": {"mode": "token"},
        **spec,
    }
    return {"kind": "RayCluster", "metadata": {"name": "n"}, "spec": whole}


def head(**more: Any) -> dict[str, Any]:
    return {"headGroupSpec": {**copy.deepcopy(GROUP), **more}}


def head_with(**env: str) -> dict[str, Any]:
    container = {"name": "ray", "env": [{"name": name, "value": value} for name, value in env.items()]}
    return {"headGroupSpec": {"template": {"spec": {"containers": [container]}}}}


def worker(**more: Any) -> dict[str, Any]:
    return {"workerGroupSpecs": [{"groupName": "a", **copy.deepcopy(GROUP), **more}]}


def never_restarted(policy: str) -> dict[str, Any]:
    return {"template": {"spec": {"restartPolicy": policy, "containers": [{"name": "ray"}]}}}


def mounted(**mount: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "ray", "volumeMounts": [mount]}]}}}


SCALED = {"enableInTreeAutoscaling": True, "autoscalerOptions": {"version": "v2"}}
ROCKS = {"backend": "rocksdb"}
REDIS = {"redisAddress": "r:6379"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    (head(template={"spec": {"containers": []}}), "the head has no container"),
    (worker(template={"spec": {"containers": []}}), "group a has no container"),
    (head(resources={"CPU": "0"}, rayStartParams={"num-cpus": "0"}), "the head has resources and, in rayStartParams"),
    (worker(resources={"x": "1"}, rayStartParams={"resources": "{}"}), "group a has resources and, in rayStartParams"),
    (worker(rayStartParams={"labels": "a=b"}), "group a has labels in rayStartParams"),
    (worker(labels={"a b": "c"}), "label a b=c"),
    (worker(labels={"a": "c" * 64}), "label a=c"),
    (worker(groupName="gpu_a100"), "group gpu_a100 has no name for pods, which would be called n-gpu_a100-worker-…"),
    (worker(groupName="small.-x"), "group small.-x has no name for pods"),
    (worker(minReplicas=-1), "negative minReplicas"),
    (worker(maxReplicas=-1), "negative minReplicas or maxReplicas"),
    (worker(minReplicas=3, maxReplicas=2), "minReplicas 3 greater than maxReplicas 2"),
    (worker(idleTimeoutSeconds=5), "only the autoscaler v2 knows"),
    ({**worker(idleTimeoutSeconds=5), "enableInTreeAutoscaling": True}, "only the autoscaler v2 knows"),
    ({**worker(idleTimeoutSeconds=-5), **SCALED}, "negative idleTimeoutSeconds"),
    (head_with(RAY_REDIS_ADDRESS="r"), "RAY_REDIS_ADDRESS is set without gcsFaultToleranceOptions"),
    ({**head_with(RAY_REDIS_ADDRESS="r"), "gcsFaultToleranceOptions": REDIS}, "RAY_REDIS_ADDRESS and gcsFault"),
    ({**head_with(REDIS_PASSWORD="p"), "gcsFaultToleranceOptions": REDIS}, "REDIS_PASSWORD and gcsFault"),
    (
        {**head(rayStartParams={"redis-password": "p"}), "gcsFaultToleranceOptions": REDIS},
        "redis-password in rayStartParams",
    ),
    (head(rayStartParams={"redis-username": "u"}), "redis user name"),
    (head_with(REDIS_USERNAME="u"), "redis user name"),
    (head_with(RAY_enable_autoscaler_v2="1"), "RAY_enable_autoscaler_v2 is set without enableInTreeAutoscaling"),
    ({**head_with(RAY_enable_autoscaler_v2="0"), **SCALED}, "are both set: use only the former"),
    ({**worker(suspend=True), **SCALED}, "group a cannot be suspended"),
    ({**head(**never_restarted("Always")), **SCALED}, "restartPolicy of the head"),
    ({**worker(**never_restarted("OnFailure")), **SCALED}, "restartPolicy of group a"),
    ({"autoscalerOptions": {"idleTimeoutSeconds": -1}}, "autoscalerOptions.idleTimeoutSeconds"),
    ({"rayVersion": None}, "set 'ray_version'"),
    ({"rayVersion": "nightly"}, "set 'ray_version'"),
    ({"rayVersion": "2.51.9"}, "needs Ray 2.52.0 or later, and this is 2.51.9"),
    ({"rayVersion": "2.54.0", "authOptions": {"mode": "token", "enableK8sTokenAuth": True}}, "needs Ray 2.55.0"),
    ({"authOptions": {"enableK8sTokenAuth": True}}, "needs authOptions.mode 'token'"),
    (
        {"authOptions": {"mode": "token", "enableK8sTokenAuth": True, "secretName": "s"}},
        "secretName exclude each other",
    ),
    ({"gcsFaultToleranceOptions": {}}, "needs redisAddress"),
    ({"gcsFaultToleranceOptions": {**REDIS, "storage": {"size": "1Gi"}}}, "for the backend 'rocksdb' alone"),
    ({"gcsFaultToleranceOptions": {**ROCKS, **REDIS}}, "redisAddress is not for the backend 'rocksdb'"),
    ({"gcsFaultToleranceOptions": {**ROCKS, "externalStorageNamespace": "n"}}, "externalStorageNamespace is not for"),
    ({"gcsFaultToleranceOptions": {**ROCKS, "storage": {"claimName": "c", "size": "1Gi"}}}, "use only one of them"),
    ({**head_with(RAY_gcs_storage="x"), "gcsFaultToleranceOptions": ROCKS}, "RAY_gcs_storage, which KubeRay sets"),
    (
        {**head(**mounted(name="d", mountPath="/data/gcs")), "gcsFaultToleranceOptions": ROCKS},
        "mount d, which KubeRay makes at /data/gcs",
    ),
    (
        {
            **head(template={"spec": {"volumes": [{"name": "gcs-storage"}], "containers": [{"name": "ray"}]}}),
            "gcsFaultToleranceOptions": ROCKS,
        },
        "a volume gcs-storage",
    ),
    (
        {"networkPolicy": {"mode": "DenyAllEgress", "head": {"ingressRules": [{}]}}},
        "networkPolicy.head.ingressRules say nothing with mode DenyAllEgress",
    ),
    (
        {"networkPolicy": {"mode": "DenyAllIngress", "worker": {"egressRules": [{}]}}},
        "networkPolicy.worker.egressRules say nothing",
    ),
    ({"networkPolicy": {"workerGroups": [{"groupName": "b"}]}}, "'b', and there is no such group"),
    ({**worker(groupName="A"), "networkPolicy": {}}, "lower-case letters"),
    ({**head_with(RAY_USE_TLS="1"), "tlsOptions": {"enabled": True}}, "the head has the variable RAY_USE_TLS"),
    ({**worker(**mounted(name="ray-tls")), "tlsOptions": {"enabled": True}}, "group a has the mount ray-tls"),
    (
        {"tlsOptions": {"enabled": True}, "autoscalerOptions": {"env": [{"name": "RAY_TLS_CA_CERT"}]}},
        "the autoscaler has the variable RAY_TLS_CA_CERT",
    ),
    ({"historyServerOptions": {}}, "collectorOptions.image"),
    ({"historyServerOptions": {"collectorOptions": {"image": "i"}}}, "STORAGE_BACKEND"),
    ({"autoscalerOptions": {"env": [{"name": "KUBERAY_GEN_AUTOSCALER_START_CMD"}]}}, "which KubeRay sets"),
    ({**worker(priority=1), **SCALED, "rayVersion": "2.55.0"}, "needs Ray 2.56.0"),
    (worker(priority=1), "only the autoscaler v2 knows"),
]


@pytest.mark.parametrize(("spec", "sentence"), REFUSED)
def test_what_the_operator_refuses_is_refused_with_a_sentence(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_resource(cluster(**spec))
    assert sentence in str(caught.value)
    assert "KubeRay would refuse this RayCluster" in str(caught.value)


TAKEN: list[dict[str, Any]] = [
    {},
    {"authOptions": {"mode": "disabled"}, "rayVersion": None},
    {"authOptions": None},
    {"rayVersion": "v2.52.0"},
    {"rayVersion": "2.52.0rc1"},
    {"authOptions": {"mode": "token", "enableK8sTokenAuth": True}},
    {"authOptions": {"mode": "token", "secretName": "s"}},
    {**worker(idleTimeoutSeconds=0), **SCALED},
    {**worker(idleTimeoutSeconds=5), **head_with(RAY_enable_autoscaler_v2="true"), "enableInTreeAutoscaling": True},
    {**worker(minReplicas=0, maxReplicas=0), **SCALED},
    {**head(**never_restarted("Never")), **SCALED},
    head(**never_restarted("Always")),
    worker(suspend=True),
    head_with(RAY_enable_autoscaler_v2="0"),
    {"gcsFaultToleranceOptions": REDIS},
    {"gcsFaultToleranceOptions": {**ROCKS, "storage": {"claimName": "c", "subPath": "p"}}},
    {"networkPolicy": {"mode": "DenyAllIngress", "head": {"ingressRules": [{}]}, "workerGroups": [{"groupName": "a"}]}},
    {"networkPolicy": {"head": {"ingressRules": [{}], "egressRules": [{}]}}},
    {**head_with(RAY_USE_TLS="1"), "tlsOptions": {"enabled": False}},
    {**worker(priority=0)},
    {**worker(priority=2), **SCALED},
    worker(resources={"CPU": "2"}, rayStartParams={"log-color": "false"}),
    worker(groupName="Small.x"),
]


@pytest.mark.parametrize("spec", TAKEN)
def test_what_the_operator_takes_is_taken(spec: dict[str, Any]) -> None:
    assert list(problems_of(cluster(**spec))) == []


def test_an_annotation_may_switch_fault_tolerance_on() -> None:
    resource = cluster(**head_with(RAY_REDIS_ADDRESS="r"))
    resource["metadata"]["annotations"] = {"ray.io/ft-enabled": "True"}
    assert list(problems_of(resource)) == []
    resource["spec"]["gcsFaultToleranceOptions"] = REDIS
    assert any("ray.io/ft-enabled" in problem for problem in problems_of(resource))


def test_all_reasons_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"negative minReplicas.*redis user name.*2\.51\.0"):
        check_resource(cluster(**worker(minReplicas=-1), **head_with(REDIS_USERNAME="u"), rayVersion="2.51.0"))


@pytest.mark.parametrize(
    ("kind", "name", "sentence"),
    [
        ("RayCluster", "a" * 54, "at most 53"),
        ("RayJob", "a" * 48, "at most 47"),
        ("RayCluster", "2gpu", "start with a lower-case letter"),
        ("RayCluster", "A", "start with a lower-case letter"),
        ("RayCluster", "a-", "start with a lower-case letter"),
        ("RayCluster", "a.b", "start with a lower-case letter"),
        ("RayCluster", "", "start with a lower-case letter"),
    ],
)
def test_a_name_that_the_operator_would_not_take(kind: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        made(kind, KubeRayCluster(), name)


@pytest.mark.parametrize(("kind", "longest"), [("RayCluster", 53), ("RayJob", 47)])
def test_the_longest_name_is_taken(kind: str, longest: int) -> None:
    assert made(kind, KubeRayCluster(), "a" * longest)["metadata"]["name"] == "a" * longest


@pytest.mark.parametrize(("kind", "fits"), [("RayCluster", 43), ("RayJob", 37)])
def test_a_groups_name_that_kuberay_cuts_within_the_names_of_pods_ends_there_as_a_name_may(
    kind: str, fits: int
) -> None:
    """Of the names of a cluster and of a group it takes 50 letters; a RayJob's cluster has six letters more."""
    spec = KubeRayCluster(worker_groups=[{"name": "small.x"}])
    assert made(kind, spec, "a" * (fits - 1))
    with pytest.raises(ConfigurationError, match=r"group small.x has no name for pods.*-small\.-worker-"):
        made(kind, spec, "a" * fits)


def made(kind: str, spec: KubeRayCluster, name: str = "n") -> dict[str, Any]:
    if kind == "RayJob":
        return job_manifest(spec, name, MARKS, deadlines=Deadlines(1, 1))
    return cluster_manifest(spec, name, MARKS)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"upgrade_strategy": {"type": "Recreate"}}, "upgradeStrategy is for a RayCluster alone"),
        ({"auth_options": {"enable_k8s_token_auth": True}}, "enableK8sTokenAuth is for a RayCluster alone"),
    ],
)
def test_what_a_job_cannot_have(fields: dict[str, Any], sentence: str) -> None:
    assert made("RayCluster", KubeRayCluster(**fields))
    with pytest.raises(ConfigurationError, match=sentence):
        made("RayJob", KubeRayCluster(**fields))


@pytest.mark.parametrize(
    "change",
    [
        {"activeDeadlineSeconds": 0},
        {"preRunningDeadlineSeconds": 0},
        {"backoffLimit": 1},
        {"shutdownAfterJobFinishes": False},
    ],
)
def test_what_the_operator_refuses_of_a_job(change: dict[str, Any]) -> None:
    resource = made("RayJob", KubeRayCluster())
    resource["spec"] |= change
    with pytest.raises(ConfigurationError, match="KubeRay would refuse this RayJob"):
        check_resource(resource)


@pytest.mark.parametrize("kind", ["RayCluster", "RayJob"])
def test_a_queue_and_in_tree_autoscaling_exclude_each_other(kind: str) -> None:
    labels = {QUEUE_LABEL: "team"}
    assert made(kind, KubeRayCluster(labels=labels))["metadata"]["labels"][QUEUE_LABEL] == "team"
    with pytest.raises(ConfigurationError, match="a queue admits a fixed size"):
        made(kind, KubeRayCluster(labels=labels, worker_groups=[{"max_replicas": 3}]))


def test_the_fields_of_1_7_are_those_that_1_6_1_has_not() -> None:
    def new_in(newer: Any, older: Any, path: str = "") -> set[str]:
        found = set()
        for name, one in newer.get("properties", {}).items():
            there = older.get("properties", {}).get(name)
            # A pod's template is as new as the Kubernetes that an operator is built with.
            if there is None:
                found.add(path + name)
            elif name != "template":
                found |= new_in(one.get("items", one), there.get("items", there), f"{path}{name}.")
        return found

    newer, older = (schema_of("RayCluster", version)["properties"]["spec"] for version in ("1.7", "1.6.1"))
    assert new_in(newer, older) == set(NEW_IN_1_7)


TO_A_CREATION = (
    'RayCluster in version "v1" cannot be handled as a RayCluster: strict decoding error: unknown field "{}"'
)
TO_AN_APPLY = "failed to create typed patch object (/n; ray.io/v1, Kind=RayCluster): .{}: field not declared in schema"


@pytest.mark.parametrize("message", [TO_A_CREATION, TO_AN_APPLY])
@pytest.mark.parametrize("field", NEW_IN_1_7)
def test_a_field_that_the_installed_crds_have_not_is_named_with_the_version(field: str, message: str) -> None:
    path = f"spec.{field}".replace("workerGroupSpecs", "workerGroupSpecs[0]")
    error = refused_fields(message.format(path))
    assert error is not None
    assert f"{path} came with KubeRay 1.7" in str(error)


def test_each_refused_field_of_an_apply_is_named() -> None:
    error = refused_fields(
        "failed to create typed patch object (/n; ray.io/v1, Kind=RayCluster): errors:\n"
        "    .spec.workerGroupSpecs[0].priority: field not declared in schema\n"
        "    .spec.imagee: field not declared in schema"
    )
    assert error is not None
    assert "no field spec.workerGroupSpecs[0].priority, spec.imagee" in str(error)


def test_a_field_that_no_version_has_is_named_too() -> None:
    error = refused_fields(
        'strict decoding error: unknown field "spec.imagee", unknown field "spec.rayClusterSpec.tlsOptions"'
    )
    assert error is not None
    assert "no field spec.imagee, spec.rayClusterSpec.tlsOptions" in str(error)
    assert ". spec.rayClusterSpec.tlsOptions came with" in str(error)
    error = refused_fields('unknown field "spec.imagee"')
    assert error is not None
    assert "1.7" not in str(error)


def test_another_refusal_is_not_about_fields() -> None:
    assert refused_fields("spec.workerGroupSpecs[0].maxReplicas: Invalid value") is None
