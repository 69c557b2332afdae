"""
Run Ray from Airflow: clusters, jobs and AI workloads, exactly once and without a waiting worker.

Folders, from the top: ``operators sensors decorators`` (what a DAG author writes), ``triggers links``,
``hooks`` (what a DAG author calls), ``connections`` (what Airflow's connections say), ``runs`` (how a run lives),
``workloads attachments clusters storage`` (plain Python), ``contracts`` (what these say to each other), ``ray_api``
(Ray's HTTP), ``drivers`` (code that is shipped to the cluster).
"""

from __future__ import annotations

import importlib
from typing import Any

# Public names load on first use: Airflow imports this package at discovery, long before anybody uses Ray.
_NAMES = {
    "ClusterRef": "contracts.clusters",
    "ExistingCluster": "clusters.existing.spec",
    "FeastApplyOperator": "operators.feast",
    "FeastFeatures": "attachments.feast.features",
    "FeastFreshnessSensor": "operators.feast",
    "FeastJoinOperator": "operators.feast",
    "FeastMaterializeOperator": "operators.feast",
    "GcsStorage": "storage.gcs",
    "HeadGroup": "clusters.kuberay.groups",
    "KubeRayCluster": "clusters.kuberay.spec",
    "LocalCluster": "clusters.local.spec",
    "MlflowModelSensor": "sensors.mlflow",
    "MlflowPromoteOperator": "operators.mlflow",
    "MlflowTracker": "attachments.mlflow.tracker",
    "RayBatchInferenceOperator": "operators.batch_inference",
    "RayCleanUpOperator": "operators.clean_up",
    "RayClusterSensor": "sensors.cluster",
    "RayClusterTaskGroup": "operators.group",
    "RayCreateClusterOperator": "operators.cluster",
    "RayDeleteClusterOperator": "operators.cluster",
    "RayDeleteJobOperator": "operators.jobs",
    "RayGetJobOperator": "operators.jobs",
    "RayHook": "hooks.ray",
    "RayJobSensor": "sensors.job",
    "RayListJobsOperator": "operators.jobs",
    "RayRLlibOperator": "operators.rllib",
    "RayServeDeleteOperator": "operators.serve",
    "RayServeDeployOperator": "operators.serve",
    "RayServeScaleOperator": "operators.serve",
    "RayServeSensor": "sensors.serve",
    "RayStopJobOperator": "operators.submit",
    "RaySubmitJobOperator": "operators.submit",
    "RayTrainOperator": "operators.train",
    "RayTuneOperator": "operators.tune",
    "S3Storage": "storage.s3",
    "SharedFolder": "storage.shared_folder",
    "SmokeTest": "workloads.smoke",
    "TectonFeatures": "attachments.tecton.features",
    "TectonMaterializeOperator": "operators.tecton",
    "TectonReadySensor": "sensors.tecton",
    "WandbSyncOperator": "operators.wandb",
    "WandbTracker": "attachments.wandb.tracker",
    "WorkerGroup": "clusters.kuberay.groups",
    "load_result": "hooks.results",
    "ray_retry_policy": "operators.retry",
}
__all__ = sorted(_NAMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_NAMES]
