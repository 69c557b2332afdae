"""What an author writes to have a Ray cluster on Kubernetes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider_air.clusters.kuberay.groups import HeadGroup, WorkerGroup, read_group, read_worker_groups
from airflow_provider_air.clusters.kuberay.pods import PodFields
from airflow_provider_air.clusters.kuberay.words import spelled
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.runs import AttemptInfo

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_air.contracts.names import TaskKey

# What a cluster with other values is adopted with.
SAME_CLUSTER = frozenset(
    {
        "dashboard_url",
        "deadline_seconds",
        "idle_timeout_seconds",
        "kubernetes_conn_id",
        "name",
        "namespace",
        "reach",
        "scope",
        "serve_url",
        "grafana_url",
        "startup_timeout_seconds",
        "ttl_seconds",
        "workers",
    }
)
SCALED = frozenset({"replicas", "min_replicas", "max_replicas"})


@dataclass(kw_only=True)
class KubeRayCluster(PodFields):
    """
    Have a Ray cluster on Kubernetes, by KubeRay's operator, which must be there; nothing else is installed.

    With a name, in a group or by a ``RayCreateClusterOperator`` it is a RayCluster; of one task alone it is a RayJob,
    one for each attempt. All fields of pods (image, environment, volumes, tolerations ...) count for all its groups.
    What is not said is not written, so that defaults are KubeRay's and Kubernetes' own, but for the image, a
    container's size and token authentication.

    :param name: of a shared cluster, unique in its namespace and scope; by default made of the task instance
    :param kubernetes_conn_id: connection of type ``kubernetes``: how the kube-apiserver is reached
    :param namespace: None takes the connection's
    :param ray_version: None reads it from the image's tag, and takes the tested one where no image is said
    :param workers: short for one group of so many workers, 1 CPU and 4 GiB each. None: one, where neither a group nor
        a manifest is said
    :param head: a :class:`~airflow_provider_air.clusters.kuberay.groups.HeadGroup`, or a dict of its fields
    :param worker_groups: :class:`~airflow_provider_air.clusters.kuberay.groups.WorkerGroup` or dicts of their fields
    :param enable_in_tree_autoscaling: whether Ray adds and removes workers; None: where a group has a ``min_replicas``
        or ``max_replicas``
    :param autoscaler_options: such as ``{"idle_timeout_seconds": 60, "upscaling_mode": "Conservative"}``; the version
        is v2 unless it says otherwise
    :param auth_options: ``{"mode": "token"}`` by default; ``{"secret_name": …}`` takes a token of yours, of its key
        ``auth_token``; ``{"mode": "disabled"}`` lets everybody in who reaches the pods
    :param gcs_fault_tolerance_options: such as ``{"redis_address": "redis:6379"}``, so that a cluster outlives its
        head; ``{"backend": "rocksdb"}`` needs KubeRay 1.7
    :param tls_options: KubeRay's own, 1.7 and later: ``{"enabled": True}``
    :param network_policy: KubeRay's own, 1.7 and later: ``{"mode": "DenyAllIngress"}``
    :param history_server_options: KubeRay's own, 1.7 and later
    :param upgrade_strategy: KubeRay's own: ``{"type": "Recreate"}`` or ``None``; not for a RayJob
    :param head_service_annotations: annotations of the head's Service
    :param labels: further labels of the resource, such as a queue's
    :param annotations: further annotations of the resource
    :param manifest: a RayCluster to start from: a dict, a YAML or JSON file (a relative path starts at the folder of
        the DAG's file, or of its bundle) or a URL; where it says something else than the fields do, the paths are
        refused
    :param scope: who shares a named cluster: one ``dag_run``, all runs of the ``dag``, or everybody (``global``)
    :param reach: how Ray's API is reached: ``auto``, ``dns`` (from inside), ``proxy`` (the kube-apiserver's),
        ``port_forward``, or the dashboard's URL
    :param ttl_seconds: the cluster goes this long after its creation, used or not; None means never
    :param idle_timeout_seconds: the cluster goes when nothing used it for this long; None means never
    :param startup_timeout_seconds: how long a task's own cluster may take until it takes the job, where the task's
        ``cluster_timeout_seconds`` is not longer; time in a queue apart
    :param deadline_seconds: a cluster of one task is ended by KubeRay after this long where the task has no deadline of
        its own; None: ``ttl_seconds``
    :param dashboard_url: where people open the dashboard, such as an Ingress; ``{name}`` and ``{namespace}`` in it are
        those of the RayCluster or RayJob. None: where we reach it
    :param serve_url: likewise, where clients reach the HTTP of Ray Serve. None: the head's Service, where it is reached
        by its name
    :param grafana_url: likewise, where people watch its metrics, such as a Grafana dashboard. None: no button
    """

    backend: ClassVar[str] = "kuberay"
    template_fields: ClassVar[tuple[str, ...]]

    name: str | None = None
    kubernetes_conn_id: str = "kubernetes_default"
    namespace: str | None = None
    ray_version: str | None = None
    workers: int | None = None
    head: HeadGroup | Mapping[str, Any] = field(default_factory=HeadGroup)
    worker_groups: Sequence[WorkerGroup | Mapping[str, Any]] = ()
    enable_in_tree_autoscaling: bool | None = None
    autoscaler_options: Mapping[str, Any] = field(default_factory=dict)
    auth_options: Mapping[str, Any] = field(default_factory=dict)
    gcs_fault_tolerance_options: Mapping[str, Any] = field(default_factory=dict)
    tls_options: Mapping[str, Any] = field(default_factory=dict)
    network_policy: Mapping[str, Any] = field(default_factory=dict)
    history_server_options: Mapping[str, Any] = field(default_factory=dict)
    upgrade_strategy: Mapping[str, Any] = field(default_factory=dict)
    head_service_annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] | str | None = None
    scope: Literal["dag_run", "dag", "global"] = "global"
    reach: str = "auto"
    ttl_seconds: float | None = 12 * 3600.0
    idle_timeout_seconds: float | None = 30 * 60.0
    startup_timeout_seconds: float = 600.0
    deadline_seconds: float | None = None
    dashboard_url: str | None = None
    serve_url: str | None = None
    grafana_url: str | None = None

    def validate(self) -> None:
        """
        Check the fields after rendering, each and together; asks nobody. Runs in the worker.

        :raises ConfigurationError: a field is wrong; the message names it
        """
        # Here and below late: a DAG file names this class, and makes no resource of it.
        from airflow_provider_air.clusters.kuberay.checks import check_fields
        from airflow_provider_air.clusters.kuberay.manifest import cluster_manifest
        from airflow_provider_air.clusters.kuberay.marks import Marks

        check_fields(self)
        if not isinstance(self.manifest, str):
            owner = ClusterOwner("validation")
            cluster_manifest(self, "validation", Marks(owner, ""))

    def from_files(self, roots: Sequence[Path]) -> KubeRayCluster:
        """
        Give the same spec with its manifest read, where that is a file or a URL; in the worker, before it is used.

        :param roots: where a relative path starts: at the first that has it
        :raises ConfigurationError: there is no such file, or it is no manifest
        :raises UnavailableError: the URL does not answer
        """
        if not isinstance(self.manifest, str):
            return self
        from airflow_provider_air.clusters.kuberay.raw import read_manifest

        return dataclasses.replace(self, manifest=read_manifest(self.manifest, roots))

    def to_yaml(self, key: TaskKey, *, is_owned: bool) -> str:
        """
        Give the resource that would be made for a task now; asks nobody.

        :param is_owned: it is for the task's job alone: a RayJob, where the spec has no name
        :raises ConfigurationError: a field is wrong
        """
        import yaml

        from airflow_provider_air.clusters.kuberay.manifest import resource_of
        from airflow_provider_air.clusters.kuberay.names import resource_name

        self.validate()
        attempt = AttemptInfo(key, "dry-run", "", 0, 1, "", "") if is_owned else None
        kind, name = resource_name(self, key, attempt)
        resource = resource_of(self, kind, name, ClusterOwner(key.deployment, key), attempt, time.time())
        if self.namespace is not None:
            resource["metadata"]["namespace"] = self.namespace
        return str(yaml.safe_dump(resource, sort_keys=False, allow_unicode=True))

    def head_group(self) -> HeadGroup:
        """
        Give the head's fields.

        :raises ConfigurationError: they are none
        """
        return read_group(HeadGroup, self.head, "head")

    def groups(self) -> list[WorkerGroup]:
        """
        Give the groups of workers that the fields say.

        :raises ConfigurationError: they are none, or ``workers`` is said, too
        """
        alone = self.workers is None and not self.worker_groups and self.manifest is None
        return read_worker_groups(self.worker_groups, 1 if alone else self.workers)

    def is_autoscaled(self) -> bool:
        """Tell whether Ray adds and removes workers."""
        if self.enable_in_tree_autoscaling is not None:
            return self.enable_in_tree_autoscaling
        return any(group.min_replicas is not None or group.max_replicas is not None for group in self.groups())

    def fingerprint(self) -> str:
        """
        Digest what makes two specs ask for the same cluster.

        Left out are its name and scope, how it is reached, the time-outs, and how many workers a group has: a cluster
        with others is adopted. How a dict's keys are spelled makes no difference.
        """
        wish: dict[str, Any] = {
            one.name: spelled(getattr(self, one.name))
            for one in dataclasses.fields(self)
            if one.name not in SAME_CLUSTER
        }
        wish["python"] = None if self.image else f"{sys.version_info.major}.{sys.version_info.minor}"
        if isinstance(self.manifest, Mapping):
            from airflow_provider_air.clusters.kuberay.raw import checked

            wish["manifest"] = checked(self.manifest)
        wish["head"] = _said(self.head_group())
        wish["worker_groups"] = [_said(group) for group in self.groups()]
        # An empty field and one that is not there are the same, also to a version that has more fields.
        wish = {key: value for key, value in wish.items() if value not in (None, (), [], {})}
        return hashlib.sha256(json.dumps(wish, sort_keys=True, default=str).encode()).hexdigest()[:16]


KubeRayCluster.template_fields = tuple(one.name for one in dataclasses.fields(KubeRayCluster))


def _said(group: HeadGroup | WorkerGroup) -> dict[str, Any]:
    fields = {one.name: getattr(group, one.name) for one in dataclasses.fields(group) if one.name not in SCALED}
    return {key: spelled(value) for key, value in fields.items() if value not in (None, (), [], {})}
