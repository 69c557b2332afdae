"""What an author says of a cluster's head and of each group of workers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from airflow_provider_air.clusters.kuberay.pods import PodFields
from airflow_provider_air.clusters.kuberay.quantities import whole
from airflow_provider_air.errors import ConfigurationError

T = TypeVar("T")
COUNTS = frozenset(
    {
        "gpus",
        "idle_timeout_seconds",
        "max_replicas",
        "min_replicas",
        "num_of_hosts",
        "priority",
        "replicas",
        "termination_grace_period_seconds",
        "tpus",
    }
)


@dataclass(kw_only=True)
class GroupFields(PodFields):
    """
    What head and workers have in common; a pod is one Ray node.

    :param cpu: of the Ray container, requested and its limit: cores such as 2, ``"500m"``. None: 1
    :param memory: of the Ray container, requested and its limit, such as ``"8Gi"`` or bytes. None: 4 GiB. Ray's objects
        lie in it, too
    :param gpus: whole devices of ``gpu_resource``; Ray learns of them by itself
    :param gpu_resource: how the devices' plugin names them
    :param ephemeral_storage: of the Ray container, requested and its limit
    :param requests: further requests by Kubernetes' resource names, or other ones than the limits
    :param limits: further limits by Kubernetes' resource names
    :param resources: what Ray schedules, where it is something else than the container has: ``{"CPU": 0}`` keeps tasks
        off a head, ``{"worker": 1}`` is a custom resource
    :param labels: of the Ray nodes, and so of the pods
    :param ray_start_params: further options of ``ray start``, without dashes in front
    :param template: further parts of the pod template (``metadata``, ``spec``); where they say something else than the
        fields do, the paths are refused
    """

    cpu: float | str | None = None
    memory: int | str | None = None
    gpus: int | None = None
    gpu_resource: str = "nvidia.com/gpu"
    ephemeral_storage: int | str | None = None
    requests: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ray_start_params: Mapping[str, Any] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class HeadGroup(GroupFields):
    """
    The head; all fields of :class:`GroupFields` and of :class:`~airflow_provider_air.clusters.kuberay.pods.PodFields`.

    :param service_type: of the head's Service: ``ClusterIP``, ``NodePort`` or ``LoadBalancer``
    :param head_service: further parts of the head's Service, in Kubernetes' words
    :param enable_ingress: whether KubeRay makes an Ingress for the dashboard
    :param ingress_options: of this Ingress; KubeRay 1.7 and later
    """

    template_fields: ClassVar[tuple[str, ...]]

    service_type: str | None = None
    head_service: Mapping[str, Any] = field(default_factory=dict)
    enable_ingress: bool | None = None
    ingress_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class WorkerGroup(GroupFields):
    """
    Workers of one kind; all fields of :class:`GroupFields` and of
    :class:`~airflow_provider_air.clusters.kuberay.pods.PodFields`.

    :param name: unique in the cluster; of letters, digits, ``-`` and ``.``, since its pods are named by it
    :param replicas: how many at the start; None: the least. With autoscaling Ray decides from then on
    :param min_replicas: the least that autoscaling keeps; None: 0
    :param max_replicas: the most that autoscaling has
    :param idle_timeout_seconds: a worker that was idle for so long goes, where autoscaling is on
    :param num_of_hosts: pods of one replica, as slices of TPUs have several
    :param tpus: ``google.com/tpu`` of each pod
    :param priority: which group the autoscaler prefers, the highest first; KubeRay 1.7 and later
    """

    template_fields: ClassVar[tuple[str, ...]]

    name: str = "workers"
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    idle_timeout_seconds: int | None = None
    num_of_hosts: int | None = None
    tpus: int | None = None
    priority: int | None = None

    def first_replicas(self) -> int:
        """Give how many it has at the start."""
        return first_replicas(self.min_replicas, self.max_replicas) if self.replicas is None else self.replicas


HeadGroup.template_fields = tuple(one.name for one in dataclasses.fields(HeadGroup))
WorkerGroup.template_fields = tuple(one.name for one in dataclasses.fields(WorkerGroup))


def first_replicas(least: int | None, most: int | None) -> int:
    """Give how many workers a group has at the start where nobody says it: the least that it may have, else one."""
    return least if least is not None else 0 if most is not None else 1


def read_group(kind: type[T], said: Any, where: str) -> T:
    """
    Give a group, also one that plain data say, such as a connection's JSON.

    :param where: how a message names it, such as ``worker_groups[0]``
    :raises ConfigurationError: it is no group, or has no such field
    """
    if isinstance(said, kind):
        return said
    if not isinstance(said, Mapping):
        raise ConfigurationError(
            f"KubeRayCluster({where}={said!r}) is wrong", hint=f"It must be a {kind.__name__}, or a dict of its fields"
        )
    known = {one.name for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(str(name) for name in said if name not in known):
        raise ConfigurationError(
            f"KubeRayCluster({where}) has no field {unknown[0]!r}",
            hint=f"Its fields: {', '.join(sorted(known))}. What else a pod has goes in 'template'",
        )
    return kind(**{name: whole(value) if name in COUNTS else value for name, value in said.items()})


def read_worker_groups(said: Any, workers: int | None) -> list[WorkerGroup]:
    """
    Give the groups of workers.

    :param said: the groups, or none
    :param workers: the short form: so many workers of one group
    :raises ConfigurationError: it is no list of groups, or both are said
    """
    if not isinstance(said, Sequence) or isinstance(said, str):
        raise ConfigurationError(
            f"KubeRayCluster(worker_groups={said!r}) is wrong", hint="It must be a list of WorkerGroup, or of dicts"
        )
    groups = [read_group(WorkerGroup, one, f"worker_groups[{index}]") for index, one in enumerate(said)]
    if workers is None:
        return groups
    if groups:
        raise ConfigurationError(
            "KubeRayCluster has both 'workers' and 'worker_groups'", hint="Set 'replicas' of the groups instead"
        )
    return [WorkerGroup(replicas=workers)] if workers else []
