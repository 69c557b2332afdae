"""What an author says of a group's pods; on the cluster it counts for all groups, on a group for that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

RESTRICTED = "restricted"


@dataclass(kw_only=True)
class PodFields:
    """
    Fields of pods and of their Ray container, in Kubernetes' own words; what is None or empty is not written.

    Nested values are written with Kubernetes' words, in snake case or as Kubernetes spells them. A group's own text
    or number counts instead of the cluster's; its lists and dicts are added to the cluster's, the group's word first.

    :param image: with Ray in it; None takes the official one of ``ray_version`` for the worker's own Python, with CUDA
        where the group has GPUs
    :param image_pull_policy: ``IfNotPresent``, ``Always`` or ``Never``
    :param image_pull_secrets: names of Secrets in the namespace
    :param env: variable to text, or to where it comes from, such as
        ``{"secret_key_ref": {"name": "keys", "key": "token"}}``; not for secrets as text
    :param env_from: ``{"secret_ref": {"name": …}}`` or ``{"config_map_ref": {"name": …}}``, whole ones
    :param volumes: such as ``{"name": "data", "persistent_volume_claim": {"claim_name": "data"}}``
    :param volume_mounts: such as ``{"name": "data", "mount_path": "/data"}``
    :param node_selector: labels that a node must have
    :param tolerations: such as ``{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}``
    :param affinity: Kubernetes' own
    :param topology_spread_constraints: Kubernetes' own
    :param priority_class_name: of a PriorityClass of the Kubernetes cluster
    :param runtime_class_name: of a RuntimeClass of the Kubernetes cluster
    :param scheduler_name: of another scheduler than Kubernetes' default
    :param service_account_name: whose identity the pods have; it must be there. With autoscaling KubeRay gives the
        head's what an autoscaler needs
    :param termination_grace_period_seconds: from a pod's end being asked for to its being killed
    :param security_context: the containers', or ``"restricted"``: what Kubernetes' pod security standard of that name
        demands, of pods and of all their containers
    :param pod_security_context: the pods', such as ``{"run_as_user": 1000, "fs_group": 100}``
    :param pod_labels: labels of the pods alone; ``labels`` of a group are those of its Ray nodes, too
    :param pod_annotations: annotations of the pods
    """

    image: str | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: Sequence[str] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    env_from: Sequence[Mapping[str, Any]] = ()
    volumes: Sequence[Mapping[str, Any]] = ()
    volume_mounts: Sequence[Mapping[str, Any]] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, Any]] = ()
    affinity: Mapping[str, Any] = field(default_factory=dict)
    topology_spread_constraints: Sequence[Mapping[str, Any]] = ()
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    service_account_name: str | None = None
    termination_grace_period_seconds: int | None = None
    security_context: Literal["restricted"] | Mapping[str, Any] | None = None
    pod_security_context: Mapping[str, Any] = field(default_factory=dict)
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
