"""Specs whose manifests are kept beside the tests, so that a change of what is sent is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup
from airflow_provider_air.clusters.kuberay.manifest import Deadlines, cluster_manifest, job_manifest
from airflow_provider_air.clusters.kuberay.marks import Marks
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.names import TaskKey

KEY = TaskKey("deployment", "flights", "manual__2026-11-29", "train", 3)
IMAGE = "registry.example.com/ray:2.60.0"


def secret(name: str, key: str) -> dict[str, Any]:
    return {"secret_key_ref": {"name": name, "key": key}}


@dataclass(frozen=True)
class Case:
    """
    :param newer: it has fields that KubeRay 1.6.1 has not
    :param is_job: it is the RayJob of a task's own cluster
    """

    spec: KubeRayCluster
    newer: bool = False
    is_job: bool = False

    def manifest(self) -> dict[str, Any]:
        marks = Marks.of(ClusterOwner(KEY.deployment, KEY), "0123456789abcdef", 1_800_000_000, scope="global")
        if self.is_job:
            marks = Marks.of(marks.owner, marks.spec_hash, marks.expires_at, "air-flights-train-1")
            return job_manifest(self.spec, "flights-train", marks, deadlines=Deadlines(900, 43_200))
        return cluster_manifest(self.spec, "flights", marks)


RAW: Mapping[str, Any] = {
    "apiVersion": "ray.io/v1",
    "kind": "RayCluster",
    "metadata": {"labels": {"team": "ml"}},
    "spec": {
        "rayVersion": "2.55.1",
        "headGroupSpec": {
            "rayStartParams": {"dashboard-host": "0.0.0.0"},
            "template": {"spec": {"containers": [{"name": "ray-node", "image": "registry.example.com/own:7"}]}},
        },
        "workerGroupSpecs": [
            {
                "groupName": "small",
                "replicas": 2,
                "minReplicas": 1,
                "maxReplicas": 4,
                "rayStartParams": {},
                "template": {"spec": {"containers": [{"name": "node", "image": "registry.example.com/own:7"}]}},
            }
        ],
    },
}

CASES: Mapping[str, Case] = {
    "default_cluster": Case(KubeRayCluster()),
    "default_job": Case(KubeRayCluster(), is_job=True),
    "head_alone": Case(KubeRayCluster(workers=0, image=IMAGE, head=HeadGroup(cpu="500m", memory=2**31))),
    "groups": Case(
        KubeRayCluster(
            image=IMAGE,
            image_pull_policy="IfNotPresent",
            head=HeadGroup(cpu=2, memory="8Gi", resources={"CPU": 0}, ray_start_params={"log-color": False}),
            worker_groups=[
                WorkerGroup(name="cpu", replicas=2, cpu=4, memory="16Gi", requests={"cpu": "3500m"}),
                WorkerGroup(
                    name="gpu",
                    replicas=1,
                    gpus=2,
                    image="registry.example.com/ray:2.60.0-gpu",
                    ephemeral_storage="50Gi",
                    limits={"example.com/fpga": 1},
                    labels={"zone": "a"},
                    resources={"accelerated": 1},
                ),
                {"name": "amd", "replicas": "1", "gpus": 1, "gpu_resource": "amd.com/gpu"},
            ],
        )
    ),
    "autoscaled": Case(
        KubeRayCluster(
            image=IMAGE,
            autoscaler_options={"idle_timeout_seconds": 60, "upscaling_mode": "Conservative"},
            worker_groups=[
                WorkerGroup(name="spot", min_replicas=0, max_replicas=10, idle_timeout_seconds=30),
                WorkerGroup(name="steady", min_replicas=1, max_replicas=3, replicas=2),
            ],
        )
    ),
    "autoscaled_job": Case(
        KubeRayCluster(image=IMAGE, enable_in_tree_autoscaling=True, worker_groups=[WorkerGroup(max_replicas=4)]),
        is_job=True,
    ),
    "tpus": Case(
        KubeRayCluster(
            image=IMAGE,
            worker_groups=[
                WorkerGroup(
                    name="tpu",
                    tpus=4,
                    num_of_hosts=2,
                    node_selector={
                        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
                        "cloud.google.com/gke-tpu-topology": "2x4",
                    },
                )
            ],
        )
    ),
    "scheduling": Case(
        KubeRayCluster(
            image=IMAGE,
            node_selector={"pool": "ray"},
            tolerations=[{"key": "ray", "operator": "Exists", "effect": "NoSchedule"}],
            priority_class_name="batch",
            runtime_class_name="gvisor",
            scheduler_name="volcano",
            service_account_name="ray",
            termination_grace_period_seconds=120,
            topology_spread_constraints=[
                {"max_skew": 1, "topology_key": "zone", "when_unsatisfiable": "ScheduleAnyway"},
            ],
            worker_groups=[
                WorkerGroup(
                    tolerations=[{"key": "spot", "operator": "Exists"}],
                    node_selector={"spot": "true"},
                    priority_class_name="low",
                    affinity={
                        "pod_anti_affinity": {
                            "required_during_scheduling_ignored_during_execution": [
                                {
                                    "label_selector": {"match_labels": {"ray.io/group": "workers"}},
                                    "topology_key": "kubernetes.io/hostname",
                                }
                            ]
                        }
                    },
                )
            ],
        )
    ),
    "environment": Case(
        KubeRayCluster(
            image=IMAGE,
            image_pull_secrets=["registry"],
            env={"REGION": "eu", "LEVEL": "info", "TOKEN": secret("keys", "token"), "THREADS": 4},
            env_from=[{"config_map_ref": {"name": "settings"}}, {"secret_ref": {"name": "cloud", "optional": True}}],
            volumes=[
                {"name": "data", "persistent_volume_claim": {"claim_name": "data"}},
                {"name": "scratch", "empty_dir": {"size_limit": "10Gi"}},
            ],
            volume_mounts=[
                {"name": "data", "mount_path": "/data", "read_only": True},
                {"name": "scratch", "mount_path": "/scratch"},
            ],
            pod_labels={"team": "ml"},
            pod_annotations={"sidecar.istio.io/inject": "false"},
            labels={"team": "ml"},
            annotations={"example.com/owner": "Ada Lovelace"},
            worker_groups=[
                WorkerGroup(
                    env={"LEVEL": "debug"},
                    volumes=[{"name": "scratch", "empty_dir": {}}],
                    volume_mounts=[{"name": "scratch", "mount_path": "/scratch"}],
                )
            ],
        )
    ),
    "restricted": Case(
        KubeRayCluster(
            image=IMAGE,
            security_context="restricted",
            pod_security_context={"run_as_user": 1000, "fs_group": 100},
            worker_groups=[WorkerGroup(min_replicas=0, max_replicas=2)],
        )
    ),
    "security_context": Case(
        KubeRayCluster(
            image=IMAGE,
            security_context={"capabilities": {"add": ["SYS_PTRACE"]}, "run_as_user": 1000},
            worker_groups=[WorkerGroup(security_context="restricted")],
        )
    ),
    "redis": Case(
        KubeRayCluster(
            name="standing",
            image=IMAGE,
            gcs_fault_tolerance_options={
                "redis_address": "redis:6379",
                "redis_password": {"value_from": secret("redis", "password")},
                "external_storage_namespace": "flights",
            },
            upgrade_strategy={"type": "None"},
        )
    ),
    "head_service": Case(
        KubeRayCluster(
            image=IMAGE,
            head_service_annotations={"example.com/dns": "ray"},
            head=HeadGroup(
                service_type="LoadBalancer",
                enable_ingress=True,
                head_service={
                    "metadata": {"name": "ray-of-flights"},
                    "spec": {"ports": [{"name": "dashboard", "port": 8265, "target_port": "dashboard"}]},
                },
            ),
        )
    ),
    "own_token": Case(KubeRayCluster(image=IMAGE, auth_options={"secret_name": "ray-token"})),
    "kubernetes_token": Case(KubeRayCluster(image=IMAGE, auth_options={"enable_k8s_token_auth": True})),
    "no_token": Case(KubeRayCluster(image="registry.example.com/ray:old", auth_options={"mode": "disabled"})),
    "template": Case(
        KubeRayCluster(
            image=IMAGE,
            head={
                "template": {
                    "metadata": {"labels": {"tier": "head"}},
                    "spec": {
                        "share_process_namespace": True,
                        "init_containers": [{"name": "fetch", "image": "busybox:1", "command": ["true"]}],
                        "containers": [
                            {"lifecycle": {"pre_stop": {"exec": {"command": ["ray", "stop"]}}}},
                            {"name": "proxy", "image": "envoy:1", "ports": [{"container_port": 9000}]},
                        ],
                    },
                }
            },
            worker_groups=[
                WorkerGroup(template={"spec": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}})
            ],
        )
    ),
    "manifest": Case(
        KubeRayCluster(
            manifest=RAW,
            env={"REGION": "eu"},
            labels={"stage": "test"},
            worker_groups=[WorkerGroup(name="big", replicas=1, cpu=8, image="registry.example.com/own:7")],
        )
    ),
    "manifest_job": Case(KubeRayCluster(manifest={"spec": RAW["spec"]}), is_job=True),
    "rocksdb": Case(
        KubeRayCluster(
            image=IMAGE,
            gcs_fault_tolerance_options={
                "backend": "rocksdb",
                "storage": {"size": "2Gi", "storage_class_name": "fast", "deletion_policy": "Retain"},
            },
        ),
        newer=True,
    ),
    "network_policy": Case(
        KubeRayCluster(
            image=IMAGE,
            network_policy={
                "mode": "DenyAllIngress",
                "head": {
                    "ingress_rules": [
                        {
                            "from": [{"namespace_selector": {"match_labels": {"name": "airflow"}}}],
                            "ports": [{"port": 8265, "protocol": "TCP"}],
                        }
                    ]
                },
                "worker_groups": [{"group_name": "workers"}],
            },
        ),
        newer=True,
    ),
    "tls": Case(KubeRayCluster(image=IMAGE, tls_options={"enabled": True}), newer=True, is_job=True),
    "ingress": Case(
        KubeRayCluster(
            image=IMAGE, head=HeadGroup(enable_ingress=True, ingress_options={"host": "ray.example.com", "path": "/"})
        ),
        newer=True,
    ),
    "history": Case(
        KubeRayCluster(
            image=IMAGE,
            history_server_options={
                "collector_options": {
                    "image": "collector:1",
                    "env": [
                        {"name": "STORAGE_BACKEND", "value": "S3"},
                        {"name": "S3_REGION", "value": "eu-west-1"},
                    ],
                }
            },
        ),
        newer=True,
    ),
    "priorities": Case(
        KubeRayCluster(
            image=IMAGE,
            ray_version="2.60.0",
            namespace="ray",
            worker_groups=[
                WorkerGroup(name="first", priority=10, max_replicas=2),
                WorkerGroup(name="then", priority=1, max_replicas=2),
            ],
        ),
        newer=True,
    ),
}
