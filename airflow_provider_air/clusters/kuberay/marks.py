"""What marks a resource as ours: written at its creation, read by whoever finds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.contracts.names import TaskKey, digest
from airflow_provider_air.contracts.stored import fields_of
from airflow_provider_air.errors import ProtocolError

MANAGED_BY, OURS = "app.kubernetes.io/managed-by", "airflow-provider-air"
PREFIX = "airflow-provider-air/"
DEPLOYMENT, TASK = f"{PREFIX}deployment", f"{PREFIX}task"
OWNER = f"{PREFIX}owner"
SPEC_HASH = f"{PREFIX}spec-hash"
EXPIRES_AT = f"{PREFIX}expires-at"
SUBMISSION_ID = f"{PREFIX}submission-id"
SCOPE = f"{PREFIX}scope"
IDLE_TIMEOUT = f"{PREFIX}idle-timeout-seconds"
LEASED_UNTIL = f"{PREFIX}leased-until"


@dataclass(frozen=True)
class Marks:
    """
    Labels and annotations of ours on a RayCluster or RayJob.

    Labels are for asking (a label's value is short and of few letters), and so hold digests; annotations for reading.
    The labels are on the pods, too. KubeRay copies both from a RayJob to the RayCluster that it makes (1.6.1).

    :param owner: for whom it was made first; who adopts it does not become that
    :param spec_hash: the spec's fingerprint
    :param expires_at: epoch seconds after which nobody needs it, or None; this and ``leased_until`` by the
        kube-apiserver's clock, whoever writes them
    :param submission_id: of the job that it was made for, or None
    :param scope: who may share it: ``dag_run``, ``dag``, ``global``; None for one of a task alone
    :param idle_timeout_seconds: how long it stays when nobody counts on it any more, or None
    :param leased_until: epoch seconds until which somebody counts on it, or None; written by who does
    """

    owner: ClusterOwner
    spec_hash: str
    expires_at: float | None = None
    submission_id: str | None = None
    scope: str | None = None
    idle_timeout_seconds: float | None = None
    leased_until: float | None = None

    @classmethod
    def of(
        cls,
        owner: ClusterOwner,
        spec_hash: str,
        expires_at: float | None = None,
        submission_id: str | None = None,
        scope: str | None = None,
        idle_timeout_seconds: float | None = None,
    ) -> Marks:
        """Give the marks of a resource that is about to be made."""
        return cls(owner, spec_hash, expires_at, submission_id, scope, idle_timeout_seconds)

    @classmethod
    def read(cls, resource: Mapping[str, Any]) -> Marks | None:
        """Give the marks that a resource has; None where it is not ours, or cannot be understood as that."""
        metadata = resource.get("metadata") or {}
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        owner = _owner_of(annotations.get(OWNER)) if labels.get(MANAGED_BY) == OURS else None
        if owner is None:
            return None
        return cls(
            owner,
            annotations.get(SPEC_HASH) or "",
            _seconds_of(annotations.get(EXPIRES_AT)),
            annotations.get(SUBMISSION_ID),
            annotations.get(SCOPE),
            _seconds_of(annotations.get(IDLE_TIMEOUT)),
            _seconds_of(annotations.get(LEASED_UNTIL)),
        )

    def ends_at(self, created_at: float) -> float | None:
        """
        Give when nobody needs it any more, in epoch seconds: by its expiry, or by idleness; None: never.

        :param created_at: from when on it can have been idle
        """
        ends = [] if self.expires_at is None else [self.expires_at]
        if self.idle_timeout_seconds is not None:
            ends.append(max(created_at, self.leased_until or 0.0) + self.idle_timeout_seconds)
        return max(min(ends), self.leased_until or 0.0) if ends else None

    def labels(self) -> dict[str, str]:
        """Give the labels, of the resource and of its pods."""
        return labels_of(self.owner)

    def annotations(self) -> dict[str, str]:
        """Give the annotations of the resource."""
        said = {
            OWNER: json.dumps(_owner_json(self.owner), sort_keys=True),
            SPEC_HASH: self.spec_hash,
            EXPIRES_AT: None if self.expires_at is None else expiry(self.expires_at),
            SUBMISSION_ID: self.submission_id,
            SCOPE: self.scope,
            IDLE_TIMEOUT: None if self.idle_timeout_seconds is None else f"{self.idle_timeout_seconds:g}",
        }
        return {key: value for key, value in said.items() if value is not None}


def labels_of(owner: ClusterOwner) -> dict[str, str]:
    """Give the labels of what was made for somebody."""
    labels = {MANAGED_BY: OURS, DEPLOYMENT: digest(owner.deployment, length=16)}
    if owner.key is not None:
        key = owner.key
        labels[TASK] = digest(key.deployment, key.dag_id, key.run_id, key.task_id, key.map_index, length=16)
    return labels


def selector_of(owner: ClusterOwner | None) -> str:
    """Give the label selector that finds what was made for somebody, or by us at all."""
    labels = {MANAGED_BY: OURS} if owner is None else labels_of(owner)
    return ",".join(f"{key}={value}" for key, value in labels.items())


def expiry(expires_at: float) -> str:
    """Write an expiry as the annotation :data:`EXPIRES_AT` has it: epoch seconds."""
    return str(int(expires_at))


def _owner_json(owner: ClusterOwner) -> dict[str, Any]:
    key = owner.key
    return {"version": 1, "deployment": owner.deployment, "key": None if key is None else dict(vars(key))}


def _owner_of(text: Any) -> ClusterOwner | None:
    try:
        said = json.loads(text)
        key = None if said.get("key") is None else fields_of(TaskKey, said["key"])
        return ClusterOwner(str(said["deployment"]), key)
    except (TypeError, ValueError, KeyError, AttributeError, ProtocolError):
        return None


def _seconds_of(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
